import errno
import functools
import io
import os
import re
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf.imaging import raster
from srgan_tf.imaging.errors import PictureError
from srgan_tf.inference import jobs
from srgan_tf.inference.plan import Job
from srgan_tf.system.errors import UserError


class Nearest:
    """Stands for an `Upscaler`: repeats pixels, two rows of the input at a time."""

    scale, max_memory = 2, None

    def __init__(self, after_first_strip=lambda: None):
        self._after_first_strip = after_first_strip

    def upscale_strips(self, rows, height, width, bands, dtype, *, reserve, progress, on_residual):
        self.reserve = reserve
        return self._strips(rows, height, width, progress)

    def _strips(self, rows, height, width, progress):
        for top in range(0, height, 2):
            bottom = min(top + 2, height)
            progress((bottom - top) * width)
            yield rows(top, bottom).repeat(2, axis=0).repeat(2, axis=1)
            self._after_first_strip()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, in which everything happens."""
    monkeypatch.chdir(tmp_path)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def put(name, pixels):
    Image.fromarray(pixels).save(name)
    return Job(Path(name), Path("out", name), Path(name).suffix[1:])


def pixels(name):
    with Image.open(name) as image:
        return np.asarray(image)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 2), (5, 4, 3), (5, 4, 4), (1, 1, 3)])
def test_gray_color_and_transparency(shape):
    assert jobs.run([put("a.png", noise(*shape))], Nearest()) == []
    assert (pixels("out/a.png") == noise(*shape).repeat(2, axis=0).repeat(2, axis=1)).all()
    assert os.listdir("out") == ["a.png"]


def test_sixteen_bits():
    values = noise(6, 5).astype(np.uint16) * 257 - 3
    put("a.png", values)
    assert jobs.run([Job(Path("a.png"), Path("b.tif"), "tiff")], Nearest()) == []
    assert pixels("b.tif").dtype == np.uint16
    assert (pixels("b.tif") == values.repeat(2, axis=0).repeat(2, axis=1)).all()


@pytest.mark.parametrize(
    "outscale, size", [(None, (14, 10)), (2, (14, 10)), (1.7, (12, 8)), (1, (7, 5)), (0.01, (1, 1))]
)
def test_other_scale_factors(outscale, size):
    jobs.run([put("a.png", np.full((7, 5, 3), 99, np.uint8))], Nearest(), outscale=outscale)
    assert pixels("out/a.png").shape == (*size, 3) and (pixels("out/a.png") == 99).all()


@pytest.mark.parametrize("outscale", [2.01, 0, -1])
def test_a_scale_factor_beyond_the_upscalers_is_refused(outscale):
    with pytest.raises(UserError, match=f"--outscale={outscale}: these weights upscale 2 times; run it twice for more"):
        jobs.run([put("a.png", noise(2, 2, 3))], Nearest(), outscale=outscale)
    assert not Path("out").exists()


def test_quality():
    put("a.png", noise(20, 20, 3))
    for name, quality in (("low", 10), ("high", 95), ("default", None)):
        assert jobs.run([Job(Path("a.png"), Path(name), "jpeg")], Nearest(), quality=quality) == []
    tables = {}
    for name in ("low", "high", "default"):
        with Image.open(name) as image:
            tables[name] = image.quantization
    assert tables["high"] == tables["default"] != tables["low"]


def test_bad_pictures_do_not_stop_the_others_and_are_named():
    class Weak(Nearest):
        def upscale_strips(self, rows, height, width, bands, dtype, **options):
            if height == 3:
                raise MemoryError("out of memory")
            if height == 4:
                raise UserError("max_memory of 1 MiB does not suffice")
            return super().upscale_strips(rows, height, width, bands, dtype, **options)

    Path("broken.png").write_bytes(b"no image")
    todo = [
        Job(Path("broken.png"), Path("out/broken.png"), "png"),
        put("heavy.png", noise(3, 3)),
        put("little.png", noise(4, 4)),
        put("large.png", noise(9, 9)),
        put("good.png", noise(5, 5)),
    ]
    failures = jobs.run(todo, Weak(), max_pixels=80)
    assert [str(failure) for failure in failures] == [
        "broken.png: not an image (PNG, JPEG, WebP, BMP, TIFF, GIF)",
        "heavy.png: out of memory",
        "little.png: max_memory of 1 MiB does not suffice",
        "large.png: 9x9 pixels, more than 8e-05 megapixels, taken for a decompression bomb; cut it into smaller"
        " images, or allow more with --max_megapixels",
    ]
    assert os.listdir("out") == ["good.png"]


def test_what_the_writing_takes_is_told_and_bounded(monkeypatch):
    gathered, write = [], jobs.write_raster

    def watched(*given, **more):
        gathered.append(more["buffer_bytes"])
        return write(*given, **more)

    monkeypatch.setattr(jobs, "write_raster", watched)
    upscaler, todo = Nearest(), [put("a.png", noise(100, 50, 3))]
    assert jobs.run(todo, upscaler) == []
    assert gathered.pop() is None and upscaler.reserve >= 200 * 100 * 3
    upscaler.max_memory = 8 * (200 * 100 * 3 - 1)
    assert jobs.run(todo, upscaler) == []
    assert gathered.pop() == 200 * 100 * 3 - 1 and upscaler.reserve < 2048 * 100 + 1  # gathered in a file
    webp = [Job(Path("a.png"), Path("out/a.webp"), "webp")]
    (failure,) = jobs.run(webp, upscaler)
    assert str(failure).startswith("a.png: WebP is encoded as a whole") and "--max_memory" in str(failure)
    upscaler.max_memory = 2 * 36 * 200 * 100
    assert jobs.run(webp, upscaler) == []


def test_what_decoding_takes_is_reserved(monkeypatch):
    Image.fromarray(noise(100, 50, 3)).save("a.webp", lossless=True)
    upscaler, todo = Nearest(), [Job(Path("a.webp"), Path("out/a.png"), "png")]
    assert jobs.run(todo, upscaler) == []
    decoded = upscaler.reserve  # small, and in memory already
    monkeypatch.setattr(raster, "_MAX_BYTES_IN_MEMORY", 100)
    assert jobs.run(todo, upscaler) == []
    assert upscaler.reserve - decoded >= 100 * 50 * 8


def test_a_full_disk_stops(monkeypatch):
    full = UserError(f"out/a.png: cannot be written ({os.strerror(errno.ENOSPC)})")
    monkeypatch.setattr(jobs, "write_raster", lambda *_, **__: (_ for _ in ()).throw(full))
    todo = [put(name, noise(2, 2)) for name in ("a.png", "b.png", "c.png")]
    failures = jobs.run(todo, Nearest())
    assert failures[0] == full and len(failures) == 2
    assert "disk is full; 2 of 3 images are left" in str(failures[1]) and failures[1].left == 2
    assert jobs.run(todo[:1], Nearest()) == [full]


def test_an_interruption_leaves_nothing_half_written():
    def interrupt():
        raise KeyboardInterrupt

    todo = [put("a.png", noise(6, 6))]
    with pytest.raises(KeyboardInterrupt):
        jobs.run(todo, Nearest(after_first_strip=interrupt))
    assert os.listdir("out") == []


def pipe(monkeypatch, content):
    """Standard input with `content`; returns standard output."""
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    monkeypatch.setattr("sys.stdout", types.SimpleNamespace(buffer=output))
    return output


def test_from_standard_input_to_standard_output(monkeypatch):
    put("a.png", noise(5, 4, 3))
    output = pipe(monkeypatch, Path("a.png").read_bytes())
    assert jobs.run([Job(None, None, "bmp")], Nearest()) == []
    output.seek(0)
    with Image.open(output) as image:
        assert image.format == "BMP"
        assert (np.asarray(image) == noise(5, 4, 3).repeat(2, axis=0).repeat(2, axis=1)).all()
    assert os.listdir() == ["a.png"]


def test_half_a_picture_sends_nothing(monkeypatch):
    put("a.png", noise(50, 40, 3))
    output = pipe(monkeypatch, Path("a.png").read_bytes()[:3000])
    (failure,) = jobs.run([Job(None, None, "png")], Nearest())
    assert str(failure).startswith("standard input: ") and isinstance(failure, PictureError)
    assert output.getvalue() == b""


def watch_progress(monkeypatch):
    """Makes standard error a terminal, on which the bar shows every step; returns the terminal."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(jobs, "tqdm", functools.partial(jobs.tqdm, mininterval=0, miniters=1))
    return terminal


def assert_it_grows_to(terminal, pixels):
    shown = [(float(done), float(total)) for done, total in re.findall(r"([\d.]+)/([\d.]+) \[", terminal.getvalue())]
    assert shown == sorted(shown) and shown[-1] == (pixels, pixels)
    return shown


def test_the_progress_counts_the_pixels_of_all_pictures(monkeypatch):
    terminal = watch_progress(monkeypatch)
    Path("broken.png").write_bytes(b"no image")
    put("weak.png", noise(2, 2, 3))
    Path("weak.png").write_bytes(Path("weak.png").read_bytes()[:-20])
    names = ("broken.png", "weak.png")
    todo = [Job(Path(name), Path("out", name), "png") for name in names]
    todo[1:1] = [put("a.png", noise(5, 4, 3)), put("b.png", noise(3, 10))]
    assert len(jobs.run(todo, Nearest())) == 2
    assert_it_grows_to(terminal, 5 * 4 + 3 * 10)


def test_the_progress_of_one_picture_goes_by_strips(monkeypatch):
    terminal = watch_progress(monkeypatch)
    put("a.png", noise(5, 4, 3))
    pipe(monkeypatch, Path("a.png").read_bytes())
    jobs.run([Job(None, Path("b.png"), "png")], Nearest())
    shown = assert_it_grows_to(terminal, 5 * 4)
    assert any(0 < done < total for done, total in shown)


def test_a_picture_that_failed_counts_as_done(monkeypatch):
    terminal = watch_progress(monkeypatch)

    def fail():
        raise MemoryError

    failures = jobs.run([put("a.png", noise(5, 4)), put("b.png", noise(1, 1))], Nearest(after_first_strip=fail))
    assert str(failures[0]) == "a.png: out of memory"
    assert_it_grows_to(terminal, 5 * 4 + 1)


def test_a_picture_beyond_pillows_limit_is_counted_without_a_warning(monkeypatch, recwarn):
    terminal = watch_progress(monkeypatch)
    todo = [put("a.png", noise(6, 6))]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert jobs.run(todo, Nearest()) == []
    assert_it_grows_to(terminal, 36)
    assert not recwarn.list


def test_nothing_is_shown_where_standard_error_is_no_terminal(capfd):
    assert jobs.run([put("a.png", noise(5, 4)), put("b.png", noise(1, 1))], Nearest()) == []
    assert capfd.readouterr() == ("", "")
