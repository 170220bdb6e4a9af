import tracemalloc

import numpy as np
import pytest

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging import back_projection, files
from srgan_tf.imaging.back_projection import BackProjection, Residual, working_bytes
from srgan_tf.imaging.resize import downscale, resize_matrix, upscale_bicubic, upscale_nearest


def project(lr, sr, rows=None):
    """The whole result, from `rows` rows of LR at a time, and its residual."""
    scale = len(sr) // len(lr)
    projection = BackProjection(*lr.shape[:2], scale, lr.shape[2], lr.dtype)
    rows = rows or len(lr)
    parts = []
    for top in range(0, len(lr), rows):
        parts += projection.push(lr[top : top + rows], sr[scale * top : scale * (top + rows)])
    return np.concatenate(parts), projection.residual


def residual_of(lr, result):
    """As `imresize` tells it, which is checked against MATLAB's files."""
    return np.abs(downscale(result, len(result) // len(lr)).astype(int) - lr)


def assert_faithful(lr, result, residual):
    differences = residual_of(lr, result)
    level = np.iinfo(lr.dtype).max // 255
    assert differences.max() <= level and np.mean(differences > level / 2) <= 0.001
    assert residual.is_faithful and residual.values == lr.size
    assert (residual.largest, residual.differing) == (differences.max(), np.count_nonzero(differences > level / 2))


@pytest.fixture(scope="module")
def photo():
    """HR, uint8 `(400, 360, 3)`."""
    return files.read_rgb(embedded_pictures()["astronaut"])[:400, :360]


@pytest.fixture(scope="module")
def pair(photo):
    """LR, and an SR that is not faithful."""
    lr = downscale(photo)
    noise = np.random.default_rng(0).normal(0, 6, photo.shape)
    return lr, np.clip(np.rint(upscale_bicubic(lr) + noise), 0, 255).astype(np.uint8)


def test_values_may_be_clipped_in_the_second_step_first():
    rng = np.random.default_rng(94)
    lr = np.clip(np.linspace(150, 260, 150).reshape(6, 25, 1) + rng.normal(0, 2, (6, 25, 1)), 0, 255).astype(np.uint8)
    sr = np.clip(upscale_bicubic(lr) + rng.normal(0, 0.5, (24, 100, 1)), 0, 255).astype(np.uint8)
    assert_faithful(lr, *project(lr, sr))


def test_the_change_is_the_minimum_norm_solution():
    rng = np.random.default_rng(0)
    lr = (32768 + rng.normal(0, 3000, (12, 10, 1))).astype(np.uint16)
    sr = (upscale_nearest(lr) + rng.normal(0, 2000, (48, 40, 1))).astype(np.uint16)
    matrix = np.kron(resize_matrix(48, 12).toarray(), resize_matrix(40, 10).toarray())
    missing = lr.ravel() - matrix @ sr.ravel()
    change = np.linalg.lstsq(matrix, missing, rcond=None)[0].reshape(sr.shape)
    assert np.abs(change).max() > 1000
    result, residual = project(lr, sr)
    assert np.abs(result - (sr + change)).max() < 0.501  # rounded
    assert residual.before == pytest.approx(np.square(missing).sum())
    assert residual_of(lr, result).max() <= 1


def test_the_promise_and_the_gain(photo, pair):
    lr, sr = pair
    assert np.mean(residual_of(lr, sr) > 0) > 0.5
    result, residual = project(lr, sr)
    assert_faithful(lr, result, residual)
    # What is projected on a convex set, in which HR lies, comes nearer to HR.
    errors = [np.square(image.astype(float) - photo).sum() for image in (sr, result)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 3), (3, 50), (45, 2), (90, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sizes(photo, shape, dtype):
    height, width = shape
    factor = np.iinfo(dtype).max // 255
    lr = downscale(photo)[:height, 20 : 20 + width].astype(dtype) * factor
    sr = upscale_nearest(lr)
    assert_faithful(lr, *project(lr, sr))


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_scale_factors(photo, scale):
    lr = downscale(photo[:, :240], 4)
    assert_faithful(lr, *project(lr, upscale_nearest(lr, scale)))


@pytest.mark.parametrize("bands", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_and_alpha(pair, bands, dtype):
    pair = [np.maximum(image[..., [0, 1, 2, 0]][..., -bands:], 1) for image in pair]
    lr, sr = (image.astype(dtype) * (np.iinfo(dtype).max // 255) for image in pair)
    result, residual = project(lr, sr)
    colors = bands - (bands % 2 == 0)
    assert_faithful(lr[..., :colors], result[..., :colors], residual)
    assert (result[..., colors:] == sr[..., colors:]).all()


def test_colors_that_are_hidden_are_not_aimed_at(pair):
    lr, sr = (np.concatenate([image, image[..., :1]], axis=2) for image in pair)
    lr[..., 3] = np.arange(len(lr))[:, None] // 10 % 2 * 80
    other = lr.copy()
    other[lr[..., 3] == 0, :3] = 255 - lr[lr[..., 3] == 0, :3]
    result, residual = project(lr, sr)
    assert (project(other, sr)[0] == result).all()
    visible = lr[..., 3] > 0
    differences = residual_of(lr[..., :3], result[..., :3])[visible]
    assert differences.max() <= 1 and np.mean(differences > 0) <= 0.002  # of half the pixels
    assert residual.is_faithful and residual.differing == np.count_nonzero(differences)


def test_clipped_pixels(photo):
    """Much is black or white, and some LR pixels are what MATLAB has clipped."""
    hr = np.clip(2 * (photo.astype(int) - 128), 0, 255).astype(np.uint8)
    lr = downscale(hr)
    assert np.mean((hr == 0) | (hr == 255)) > 0.4
    sr = np.clip(upscale_bicubic(lr).astype(int) + 3, 0, 255).astype(np.uint8)
    result, residual = project(lr, sr)
    assert residual.steps > 4
    assert_faithful(lr, result, residual)


def test_rows_may_come_in_any_number(pair):
    lr, sr = pair
    whole, residual = project(lr, sr)
    for rows in (1, 7, 40):
        result, other = project(lr, sr, rows)
        assert (result == whole).all() and other == residual


def test_blocks_equal_the_whole(pair, monkeypatch):
    lr, sr = pair
    blocks, _ = project(lr, sr)
    monkeypatch.setattr(back_projection, "_BLOCK_ROWS", len(lr))
    whole, _ = project(lr, sr)
    difference = np.abs(blocks.astype(int) - whole)
    assert difference.max() <= 8 and np.mean(difference > 1) < 0.001  # beside clipped pixels


def test_what_no_picture_can_reach_stays_as_it_is(photo):
    lr = downscale(photo)[:40, :40].copy()
    lr[10:30, 10:30] = np.indices((20, 20)).sum(axis=0)[..., None] % 2 * 255
    sr = upscale_bicubic(lr)
    result, residual = project(lr, sr)
    assert not residual.is_faithful and residual.largest > 1
    assert (result[56:104, 56:104] == sr[56:104, 56:104]).all()
    assert np.mean(residual_of(lr, result)[:4] > 0) <= 0.005  # the rest is solved


@pytest.mark.parametrize("dtype, bands", [(np.uint8, 3), (np.uint8, 4), (np.uint16, 1)])
def test_the_memory_is_as_told(dtype, bands):
    rng = np.random.default_rng(0)
    lr = rng.integers(0, np.iinfo(dtype).max, (120, 300, bands), dtype)  # clipped everywhere, and given up
    sr = upscale_nearest(lr)
    projection = BackProjection(120, 300, 4, bands, dtype)
    tracemalloc.start()
    for _ in projection.push(lr, sr):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.3 < peak / working_bytes(300, 4, bands, dtype) < 1


def test_the_residual_in_words():
    residual = Residual(values=200_000, before=8e5, after=80, differing=80, largest=1, steps=3)
    assert residual.is_faithful
    assert str(residual) == (
        "3 iterations, residual 2.00 to 0.020 levels (RMS), 0.040% of the LR values differ, by 1 at most"
    )
    assert str(Residual(257, 1000, before=0, after=0, differing=1, largest=129)).endswith(
        "0.100% of the LR values differ by more than 128, by 129 at most"
    )
    assert not Residual(values=1000, differing=2, largest=1).is_faithful
    assert not Residual(values=10_000, differing=1, largest=2).is_faithful
