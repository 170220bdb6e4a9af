import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.models.generator import build_generator, generator_config
from srgan_tf.models.generator_weights import receptive_radius

FREE = [tf.TensorSpec((None, None, None, 3), tf.float32)]


@pytest.fixture(scope="module")
def small(random_generator):
    generator = random_generator()
    return generator, FusedGenerator(generator)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def assert_equal(given, expected, tolerance=1e-5):
    given, expected = np.asarray(given), np.asarray(expected)
    assert given.dtype == np.float32 and given.shape == expected.shape
    assert expected.size <= 48 or expected.std() > 0.1  # so that the tolerance is one of visible values
    np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "blocks, scale, filters, shape",
    [
        (1, 4, 8, (2, 13, 18)),
        (0, 4, 8, (1, 7, 5)),
        (3, 2, 16, (1, 20, 11)),
        (1, 8, 5, (1, 6, 9)),
        (2, 4, 64, (1, 17, 16)),
        (1, 4, 8, (1, 1, 1)),
        (1, 2, 8, (1, 1, 1)),
        (1, 8, 8, (1, 1, 30)),
    ],
)
def test_it_equals_the_generator(blocks, scale, filters, shape, random_generator):
    generator, lr = random_generator(blocks, scale, filters), noise(*shape, 3)
    fused, expected = FusedGenerator(generator), generator(lr, training=False)
    assert (fused.blocks, fused.scale, fused.filters) == generator_config(generator) == (blocks, scale, filters)
    assert fused.margin == receptive_radius(blocks, scale)
    assert_equal(fused(lr), expected)
    assert_equal(tf.function(fused.__call__, input_signature=FREE, jit_compile=False)(lr), expected)


def test_it_equals_the_deep_generator():
    generator, lr = build_generator(), noise(1, 24, 31, 3)
    rng = np.random.default_rng(4)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (rng.uniform(-0.1, 0.1, weight.shape) for weight in layer.get_weights())
            layer.set_weights([0.5 + gamma, beta, mean, 0.3 + variance])
    assert_equal(FusedGenerator(generator)(lr), generator(lr, training=False))


def test_it_equals_the_generator_under_xla(small):
    generator, fused = small
    compiled = tf.function(fused.__call__, jit_compile=True)
    for shape in ((2, 6, 9), (1, 1, 1)):
        lr = noise(*shape, 3)
        assert_equal(compiled(lr), generator(lr, training=False))


def test_one_graph_serves_all_sizes(small):
    _, fused = small
    run = tf.function(fused.__call__, input_signature=FREE)
    for n, height, width in ((1, 4, 5), (3, 7, 2), (2, 1, 1)):
        assert run(noise(n, height, width, 3)).shape == (n, 4 * height, 4 * width, 3)
    assert run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("dtype, tolerance", [("float16", 0.01), ("bfloat16", 0.1)])
def test_half_precision_comes_near(small, dtype, tolerance):
    generator, _ = small
    lr, half = noise(1, 9, 8, 3), FusedGenerator(generator, dtype=dtype)
    expected = generator(lr, training=False)
    assert_equal(half(lr), expected, tolerance)
    assert np.abs(half(lr) - expected).max() > 1e-4  # else it was computed in float32


def test_the_weights_are_copied(random_generator):
    generator, lr = random_generator(), noise(1, 4, 4, 3)
    fused = FusedGenerator(generator)
    before = fused(lr)
    generator.set_weights([weight + 1 for weight in generator.get_weights()])
    np.testing.assert_array_equal(fused(lr), before)


def test_it_is_saved_whole(small, tmp_path):
    generator, _ = small
    module = FusedGenerator(generator)
    module.run = tf.function(module.__call__, input_signature=FREE)
    tf.saved_model.save(module, str(tmp_path))
    lr = noise(1, 5, 6, 3)
    assert_equal(tf.saved_model.load(str(tmp_path)).run(lr), generator(lr, training=False))


def test_the_slow_operations_are_gone(small):
    _, fused = small
    graph = tf.function(fused.__call__, input_signature=FREE).get_concrete_function().graph
    kinds = [operation.type for operation in graph.get_operations()]
    convolutions = [operation for operation in graph.get_operations() if operation.type == "Conv2D"]
    assert not any("BatchNorm" in kind or "Resize" in kind for kind in kinds)
    sides = [operation.inputs[1].shape.as_list() for operation in convolutions]
    trunk, stage, last = [[3, 3, 8, 8]] * (2 * fused.blocks + 1), [[2, 2, 8, 8]] * 4, [[1, 5, 8, 60]] * 4
    assert sorted(sides) == sorted([[9, 9, 3, 8], *trunk, *stage, *stage, *last])
