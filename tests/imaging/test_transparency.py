import numpy as np
import pytest

from srgan_tf.imaging.transparency import REACH, fill_hidden


def _filled(pixels):
    """By the definition, pixel for pixel."""
    height, width, bands = pixels.shape
    filled = pixels[..., :-1].astype(float)
    for row, column in np.argwhere(pixels[..., -1] == 0):
        for radius in (1, 3, 7, 15):
            window = pixels[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1]
            weights = window[..., -1:].astype(float)
            if weights.any():
                mean = (window[..., :-1] * weights).sum(axis=(0, 1)) / weights.sum()
                filled[row, column] = np.floor(mean + 0.5)
                break
    return filled


@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colors_become_the_mean_of_visible_ones(bands, dtype):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, np.iinfo(dtype).max + 1, (2, 60, 50, bands)).astype(dtype)
    pixels[..., -1] |= 1
    pixels[:, :, 20:, -1] = pixels[:, 7, 7, -1] = 0
    filled = fill_hidden(pixels)
    assert filled.dtype == dtype
    for one, expected in zip(filled, map(_filled, pixels)):
        np.testing.assert_array_equal(one, expected)
    assert (filled[:, :, 20 + REACH :] == pixels[:, :, 20 + REACH :, :-1]).all()
    part = fill_hidden(pixels[:, 10:50])
    np.testing.assert_array_equal(part[:, REACH:-REACH], filled[:, 10 + REACH : 50 - REACH])


def test_nothing_is_filled_where_nothing_or_all_is_hidden():
    pixels = np.random.default_rng(0).integers(1, 256, (1, 5, 6, 4), dtype=np.uint8)
    np.testing.assert_array_equal(fill_hidden(pixels), pixels[..., :3])
    pixels[..., 3] = 0
    np.testing.assert_array_equal(fill_hidden(pixels), pixels[..., :3])
