import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

pytest.importorskip("apache_beam")
import pyvips

from srgan_tf.imaging.raster import open_raster
from srgan_tf.inference import beam

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST = 0.002  # megapixels


def noise(number, *shape, dtype=np.uint8):
    return np.random.default_rng(number).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def write_good(folder, number):
    """One of 10 kinds of picture, of one of 4 sizes."""
    size = [(8, 8), (8, 16), (24, 17), (11, 24)][number // 10 % 4]
    kind, place = number % 10, folder / ["", "two words", "[ä]/deep"][number % 3]
    place.mkdir(parents=True, exist_ok=True)
    bands = {0: (3,), 1: (), 2: (4,), 3: (2,), 4: (3,), 5: (), 6: (4,), 7: (3,), 8: (3,), 9: (1,)}[kind]
    values = noise(number, *size, *bands, dtype=np.uint16 if kind in (7, 9) else np.uint8)
    if kind in (7, 9):
        interpretation = "rgb16" if kind == 7 else "grey16"
        image = pyvips.Image.new_from_array(values).copy(interpretation=interpretation)
        image.write_to_file(str(place / f"{number}.{'tif' if kind == 7 else 'png'}"))
        return
    image = Image.fromarray(values)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # to be turned by 90 degrees; the maker
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {4: {"exif": exif, "icc_profile": profile}, 6: {"lossless": True, "exact": True}}.get(kind, {})
    image.save(place / f"{number}.{['png', 'png', 'png', 'png', 'jpg', 'gif', 'webp', '', 'bmp'][kind]}", **options)


def write_bad(folder):
    """Ten files that are not to be upscaled."""

    def saved(name, values, **options):
        Image.fromarray(values).save(folder / name, **options)
        return folder / name

    def cut(path):
        path.write_bytes(path.read_bytes()[:-200])

    more = [Image.fromarray(noise(number, 9, 9)) for number in range(2)]
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").touch()
    cut(saved("cut.png", noise(0, 30, 30, 3)))
    cut(saved("cut.jpg", noise(0, 30, 30, 3)))
    cut(saved("cut.bmp", noise(0, 30, 30, 3)))
    saved("animated.gif", noise(5, 9, 9), save_all=True, append_images=more)
    saved("animated.webp", noise(5, 9, 9, 3), save_all=True, append_images=[image.convert("RGB") for image in more])
    saved("pages.tif", noise(5, 9, 9), save_all=True, append_images=more)
    saved("float.tif", noise(5, 9, 9).astype(np.float32))
    saved("large.png", noise(0, 50, 41, 3))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(190):
        write_good(folder, number)
    write_bad(folder)
    (folder / "notes.txt").write_text("passed over")
    (folder / ".hidden.png").write_text("passed over")
    return folder


def results(folder):
    return {path.relative_to(folder): path.stat() for path in folder.rglob("*") if path.is_file()}


def finished(folder):
    """The pictures that are whole, of a folder that is being written into: other files may vanish at any moment."""
    return [path for path in folder.rglob("*.*") if not path.name.startswith(".")]


def read(path):
    with open_raster(path) as raster:
        return raster.rows(0, raster.height), raster.metadata


def start(log, *flags):
    """The pipeline in two processes, which are its own group of processes."""
    workers = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    command = [sys.executable, "-m", "srgan_tf.inference.beam", *flags, *workers]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True)


def test_killed_and_completed_it_gives_what_upscale_gives(exported, photos, weights, run, tmp_path):
    large, expected = tmp_path / "large", tmp_path / "expected"
    flags = f"--input={photos}/**", f"--output={large}", f"--max_megapixels={LARGEST}"
    log = tmp_path / "log.txt"
    with open(log, "w") as file:
        process = start(file, f"--model={exported}", *flags)
        while len(finished(large)) < 20 and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, log.read_text()
        before = {name: stat for name, stat in results(large).items() if not name.name.startswith(".")}
        assert 10 < len(before) < 180
        half = large / "[ä]" / "deep" / ".0123.unfinished"  # as a process may leave it that is killed while it writes
        half.parent.mkdir(parents=True, exist_ok=True)
        half.touch()
        assert start(file, f"--model={exported}", *flags).wait() == 0, log.read_text()
    assert f"{190 - len(before)} upscaled to {large}/\n{len(before)} left as they are" in log.read_text()
    after = results(large)
    for name, stat in before.items():
        assert (after[name].st_ino, after[name].st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns), name

    status, _, errors = run(
        "--mode=upscale",
        f"--weights={weights}",
        f"--input={photos}",
        f"--output={expected}",
        f"--max_megapixels={LARGEST}",
    )
    assert status == 1
    bad = [json.loads(line) for line in (large / "bad-pictures.jsonl").read_text().splitlines()]
    assert len(bad) == 10
    assert sorted(f"srgan: error: {each['source']}: {each['reason']}" for each in bad) == sorted(errors)
    assert after.keys() - {Path("bad-pictures.jsonl")} == results(expected).keys()
    different = count = 0
    for name in results(expected):
        (values, metadata), (expected_values, expected_metadata) = read(large / name), read(expected / name)
        assert values.dtype == expected_values.dtype and values.shape == expected_values.shape
        assert metadata == expected_metadata
        apart = np.abs(values.astype(int) - expected_values)
        assert apart.max() <= 1, name
        if values.dtype == np.uint8:  # a level of 16 bits is less than what float32 is sure of
            different, count = different + np.count_nonzero(apart), count + apart.size
    assert count > 1_000_000 and different / count < 1e-5


@pytest.mark.parametrize(
    "flags, line",
    [
        (["--output={tmp}/large"], "the following arguments are required: --input"),
        (["--input=", "--output={tmp}/large"], "--input is given without a value"),
        (["--input={tmp}/none", "--output={tmp}/large"], "--input={tmp}/none: no such file, nor anything"),
        (["--input={tmp}/in/*.jpg", "--output={tmp}/large"], "--input={tmp}/in/*.jpg: no such file, nor anything"),
        (["--input={tmp}/in", "--output={tmp}/in/large"], "--output={tmp}/in/large: lies in the input folder"),
        (["--input={tmp}/in", "--output={tmp}/in"], "--output={tmp}/in: lies in the input folder"),
        (["--input={tmp}/in", "--output={tmp}/link", "--overwrite"], "--output={tmp}/link: lies in the input folder"),
        (["--input={tmp}/link/*", "--output={tmp}/in/new"], "--output={tmp}/in/new: lies in the input folder"),
        (["--input={tmp}/in", "--output={tmp}/[1]"], "--output={tmp}/[1]: Beam takes *, ? and [ for wildcards"),
        (["--input={tmp}/in", "--output=nowhere://large"], "--output=nowhere://large: Unable to get filesystem"),
        (["--input={tmp}/in", "--output={tmp}/large", "--list={tmp}/none.txt"], "--list={tmp}/none.txt: no such file"),
        (["--input={tmp}/in", "--output={tmp}/large", "--format=gif"], "argument --format: invalid choice: 'gif'"),
        (["--input={tmp}/in", "--output={tmp}/large", "--model={tmp}"], "{tmp}: no SavedModel; `srgan export"),
        (["--input={tmp}/in", "--output={tmp}/large", "--model={tmp}/old"], "{tmp}/old: not exported by this version"),
        (["--input={tmp}/in", "--output={tmp}/large", "--overwrit"], "--overwrit: no such flag"),
    ],
)
def test_mistakes_are_one_line(exported, tmp_path, capsys, flags, line):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "picture.png").touch()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "saved_model.pb").touch()
    flags = [f"--model={exported}", *(flag.format(tmp=tmp_path) for flag in flags)]
    assert beam.main(["beam", *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"srgan_tf.inference.beam: error: {line.format(tmp=tmp_path)}") and error.count("\n") == 1
    assert not (tmp_path / "large").exists()


def test_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not there
    monkeypatch.delitem(sys.modules, "srgan_tf.inference.beam")
    with pytest.raises(SystemExit) as end:
        runpy.run_module("srgan_tf.inference.beam", run_name="__main__")
    assert end.value.code == "srgan_tf.inference.beam: error: needs Apache Beam; pip install 'srgan_tf[beam]'"
