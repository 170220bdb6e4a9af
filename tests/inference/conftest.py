import keras
import numpy as np
import pytest

from srgan_tf.inference.export import export
from srgan_tf.models.generator import build_generator


@pytest.fixture(scope="session")
def random_generator():
    """Makes a small G whose BN statistics are none of the trivial ones."""

    def make(blocks=1, scale=4, filters=8):
        keras.utils.set_random_seed(3)
        generator = build_generator(blocks, scale, filters)
        rng = np.random.default_rng(3)
        for layer in generator.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        return generator

    return make


@pytest.fixture(scope="session")
def exported(generator, tmp_path_factory):
    """The folder of a SavedModel of `generator`; tests must not change it."""
    folder = tmp_path_factory.mktemp("export") / "model"
    export(generator, folder)
    return folder
