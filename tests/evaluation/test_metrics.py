import numpy as np
import pytest

from srgan_tf.evaluation.metrics import psnr, ssim


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


@pytest.mark.parametrize("where", [np.s_[3], np.s_[-4], np.s_[:, 3], np.s_[:, -4]])
def test_four_pixels_at_each_border_are_not_compared(pictures, where):
    changed = pictures[0].copy()
    changed[where] ^= 255
    assert psnr(pictures[0], changed) == np.inf
    assert ssim(pictures[0], changed) == 1


@pytest.mark.parametrize("where", [np.s_[4], np.s_[-5], np.s_[:, 4], np.s_[:, -5]])
def test_the_fifth_pixel_is_compared(pictures, where):
    changed = pictures[0].copy()
    changed[where] ^= 255
    assert psnr(pictures[0], changed) < 40
    assert ssim(pictures[0], changed) < 0.999


def test_ssim_is_wangs(pictures):
    luma = [16 + (picture[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966])) / 255 for picture in pictures]
    expected = wang(*luma)
    assert 0.2 < expected < 0.9
    assert ssim(*pictures) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric, smallest", [(psnr, 9), (ssim, 19)])
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
