import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.networks import EnsembledNetwork
from srgan_tf.inference.upscaler import Upscaler


@pytest.fixture(scope="module")
def network(random_generator):
    return FusedGenerator(random_generator())


def noise(height, width, bands=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, bands), dtype, endpoint=True)


def mean_of_eight(network, lr):
    """By quarter turns of the picture and of its mirror image."""
    results = []
    for mirrored in (lr, lr[:, :, ::-1]):
        for turns in range(4):
            sr = np.float64(network(tf.constant(np.rot90(mirrored, turns, (1, 2)))))
            sr = np.rot90(sr, -turns, (1, 2))
            results.append(sr if mirrored is lr else sr[:, :, ::-1])
    assert np.ptp(results, axis=0).max() > 0.01  # the eight differ
    return np.mean(results, axis=0)


def test_the_ensemble_is_the_mean_of_eight(network):
    lr = np.random.default_rng(1).uniform(-1, 1, (2, 9, 6, 3)).astype(np.float32)
    ensemble = EnsembledNetwork(network)
    np.testing.assert_allclose(ensemble(tf.constant(lr)), mean_of_eight(network, lr), atol=1e-6)
    assert (ensemble.scale, ensemble.margin, ensemble.precision) == (4, network.margin, "float32")


@pytest.mark.parametrize("bands, dtype", [(3, np.uint8), (1, np.uint16)])
def test_the_mean_is_rounded_once(random_generator, network, bands, dtype):
    image, half = noise(9, 7, bands, dtype), np.iinfo(dtype).max / 2
    lr = np.float32(image[None] / half - 1).repeat(3 // bands, axis=3)
    expected = mean_of_eight(network, lr)[0]
    expected = np.rint(((expected if bands == 3 else expected.mean(axis=2, keepdims=True)) + 1) * half)
    result = Upscaler(random_generator(), ensemble=True).upscale(image)
    assert np.abs(result - expected).max() <= (0 if dtype == np.uint8 else 1)


def test_the_ensemble_turns_with_the_picture(random_generator):
    upscaler, image = Upscaler(random_generator(), ensemble=True), noise(11, 8)
    turned = upscaler.upscale(np.ascontiguousarray(np.rot90(image)))
    assert np.abs(np.rot90(upscaler.upscale(image)).astype(int) - turned).max() <= 1


def test_the_ensemble_in_tiles_equals_the_whole(random_generator):
    whole, tiled = (Upscaler(random_generator(), ensemble=True, tile=tile) for tile in (0, 16))
    image = noise(45, 38, dtype=np.uint16)
    assert np.abs(whole.upscale(image).astype(int) - tiled.upscale(image)).max() <= 1
