import numpy as np
import pytest

from srgan_tf.evaluation.metrics import psnr
from srgan_tf.imaging import files
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.imaging.resize import downscale, imresize, upscale_bicubic
from srgan_tf.models.selfex import upscale, upscale_plane

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


def test_a_published_picture_is_no_worse_than_published(shared_data):
    hr = files.read_rgb(shared_data / "benchmarks" / "Set5" / "HR" / "003.png")
    sr = from_network(upscale(to_network(downscale(hr))))
    # Of the authors: quant_eval/result/result_Set5_SRF_4.mat of github.com/jbhuang0604/SelfExSR.
    assert psnr(hr, sr) > 24.17


def _patch_by_patch(lr, scale):
    """`upscale_plane` as its module says, in float64."""
    steps = round(3 * np.log2(scale))
    sizes = [[round(side * scale ** (step / steps)) for side in lr.shape] for step in range(-1, steps + 1)]
    image = lr
    for smaller, size in zip(sizes, sizes[2:]):
        blurred = _patches(imresize(imresize(image, *smaller), *image.shape))
        means = blurred.mean(axis=(2, 3), keepdims=True)
        sharp, targets = _patches(image) - means, _patches(imresize(image, *size))
        total, weights = np.zeros((2, size[0] + 4, size[1] + 4))
        for y, x in np.ndindex(*size):
            window = _window(y, size[0], image.shape[0]), _window(x, size[1], image.shape[1])
            own, mean = targets[y, x], targets[y, x].mean()
            errors = ((own - mean - (blurred - means)[window]) ** 2).mean(axis=(2, 3))
            shares = np.exp(-(errors - errors.min()) / (2 * max(errors.min(), 0.03**2)))
            weight = np.exp(-errors.min() / (2 * 0.03**2)) + 0.001
            found = np.tensordot(shares / shares.sum(), sharp[window]) + mean
            total[y : y + 5, x : x + 5] += weight * found
            weights[y : y + 5, x : x + 5] += weight
        image = (total / weights)[2:-2, 2:-2]
        for _ in range(8):
            image = image + imresize(lr - imresize(image, *lr.shape), *image.shape)
    return image


def _patches(image):
    """5x5 patches, `(H, W, 5, 5)`."""
    padded = np.pad(image, 2, mode="edge")
    return np.array([[padded[y : y + 5, x : x + 5] for x in range(image.shape[1])] for y in range(image.shape[0])])


def _window(place, new, old):
    """Of 4 pixels of the larger picture: 8 before and after where they are in the smaller one, and not beyond it."""
    middle, side = (place // 4 * 4 + 2) / new * old, min(20, old)
    start = min(max(round(middle - side / 2), 0), old - side)
    return slice(start, start + side)


@pytest.mark.parametrize("shape", [(26, 3), (4, 25)])
def test_equals_the_formula_patch_by_patch(shape):
    lr = imresize(RNG.uniform(-1, 1, (shape[0] - 1, shape[1] - 1)), *shape)
    expected = _patch_by_patch(lr, 2)
    assert np.abs(expected - imresize(lr, 2 * shape[0], 2 * shape[1])).max() > 0.03
    np.testing.assert_allclose(upscale_plane(np.float32(lr), 2), expected, atol=1e-4)


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
