import keras
import numpy as np
import pytest

from srgan_tf.models.layers import NearestConv2D, RowConv2D


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


def test_row_convolution_sums_in_float32():
    layer = RowConv2D(3, 9, dtype="mixed_float16")
    assert layer(np.zeros((1, 4, 4, 2), np.float16)).dtype == "float32"
