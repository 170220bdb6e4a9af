import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from srgan_tf.imaging import color

RGB = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)


def test_every_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8)
    network = color.to_network(levels)
    assert network.dtype == np.float32
    np.testing.assert_array_equal(color.from_network(network), levels)


def test_to_network_reaches_both_ends():
    np.testing.assert_array_equal(color.to_network(np.array([0, 255], np.uint8)), [-1, 1])


def test_from_network_rounds_and_clips():
    levels = np.array([-300, -0.4, 0.6, 99.4, 99.6, 254.4, 254.6, 1000])
    rounded = color.from_network(levels / 127.5 - 1)
    assert rounded.dtype == np.uint8
    np.testing.assert_array_equal(rounded, [0, 0, 1, 99, 100, 254, 255, 255])


@pytest.mark.parametrize(
    "rgb, expected",  # MATLAB's rgb2ycbcr
    [((255, 255, 255), 235), ((0, 0, 0), 16), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_of_known_colors(rgb, expected):
    assert color.luma(np.array([rgb], np.uint8))[0] == pytest.approx(expected, abs=1e-9)


def test_luma_equals_scikit_image():
    np.testing.assert_allclose(color.luma(RGB), rgb2ycbcr(RGB)[..., 0], atol=1e-10)


def test_luma_of_floats_is_not_rounded():
    np.testing.assert_allclose(color.luma(RGB + 0.25), color.luma(RGB) + 219 / 255 / 4, atol=1e-10)


def test_full_range_luma_keeps_gray():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(color.full_range_luma(np.repeat(levels[:, None], 3, 1)), levels, atol=1e-10)
    np.testing.assert_allclose(color.full_range_luma(RGB), (color.luma(RGB) - 16) * 255 / 219, atol=1e-10)
