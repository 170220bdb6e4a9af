import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.inference.portable import PortableGenerator
from srgan_tf.models.generator import build_generator


@pytest.mark.parametrize("blocks, scale, filters", [(2, 4, 12), (0, 2, 8), (1, 8, 4)])
def test_it_equals_the_generator(blocks, scale, filters):
    keras.utils.set_random_seed(3)
    generator = build_generator(blocks, scale, filters)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # not the identity that it starts as
            shape, rng = layer.gamma.shape, np.random.default_rng(list(layer.name.encode()))
            beta, mean = rng.normal(0, 0.3, (2, *shape))
            layer.set_weights([rng.uniform(0.5, 2, shape), beta, mean, rng.uniform(0.2, 3, shape)])
    portable = PortableGenerator(generator)
    assert portable.scale == scale
    rng = np.random.default_rng(0)
    for shape in ((2, 9, 14, 3), (1, 1, 1, 3), (1, 2, 30, 3)):
        lr = rng.uniform(-1, 1, shape).astype(np.float32)
        expected = generator(lr, training=False).numpy()
        assert np.std(expected) > 0.02
        given = portable(tf.constant(lr)).numpy()
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)
