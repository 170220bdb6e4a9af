import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_tf.evaluation.metrics import daala_kernel, paper_ssim, psnr, ssim


def wang(x, y):
    """Equation 13 of Wang et al. 2004 on two gray pictures, window by window, and its mean (equation 17)."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values):
        return np.einsum("hwij,ij->hw", np.lib.stride_tricks.sliding_window_view(values, (11, 11)), window)

    mx, my = mean(x), mean(y)
    vx, vy, covariance = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.mean((2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


def dump_ssim(x, y):
    """daala's `dump_ssim` on two gray pictures, pixel by pixel, each window with its weights as integers."""
    height, width = x.shape
    sigma = 1.5 * height / 256
    reach, weights = 0, {}
    while True:  # the weight at this distance, continuous, is at least half of 1/256
        weight = 256 * math.exp(-((reach + 1) ** 2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
        if weight < 0.5 or reach + 1 >= min(height, width):
            break
        reach += 1
        weights[reach] = weights[-reach] = math.floor(weight + 0.5)
    weights[0] = 256 - sum(weights.values())
    total = counts = 0
    for row in range(height):
        for column in range(width):
            w = mx = my = xx = xy = yy = 0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if 0 <= row + dy < height and 0 <= column + dx < width:
                        k, a, b = weights[dy] * weights[dx], x[row + dy, column + dx], y[row + dy, column + dx]
                        w, mx, my = w + k, mx + k * a, my + k * b
                        xx, xy, yy = xx + k * a * a, xy + k * a * b, yy + k * b * b
            c1, c2 = (0.01 * 255 * w) ** 2, (0.03 * 255 * w) ** 2
            likeness = (2 * mx * my + c1) * (2 * (xy * w - mx * my) + c2)
            total += w * likeness / ((mx**2 + my**2 + c1) * (xx * w - mx**2 + yy * w - my**2 + c2))
            counts += w
    return total / counts


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(41) * 3, np.arange(52) * 2)[..., None] + [0, 20, 40]
    noisy = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255)
    return smooth.astype(np.uint8), noisy.astype(np.uint8)


@pytest.mark.parametrize("offset", [1, 7, 40])
def test_psnr_of_a_constant_offset(offset):
    reference = np.random.default_rng(1).integers(0, 200, (20, 30, 3), np.uint8)
    # BT.601 in studio range maps 255 levels of gray to 219.
    expected = 20 * np.log10(255 / (offset * 219 / 255))
    assert psnr(reference, reference + np.uint8(offset)) == pytest.approx(expected, abs=1e-9)


def test_psnr_weighs_the_channels_as_bt601():
    reference = np.full((20, 20, 3), 100, np.uint8)
    for channel, weight in enumerate((65.481, 128.553, 24.966)):
        image = reference.copy()
        image[..., channel] += 10
        assert psnr(reference, image) == pytest.approx(20 * np.log10(255 / (10 * weight / 255)), abs=1e-9)


def test_equal_pictures(pictures):
    assert psnr(pictures[0], pictures[0]) == np.inf
    assert ssim(pictures[0], pictures[0]) == 1
    assert paper_ssim(pictures[0], pictures[0]) == 1


@pytest.mark.parametrize("where", [np.s_[3], np.s_[-4], np.s_[:, 3], np.s_[:, -4]])
def test_four_pixels_at_each_border_are_not_compared(pictures, where):
    changed = pictures[0].copy()
    changed[where] ^= 255
    assert psnr(pictures[0], changed) == np.inf
    assert ssim(pictures[0], changed) == 1
    assert paper_ssim(pictures[0], changed) == 1


@pytest.mark.parametrize("where", [np.s_[4], np.s_[-5], np.s_[:, 4], np.s_[:, -5]])
def test_the_fifth_pixel_is_compared(pictures, where):
    changed = pictures[0].copy()
    changed[where] ^= 255
    assert psnr(pictures[0], changed) < 40
    assert ssim(pictures[0], changed) < 0.999
    assert paper_ssim(pictures[0], changed) < 0.9999


def test_ssim_is_wangs(pictures):
    luma = [16 + (picture[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966])) / 255 for picture in pictures]
    expected = wang(*luma)
    assert 0.2 < expected < 0.9
    assert ssim(*pictures) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("height", [15, 33, 120])
def test_paper_ssim_is_dump_ssims(height):
    rng = np.random.default_rng(height)
    smooth = np.add.outer(np.arange(height) * 2, np.arange(26) * 5)[..., None] + [0, 10, 20]
    reference = np.clip(smooth + rng.normal(0, 25, smooth.shape), 0, 255).astype(np.uint8)
    image = np.clip(reference + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
    y = [16 + picture[4:-4, 4:-4] @ (np.array([65.481, 128.553, 24.966]) / 255) for picture in (reference, image)]
    expected = dump_ssim(*y)
    assert 0.3 < expected < 0.995
    assert paper_ssim(reference, image) == pytest.approx(expected, abs=1e-9)


def test_the_window_of_256_rows_is_the_known_one():
    # What gaussian_filter_init(1.5) gives in C, as Netflix' libvmaf documents it.
    assert daala_kernel(1.5, 100).tolist() == [2, 9, 28, 55, 68, 55, 28, 9, 2]
    assert daala_kernel(1.5, 2).tolist() == [55, 146, 55]
    assert daala_kernel(250, 1000).tolist() == [256]  # every weight is under half of 1/256


def test_the_windows_grow_with_the_height_alone():
    rng = np.random.default_rng(3)
    reference = rng.integers(0, 256, (160, 48, 3), np.uint8)
    image = np.clip(reference + rng.normal(0, 30, reference.shape), 0, 255).astype(np.uint8)
    turned = [picture.transpose(1, 0, 2) for picture in (reference, image)]
    assert abs(paper_ssim(reference, image) - paper_ssim(*turned)) > 1e-3
    assert ssim(reference, image) == pytest.approx(ssim(*turned), abs=1e-12)


def test_rgb(pictures):
    first, second = (picture[4:-4, 4:-4] for picture in pictures)
    error = np.mean((first.astype(float) - second) ** 2)
    assert psnr(*pictures, channels="rgb") == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    expected = structural_similarity(
        first, second, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(*pictures, channels="rgb") == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="'luma'"):
        psnr(*pictures, channels="luma")


def test_gray_is_compared_by_its_own_values(pictures):
    first, second = (picture[..., 0] for picture in pictures)
    inside = np.s_[4:-4, 4:-4]
    shown = [np.repeat(gray[..., None], 3, 2) for gray in (first, second)]
    expected = peak_signal_noise_ratio(first[inside], second[inside], data_range=255)
    assert psnr(*shown, channels="gray") == pytest.approx(expected, abs=1e-9)
    assert ssim(*shown, channels="gray") == pytest.approx(wang(first[inside] * 1.0, second[inside] * 1.0), abs=1e-9)
    assert paper_ssim(*shown, channels="gray") == pytest.approx(dump_ssim(first[inside] * 1.0, second[inside] * 1.0))


@pytest.mark.parametrize("metric, smallest", [(psnr, 9), (ssim, 19), (paper_ssim, 9)])
def test_too_small_or_unlike_pictures_are_refused(metric, smallest):
    picture = np.zeros((smallest, 40, 3), np.uint8)
    metric(picture, picture)
    with pytest.raises(ValueError, match=f"at least {smallest} pixels. Received: {smallest - 1}x40"):
        metric(picture[1:], picture[1:])
    with pytest.raises(ValueError, match="equally large"):
        metric(picture, picture[:, 1:])
    with pytest.raises(ValueError, match="float64"):
        metric(picture / 255, picture)
    with pytest.raises(ValueError, match="uint8"):
        metric(picture[..., 0], picture[..., 0])
