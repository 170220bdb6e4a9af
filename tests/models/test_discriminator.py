import keras
import numpy as np
import pytest

from srgan_tf.models.discriminator import build_discriminator


@pytest.fixture(scope="module")
def model():
    return build_discriminator()


def test_has_the_layers_of_the_papers_figure(model):
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(layer.filters, layer.strides[0]) for layer in convolutions] == [
        (64, 1),
        (64, 2),
        (128, 1),
        (128, 2),
        (256, 1),
        (256, 2),
        (512, 1),
        (512, 2),
    ]
    assert all(layer.kernel_size == (3, 3) for layer in convolutions)
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) == 7
    slopes = [layer.negative_slope for layer in model.layers if isinstance(layer, keras.layers.LeakyReLU)]
    assert slopes == [0.2] * 9
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [1024, 1]


@pytest.mark.parametrize("side", [16, 33, 96])
def test_takes_crops_of_any_size_and_gives_logits(model, side):
    logits = model(np.random.default_rng(0).uniform(-1, 1, (3, side, side, 3)).astype(np.float32))
    assert logits.shape == (3, 1) and logits.dtype == "float32"
    assert model.layers[-1].activation is keras.activations.linear
