import keras
import numpy as np
import tensorflow as tf

from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.training.colours import balance_colours, balance_file


def test_a_shift_is_found_and_taken_back():
    keras.utils.set_random_seed(0)
    generator = build_generator(blocks=1)
    initialize_as_bilinear(generator)
    rng = np.random.default_rng(0)
    lr = rng.integers(60, 200, (4, 8, 8, 3), np.uint8)
    sr = (generator(np.float32(lr / 127.5 - 1), training=False).numpy() + 1) * 127.5
    hr = np.clip(np.rint(sr) + [3, -2, 0], 0, 255).astype(np.uint8)
    batches = [(tf.constant(lr[:2]), tf.constant(hr[:2])), (tf.constant(lr[2:]), tf.constant(hr[2:]))]
    before = [variable.numpy() for variable in generator.variables]
    np.testing.assert_allclose(balance_colours(generator, batches), [-3, 2, 0], atol=0.05)
    np.testing.assert_allclose(balance_colours(generator, batches), 0, atol=0.05)
    moved = [v.path for v, old in zip(generator.variables, before) if (v.numpy() != old).any()]
    assert len(moved) == 1 and "last_conv/bias" in moved[0]


def test_a_channel_that_is_black_everywhere_keeps_its_bias():
    generator = build_generator(blocks=0, filters=4)
    kernel, bias = generator.get_layer("last_conv").get_weights()
    bias[2] = -50  # tanh is -1 then
    generator.get_layer("last_conv").set_weights([kernel, bias])
    hr = tf.constant(np.full((1, 16, 16, 3), [130, 130, 0], np.uint8))
    balance_colours(generator, [(tf.zeros((1, 4, 4, 3), tf.uint8), hr)])
    after = generator.get_layer("last_conv").bias.numpy()
    assert after[2] == -50 and np.isfinite(after).all() and (after[:2] != bias[:2]).all()


def test_a_file_is_balanced_in_float32_and_the_policy_stays(tmp_path):
    path = tmp_path / "generator.weights.h5"
    save_generator(build_generator(blocks=0), path)
    lr, hr = tf.zeros((2, 4, 4, 3), tf.uint8), tf.fill((2, 16, 16, 3), np.uint8(130))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        balance_file(path, [(lr, hr)])
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert (load_generator(path).get_layer("last_conv").bias.numpy() != 0).all()
