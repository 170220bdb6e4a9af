import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale, upscale_bicubic
from srgan_tf.inference import jobs
from srgan_tf.inference.plan import Job
from srgan_tf.inference.upscaler import Upscaler


class Shifted:
    """In place of a network: nearest neighbour, of which every other column is brighter."""

    scale, margin, filters = 4, 0, 1

    def __call__(self, lr):
        sr = tf.repeat(tf.repeat(lr, 4, axis=1), 4, axis=2)
        stripes = tf.cast(tf.range(tf.shape(sr)[2]) % 2, tf.float32) / 20
        return sr * 0.9 + stripes[:, None]


@pytest.fixture(scope="module")
def lr():
    """uint8 `(100, 90, 4)`, the last a gray."""
    photo = downscale(files.read_rgb(embedded_pictures()["astronaut"])[:400, :360])
    return np.concatenate([photo, np.maximum(photo[::-1, :, :1], 1)], axis=2)


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(Shifted(), faithful=True)


def assert_faithful(lr, sr):
    """By `downscale`, which is checked against MATLAB's files."""
    level = np.iinfo(lr.dtype).max // 255
    differences = np.abs(downscale(sr).astype(int) - lr)
    assert sr.dtype == lr.dtype and differences.max() <= level and np.mean(differences > level / 2) <= 0.001


def test_it_is_off_by_default(lr):
    with pytest.raises(AssertionError):
        assert_faithful(lr[..., :3], Upscaler(Shifted()).upscale(lr[..., :3]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays(lr, upscaler, dtype):
    lr = lr.astype(dtype) * (np.iinfo(dtype).max // 255)
    assert_faithful(lr[..., 0], upscaler.upscale(lr[..., 0]))
    sr = upscaler.upscale(lr)
    assert_faithful(lr[..., :3], sr[..., :3])
    assert (sr[..., 3] == upscale_bicubic(lr[..., 3])).all()
    pair = np.stack([lr[::-1], lr])[..., :3]
    for one, result in zip(pair, upscaler.upscale_batch(pair)):
        assert_faithful(one, result)


def test_tiles_and_strips_equal_the_whole(lr, upscaler):
    lr = lr[..., :3]
    whole = upscaler.upscale(lr)
    tiled = Upscaler(Shifted(), tile=16, faithful=True)
    assert (tiled.upscale(lr) == whole).all()
    residuals = []
    strips = tiled.upscale_strips(lambda top, bottom: lr[top:bottom], *lr.shape, lr.dtype, on_residual=residuals.append)
    strips = list(strips)
    assert len(strips) > 1 and (np.concatenate(strips) == whole).all()
    assert residuals[0].is_faithful and residuals[0].values == lr.size


def test_a_picture_that_has_no_solution_is_named(upscaler):
    board = (np.indices((20, 20)).sum(axis=0) % 2 * 255).astype(np.uint8)
    with pytest.warns(UserWarning, match=r"not faithful everywhere: .* of the LR values differ, by \d+ at most"):
        result = upscaler.upscale(board)
    assert (result == Upscaler(Shifted()).upscale(board)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        upscaler.upscale(board // 64 + 100)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_written_file(lr, upscaler, here, capfd):
    files_of = {"a.png": lr, "b.png": lr[..., 0].astype(np.uint16) * 257}
    for name, pixels in files_of.items():
        Image.fromarray(pixels).save(name)
    todo = [Job(Path(name), Path("out", name), "png") for name in files_of]
    assert jobs.run(todo, upscaler, verbose=True) == []
    with Image.open("out/a.png") as image:
        assert_faithful(lr[..., :3], np.asarray(image)[..., :3])
    with Image.open("out/b.png") as image:
        assert_faithful(files_of["b.png"], np.asarray(image).astype(np.uint16))
    shown = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"a.png: faithful: \d+ iterations, residual \d+\.\d+ to 0\.0\d+ levels .*", shown[0])
    assert len(shown) == 2 and jobs.run(todo, upscaler) == [] and capfd.readouterr().err == ""


def test_only_what_is_not_faithful_is_told_unasked(upscaler, here, capfd):
    Image.fromarray((np.indices((20, 20)).sum(axis=0) % 2 * 255).astype(np.uint8)).save("board.png")
    assert jobs.run([Job(Path("board.png"), Path("out.png"), "png")], upscaler) == []
    assert capfd.readouterr().err.startswith("board.png: not faithful everywhere: ")


def test_what_it_takes_counts_within_the_allowed_memory(monkeypatch):
    reserved = []
    monkeypatch.setattr(
        "srgan_tf.inference.upscaler.plan_tiles", lambda *_, reserve, **__: reserved.append(reserve) or ((9, 9), 99)
    )
    for faithful in (False, True):
        Upscaler(Shifted(), faithful=faithful).upscale_strips(None, 9, 500, 3, np.uint8, reserve=7)
    assert reserved[0] == 7 and reserved[1] > 7 + 500 * 16 * 3 * 48


def test_it_goes_with_the_scale_factor_of_the_network(run, here):
    pixels = np.random.default_rng(0).integers(64, 192, (12, 14, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    assert run("--mode=upscale", "--input=a.png", "--output=b.png", "--faithful", "--outscale=2")[0] == 0
    with Image.open("b.png") as image:
        difference = np.abs(downscale(np.asarray(image), 2).astype(int) - pixels)
    assert image.size == (28, 24) and difference.max() <= 1 and np.mean(difference > 0) <= 0.001


@pytest.mark.parametrize(
    "flags, message",
    [
        (["out.jpg", "--faithful"], "out.jpg: JPEG would change the pixels again after --faithful; write PNG"),
        (["out.webp", "--faithful", "--quality=90"], "out.webp: WebP would change the pixels again"),
        (["out.png", "--faithful", "--outscale=3"], "--faithful is about the network's own scale factor, 4; leave"),
        (["out.png", "--verbose"], "--verbose is about --faithful"),
    ],
)
def test_what_would_break_it_is_refused(run, here, flags, message):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("a.png")
    status, _, err = run("--mode=upscale", "--input=a.png", f"--output={flags[0]}", *flags[1:])
    assert status == 2 and message in err[-1] and not Path(flags[0]).exists()
