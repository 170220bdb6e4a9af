"""Each step against SciPy, Pillow or its definition."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import integrate, ndimage, special, stats

from srgan_tf.imaging.degradation import steps
from srgan_tf.imaging.degradation.random import Random
from srgan_tf.imaging.resize import imresize


@pytest.fixture(scope="module")
def photograph():
    """Blots and edges with some grain, uint8 `(90, 120, 3)`."""
    rng = np.random.default_rng(0)
    blots = ndimage.zoom(rng.uniform(0, 255, (9, 12, 3)), (10, 10, 1), order=1)
    blots[30:50, 40:90] = (250, 30, 60)
    return np.clip(blots + rng.normal(0, 6, blots.shape), 0, 255).astype(np.uint8)


def _scene(hr=(90, 120), corner=(0, 0), number=0):
    return steps.Scene(hr, corner, Random(0, number, 1))


@pytest.mark.parametrize("sigmas, angle", [((1.3, 1.3), 0.0), ((2.5, 0.7), 0.6), ((0.4, 3.0), 2.9)])
def test_gaussian_kernels_are_normal_densities(sigmas, angle):
    kernel = steps.gaussian_kernel(15, sigmas, angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # x to the right, y down
    covariance = rotation @ np.diag(np.square(sigmas)) @ rotation.T
    y, x = np.mgrid[-7:8, -7:8]
    expected = stats.multivariate_normal(cov=covariance).pdf(np.dstack([x, y]))
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("exponent", [0.5, 4.0])
def test_generalised_kernels_have_the_exponent(exponent):
    kernel = steps.gaussian_kernel(9, (2.0, 1.0), 0.0, exponent)
    expected = np.empty((9, 9))
    for row in range(9):
        for column in range(9):
            expected[row, column] = np.exp(-((((column - 4) / 2) ** 2 + (row - 4) ** 2) ** exponent) / 2)
    np.testing.assert_allclose(kernel, expected / expected.sum(), rtol=1e-10)


@pytest.mark.parametrize("cutoff", [np.pi / 3, 2.0, np.pi])
def test_sinc_kernels_are_the_inverse_transform_of_a_disc(cutoff):
    kernel = steps.sinc_kernel(11, cutoff)

    def weight(radius):
        integral, _ = integrate.quad(lambda frequency: frequency * special.j0(frequency * radius), 0, cutoff)
        return integral / (2 * np.pi)

    expected = np.array([[weight(np.hypot(row, column)) for column in range(-5, 6)] for row in range(-5, 6)])
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize("shape", [(90, 120), (37, 53), (6, 5)])
@pytest.mark.parametrize("kernel", [steps.gaussian_kernel(21, (3, 1), 0.5), steps.sinc_kernel(7, 1.5)])
def test_filtering_is_scipys(photograph, shape, kernel):
    picture = photograph[: shape[0], : shape[1]]
    expected = ndimage.convolve(picture.astype(np.float64), kernel[..., None], mode="nearest")
    np.testing.assert_array_equal(steps.convolve(picture, kernel), np.clip(np.rint(expected), 0, 255))


def _weights(kernel, support, length, resized):
    """Weights of a resizing with antialiasing that aligns the borders, `(resized, length)`."""
    scale = max(1.0, length / resized)
    centers = (np.arange(resized) + 0.5) * length / resized
    distances = (np.arange(length) + 0.5 - centers[:, None]) / scale
    weights = np.where(np.abs(distances) < support, kernel(distances), 0)
    return weights / weights.sum(axis=1, keepdims=True)


KERNELS = {"bilinear": (lambda x: 1 - np.abs(x), 1), "lanczos": (lambda x: np.sinc(x) * np.sinc(x / 3), 3)}


@pytest.mark.parametrize("method", KERNELS)
@pytest.mark.parametrize("factor", [0.25, 0.31, 0.8, 1.4])
def test_resizing_is_the_sum_that_defines_it(photograph, method, factor):
    resized = steps.Resize(factor, method).apply(photograph, _scene())
    height, width = round(90 * factor), round(120 * factor)
    rows, columns = _weights(*KERNELS[method], 90, height), _weights(*KERNELS[method], 120, width)
    expected = photograph.astype(float)
    for axes, weights in (("wx,yxc->ywc", columns), ("hy,yxc->hxc", rows)):
        expected = np.clip(np.rint(np.einsum(axes, weights, expected)), 0, 255)
    assert resized.shape == (height, width, 3)
    difference = np.abs(resized - expected)  # Pillow rounds ties up, in fixed point
    assert difference.max() <= 2 and difference.mean() < 0.1


@pytest.mark.parametrize("height, width", [(18, 24), (35, 50), (88, 119), (135, 160)])
def test_resizing_by_area_averages_what_a_pixel_covers(photograph, height, width):
    # Every pixel divided into so many that the new ones consist of whole parts.
    expected = photograph.repeat(height, axis=0).reshape(height, 90, 120, 3).mean(axis=1)
    expected = expected.repeat(width, axis=1).reshape(height, width, 120, 3).mean(axis=2)
    resized = steps.Resize(1.0, "area").apply(photograph, _scene(hr=(height, width)))
    assert np.abs(resized - expected).max() < 0.5 + 1e-9


def test_bicubic_is_matlabs(photograph):
    bicubic = steps.Resize(0.25, "bicubic").apply(photograph[:88], _scene(hr=(88, 120)))
    np.testing.assert_array_equal(bicubic, imresize(photograph[:88], 22, 30))


def test_normal_numbers_are_quantiles_of_the_raw_ones():
    normals = Random(3, 7, 1).normals(1001)
    key = 3 | ((1 << 64) - 1) << 64
    words = np.random.Philox(key=key, counter=7 << 128 | 1 << 64).random_raw(251).astype("<u8").view("<u2")[:1001]
    np.testing.assert_allclose(normals, stats.norm.ppf((words + 0.5) / 65536), rtol=1e-5)


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_its_deviation(gray):
    plain = np.full((100, 120, 3), 128, np.uint8)
    noise = steps.GaussianNoise(10.0, gray).apply(plain, _scene()) - 128.0
    # Rounding adds a variance of 1/12.
    assert abs(noise.std() - np.hypot(10, 12**-0.5)) < 0.2 and abs(noise.mean()) < 0.3
    assert (noise == noise[..., :1]).all() == gray
    again = steps.GaussianNoise(10.0, gray).apply(plain, _scene()) - 128.0
    np.testing.assert_array_equal(noise, again)
    assert (noise != steps.GaussianNoise(10.0, gray).apply(plain, _scene(number=1)) - 128.0).any()


@pytest.mark.parametrize("mean", [0.0, 0.1, 2.0, 9.5, 120.0, 9000.0])
def test_poisson_counts_are_scipys_but_for_one(mean):
    normals = Random(0, 0, 1).normals(20_000)
    counts = steps.poisson_quantiles(np.full(20_000, mean, np.float32), normals)
    assert np.abs(counts - stats.poisson.ppf(stats.norm.cdf(normals.astype(float)), mean)).max() <= 1
    assert abs(counts.mean() - mean) < 0.05 + 5 * np.sqrt(mean / 20_000)


@pytest.mark.parametrize("gray", [False, True])
def test_poisson_noise_has_the_variance_of_counting(gray):
    plain = np.tile(np.uint8([200, 100, 50]), (150, 150, 1))
    noisy = steps.PoissonNoise(400.0, gray).apply(plain, _scene()).astype(float)
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    for channel, value in enumerate((200, 100, 50)):
        counted = luma if gray else value
        expected = np.sqrt(counted / 255 * 400) / 400 * 255
        assert abs(noisy[..., channel].std() / expected - 1) < 0.03
        assert abs(noisy[..., channel].mean() - value) < 0.5
    difference = noisy - plain
    same = np.abs(difference - difference[..., :1]) <= 1  # each channel is rounded for itself
    assert same.all() == gray


def _jpeg(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality, subsampling", [(30, "4:2:0"), (95, "4:4:4")])
def test_a_jpeg_is_pillows(photograph, quality, subsampling):
    compressed = steps.Jpeg(quality, subsampling).apply(photograph, _scene())
    np.testing.assert_array_equal(compressed, _jpeg(photograph, quality=quality, subsampling=subsampling))
    assert (compressed != photograph).any()


def test_a_jpeg_may_have_more_pixels_than_pillow_opens(photograph, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", photograph.size // 8)
    compressed = steps.Jpeg(90, "4:4:4").apply(photograph, _scene())
    assert compressed.shape == photograph.shape


def test_the_blocks_of_a_crop_are_those_of_the_photograph(photograph):
    whole = _jpeg(photograph, quality=40, subsampling="4:4:4")
    for top, left in ((0, 0), (4, 12), (20, 36), (-8, -4)):
        crop = np.pad(photograph, ((8, 8), (8, 8), (0, 0)), mode="edge")[top + 8 :, left + 8 :][:64, :64]
        compressed = steps.Jpeg(40, "4:4:4").apply(crop, _scene(hr=(64, 64), corner=(top, left)))
        # The blocks that lie wholly in crop and photograph.
        first, last = (
            [-(-max(edge, 0) // 8) * 8 for edge in (top, left)],
            [(edge + 64) // 8 * 8 for edge in (top, left)],
        )
        inner = compressed[first[0] - top : last[0] - top, first[1] - left : last[1] - left]
        np.testing.assert_array_equal(inner, whole[first[0] : last[0], first[1] : last[1]])


def test_the_blocks_follow_a_crop_that_was_resized():
    # Half the size: the crop at (40, 24) begins at (20, 12), that is 4 and 12 into a block of 16.
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    compressed = steps.Jpeg(50, "4:2:0").apply(picture, _scene(hr=(64, 64), corner=(40, 24)))
    whole = np.pad(picture, ((4, 0), (12, 0), (0, 0)), mode="edge")
    np.testing.assert_array_equal(compressed, _jpeg(whole, quality=50, subsampling="4:2:0")[4:, 12:])
