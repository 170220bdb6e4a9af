import numpy as np
import pytest

from srgan_tf.evaluation.metrics import psnr
from srgan_tf.imaging import files
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.imaging.resize import downscale, imresize, upscale_bicubic
from srgan_tf.models.selfex import upscale

RNG = np.random.default_rng(0)


def _gain(hr):
    """How much better than bicubic it is, dB."""
    lr = downscale(hr)
    return psnr(hr, from_network(upscale(to_network(lr)))) - psnr(hr, upscale_bicubic(lr))


def test_a_pattern_that_grows_is_found_again():
    """Stripes that become finer towards the right, at a slant: the fine ones are the coarse ones, smaller."""
    y, x = np.mgrid[:160, :240] / 240
    stripes = np.where(np.sin(60 * np.exp(x + 0.2 * y)) > 0, 220, 40).astype(np.uint8)
    assert _gain(np.stack([stripes] * 3, axis=-1)) > 2


def test_a_published_picture_gains_a_decibel(shared_data):
    assert _gain(files.read_rgb(shared_data / "benchmarks" / "Set5" / "HR" / "003.png")) > 1


def test_agrees_with_lr_and_leaves_the_colours_to_bicubic():
    lr = np.float32(imresize(RNG.uniform(-0.8, 0.8, (8, 9, 3)), 16, 18))
    sr = upscale(lr)
    y = np.array([65.481, 128.553, 24.966]) / 219
    np.testing.assert_allclose(imresize(sr @ y, 16, 18), lr @ y, atol=0.02)
    change = sr - upscale_bicubic(lr)
    assert np.abs(change).max() > 0.02
    np.testing.assert_allclose(change, change[..., :1].repeat(3, -1), atol=1e-5)


@pytest.mark.parametrize("scale, shape", [(4, (1, 1)), (4, (2, 3)), (2, (5, 4)), (8, (3, 2)), (3, (4, 4))])
def test_any_size_and_a_plain_picture_stays_plain(scale, shape):
    lr = np.full((*shape, 3), 0.25, np.float32)
    np.testing.assert_allclose(upscale(lr, scale), np.full((scale * shape[0], scale * shape[1], 3), 0.25), atol=1e-5)


def test_the_same_picture_gives_the_same_result():
    lr = RNG.uniform(-1, 1, (12, 9, 3))
    np.testing.assert_array_equal(upscale(lr, 2), upscale(lr, 2))
