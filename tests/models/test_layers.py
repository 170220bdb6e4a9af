import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.models.layers import BatchNormalization, NearestConv2D, RowConv2D


@pytest.mark.parametrize("kernel_size", [3, 9])
@pytest.mark.parametrize("shape", [(2, 13, 7, 5), (1, 2, 3, 5)])
def test_row_convolution_equals_the_plain_one(kernel_size, shape):
    plain = keras.layers.Conv2D(3, kernel_size, padding="same", activation="tanh")
    rows = RowConv2D(3, kernel_size, activation="tanh")
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plain.build(shape)
    rows.build(shape)
    rows.set_weights([np.random.default_rng(1).normal(size=w.shape) * 0.1 for w in plain.get_weights()])
    plain.set_weights(rows.get_weights())
    np.testing.assert_allclose(rows(inputs), plain(inputs), atol=2e-6)


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "activation": "relu"}])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 1, 4)])
def test_nearest_convolution_equals_upsampling_and_a_plain_one(shape, options):
    plain = keras.Sequential(
        [keras.layers.UpSampling2D(2, interpolation="nearest"), keras.layers.Conv2D(6, 3, padding="same", **options)]
    )
    layer = NearestConv2D(6, 3, **options)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    plain.build(shape)
    layer.build(shape)
    layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in plain.get_weights()])
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(inputs), plain(inputs), atol=1e-5)
    symbolic = layer(keras.Input((None, 7, shape[-1])))
    assert symbolic.shape == (None, None, 14, 6)


def test_nearest_convolution_refuses_other_kernels():
    with pytest.raises(ValueError, match="Received"):
        NearestConv2D(3, 5)


@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_is_keras_own(training, policy, tolerance):
    """Values, the moving statistics, and the gradients of input, gamma and beta."""
    rng = np.random.default_rng(0)
    start = [rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4)]
    inputs = tf.constant(rng.normal(1, 2, (3, 4, 2, 5)), tf.float16)
    weights = rng.normal(size=inputs.shape).astype(np.float32)
    results = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(momentum=0.8, dtype=policy)
        layer.build(inputs.shape)
        layer.set_weights(start)
        typed = tf.cast(inputs, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(typed)
            outputs = layer(typed, training=training)
            assert outputs.dtype == typed.dtype
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
        gradients = tape.gradient(total, [typed, *layer.trainable_variables])
        results.append([np.float32(value) for value in [outputs, *layer.get_weights(), *gradients]])
    assert [value.shape for value in results[0]] == [value.shape for value in results[1]]
    for expected, found in zip(*results):
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    moved = [np.abs(new - old).max() > 0.01 for new, old in zip(results[1][3:5], start[2:])]
    assert moved == [training] * 2


def test_row_convolution_refuses_even_kernels():
    with pytest.raises(ValueError, match="Received"):
        RowConv2D(3, 4)


def test_row_convolution_sums_in_float32():
    layer = RowConv2D(3, 9, dtype="mixed_float16")
    assert layer(np.zeros((1, 4, 4, 2), np.float16)).dtype == "float32"
