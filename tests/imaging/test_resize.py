import math

import numpy as np
import pytest
from PIL import Image

from srgan_tf.imaging import resize
from srgan_tf.imaging.color import luma

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def _cubic(x):
    x = abs(x)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _row(values, length):
    """One row resized as MATLAB's imresize.m does it: `contributions`, with its indices from 1, and the sum."""
    n = len(values)
    scale = length / n
    kernel_scale = min(scale, 1.0)
    width = 4 / kernel_scale
    resized = []
    for x in range(1, length + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        indices = [left + j for j in range(math.ceil(width) + 2)]
        weights = [kernel_scale * _cubic(kernel_scale * (u - index)) for index in indices]
        total = 0.0
        for index, weight in zip(indices, weights):
            inside = min(max(index, 1), n)
            total += weight * float(values[inside - 1])
        resized.append(total / sum(weights))
    return resized


def _reference(image, height, width):
    eight_bit = image.dtype == np.uint8
    for length in (height, width):  # along the rows' axis, then transposed along the columns'
        columns = []
        for column in image.swapaxes(0, 1):
            channels = [_row(channel, length) for channel in column.T]
            columns.append(np.array(channels).T)
        image = np.array(columns)
        if eight_bit:
            image = np.vectorize(lambda value: min(max(math.floor(value + 0.5), 0), 255))(image)
    return image


@pytest.mark.parametrize("size", [(3, 5), (7, 9), (48, 80), (5, 31)])
def test_imresize_equals_the_reference(size):
    eight_bit = resize.imresize(RGB, *size)
    assert eight_bit.dtype == np.uint8
    np.testing.assert_array_equal(eight_bit, _reference(RGB, *size))
    floats = RGB / 255
    np.testing.assert_allclose(resize.imresize(floats, *size), _reference(floats, *size), atol=1e-12)


def _published(shared_data, name):
    folder = shared_data / "benchmarks" / name
    for path in sorted((folder / "HR").iterdir()):
        yield [np.array(Image.open(folder / side / path.name)) for side in ("HR", "LR")]


@pytest.mark.parametrize("name, count", [("Set5", 5), ("Set14", 14), ("BSD100", 100)])
def test_downscale_equals_the_published_files(shared_data, name, count):
    pairs = list(_published(shared_data, name))
    assert len(pairs) == count
    for hr, lr in pairs:
        np.testing.assert_array_equal(resize.downscale(resize.crop_to_multiple(hr, 4)), lr)


@pytest.mark.parametrize("upscale, published", [(resize.upscale_bicubic, 28.43), (resize.upscale_nearest, 26.26)])
def test_baselines_reach_the_published_psnr(shared_data, upscale, published):
    psnrs = []
    for hr, lr in _published(shared_data, "Set5"):
        error = (luma(hr) - luma(upscale(lr)))[4:-4, 4:-4]
        psnrs.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert np.mean(psnrs) == pytest.approx(published, abs=0.006)


def test_crop_with_margin_equals_crop_of_the_whole():
    whole = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    margin = 8  # the kernel reaches 6 pixels beyond the 4 that become one
    lr = resize.downscale(whole)
    for top, left in ((8, 8), (24, 60), (56, 88)):
        crop = whole[top - margin : top + 32 + margin, left - margin : left + 32 + margin]
        inner = resize.downscale(crop)[2:-2, 2:-2]
        np.testing.assert_array_equal(inner, lr[top // 4 : top // 4 + 8, left // 4 : left // 4 + 8])


@pytest.mark.parametrize("lengths", [(48, 12), (12, 48), (4, 1), (1, 4)])
def test_weights_at_factor_4_are_multiples_of_1_over_4096(lengths):
    weights = resize.resize_matrix(*lengths).toarray() * 4096
    np.testing.assert_array_equal(weights, np.rint(weights))
    np.testing.assert_array_equal(weights.sum(axis=1), 4096)


def test_keys_cubic_at_known_points():
    # Keys 1981: 1 at 0, 0 at every other integer; 9/16 and -1/16 are the well-known weights for the middle.
    weights = resize.keys_cubic([-2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2])
    np.testing.assert_array_equal(weights, [0, 0, -1 / 16, 0, 9 / 16, 1, 9 / 16, 0, -1 / 16, 0])


def test_a_straight_ramp_stays_straight_inside():
    ramp = np.arange(64.0)[:, None] * np.ones((1, 64))
    down = resize.downscale(ramp)[2:-2, 8]
    np.testing.assert_allclose(down, 4 * np.arange(2, 14) + 1.5, atol=1e-12)


def test_sixteen_bits_keep_their_range():
    image = np.zeros((16, 16), np.uint16)
    image[:, 8:] = 65535
    small = resize.downscale(image)
    assert small.dtype == np.uint16
    assert small.min() == 0 and small.max() == 65535  # overshoot at the edge is clipped, not wrapped


def test_nearest_repeats_pixels():
    np.testing.assert_array_equal(resize.upscale_nearest(RGB), np.kron(RGB, np.ones((4, 4, 1), np.uint8)))


def test_crop_to_multiple_cuts_bottom_and_right():
    np.testing.assert_array_equal(resize.crop_to_multiple(RGB[:11, :19], 4), RGB[:8, :16])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="multiples of 4.*11x20"):
        resize.downscale(RGB[:11])
    with pytest.raises(ValueError, match="resized=0"):
        resize.resize_matrix(8, 0)
