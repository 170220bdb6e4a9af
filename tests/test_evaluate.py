"""Modes upscale and export from the command line, and mistakes of all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate
from srgan_tf.imaging import files
from srgan_tf.inference.upscaler import Upscaler


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder with three pictures, one of them a GIF in a subfolder."""
    folder = tmp_path / "photos"
    files.write(folder / "one.png", noise(6, 7))
    files.write(folder / "two.JPG", noise(9, 8))
    files.write(folder / "deep" / "gif.png", noise(5, 5))
    (folder / "deep" / "gif.png").rename(folder / "deep" / "three.gif")  # read by what it holds
    return folder


def python(*arguments):
    """Runs Python in the repository, as from a shell: JAX, which Keras may have imported here, sets this variable."""
    shell = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    folder = Path(evaluate.__file__).parent
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=shell, capture_output=True, text=True)


def test_names_of_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("best.weights.h5", "a=b.h5"):
        (tmp_path / name).write_text("")
    assert list(evaluate.named_weights(["best.weights.h5", f"{tmp_path / 'best.weights.h5'}"])) == [
        "best", f"{tmp_path.name}-best",
    ]  # fmt: skip
    assert list(evaluate.named_weights(["a=b.h5", "x=a=b.h5"])) == ["a=b", "x"]


# --- upscale


def test_upscale_a_file(run, generator, weights, photos, tmp_path):
    output = tmp_path / "new" / "x.png"
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}"]
    status, out, err = run(*flags, f"--output={output}")
    assert status == 0 and err == []
    expected = Upscaler(generator, tile=0).upscale(noise(6, 7))
    assert np.abs(files.read_rgb(output).astype(int) - expected).max() <= 1


def test_upscale_a_file_into_a_folder(run, weights, photos, tmp_path):
    (tmp_path / "large").mkdir()
    flags = ["--mode=upscale", f"--weights={weights}"]
    assert run(*flags, f"--input={photos / 'one.png'}", f"--output={tmp_path}/large")[0] == 0
    assert run(*flags, f"--input={photos / 'deep' / 'three.gif'}", f"--output={tmp_path}/new/")[0] == 0
    assert files.read_rgb(tmp_path / "large" / "one.png").shape == (24, 28, 3)
    assert files.read_rgb(tmp_path / "new" / "three.png").shape == (20, 20, 3)


def test_upscale_a_folder(run, weights, photos, tmp_path):
    (photos / "notes.txt").write_text("no picture")
    large = tmp_path / "large"
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={large}"]
    status, out, err = run(*flags)
    assert status == 0 and err == []
    assert out == [f"3 upscaled to {large}"]
    written = {path.relative_to(large).as_posix(): files.read_rgb(path).shape for path in large.rglob("*.*")}
    assert written == {"one.png": (24, 28, 3), "two.JPG": (36, 32, 3), "deep/three.png": (20, 20, 3)}

    (large / "one.png").unlink()
    (large / "two.JPG").write_bytes(b"mine")
    status, out, err = run(*flags)
    assert status == 0 and out[0] == f"1 upscaled to {large}" and out[1].startswith("2 left as they are")
    assert (large / "two.JPG").read_bytes() == b"mine"
    status, out, err = run(*flags, "--overwrite")
    assert status == 0 and out == [f"3 upscaled to {large}"]
    assert files.read_rgb(large / "two.JPG").shape == (36, 32, 3)


def test_one_bad_file_does_not_stop_a_folder(run, weights, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"no picture")
    large = tmp_path / "large"
    status, out, err = run("--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={large}")
    assert status == 1
    assert out == [f"3 upscaled to {large}, 1 failed"]
    assert len(err) == 1 and err[0].startswith(f"evaluate.py: error: {photos / 'broken.png'}: ")


def test_a_picture_too_large_for_the_memory_is_named(run, weights, photos, tmp_path, monkeypatch):
    def full(upscaler, image):
        raise MemoryError("out of memory")

    monkeypatch.setattr(Upscaler, "upscale", full)
    status, out, err = run(
        "--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}", f"--output={tmp_path / 'x.png'}"
    )
    assert status == 1 and err == [f"evaluate.py: error: {photos / 'one.png'}: out of memory"]


def test_nothing_is_overwritten_unasked(run, weights, photos, tmp_path):
    output = tmp_path / "x.png"
    output.write_bytes(b"mine")
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}"]
    status, _, err = run(*flags, f"--output={output}")
    assert status == 1 and err == [f"evaluate.py: error: {output}: exists already; --overwrite replaces it"]
    assert output.read_bytes() == b"mine"
    for target in (photos / "one.png", photos):
        status, _, err = run(*flags, f"--output={target}", "--overwrite")
        assert status == 1 and "would replace the input" in err[0]
    assert (files.read_rgb(photos / "one.png") == noise(6, 7)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_that_the_output_cannot_hold_is_named_first(run, weights, tmp_path, monkeypatch, suffix):
    files.write(tmp_path / "a.png", files.Picture(noise(6, 7), noise(6, 7)[..., 0]))
    monkeypatch.setattr(Upscaler, "upscale", lambda *_: pytest.fail("came too late"))
    output = tmp_path / f"x{suffix}"
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={tmp_path / 'a.png'}"]
    status, _, err = run(*flags, f"--output={output}")
    assert status == 1 and len(err) == 1
    assert f"{output}: " in err[0] and "cannot hold the picture's transparency" in err[0]


def test_an_enlargement_that_the_output_cannot_hold_is_named_first(run, weights, tmp_path, monkeypatch):
    files.write(tmp_path / "a.png", noise(1, 4100))  # WebP ends at 16383 pixels
    monkeypatch.setattr(Upscaler, "upscale", lambda *_: pytest.fail("came too late"))
    output = tmp_path / "x.webp"
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={tmp_path / 'a.png'}"]
    status, _, err = run(*flags, f"--output={output}")
    assert status == 1 and len(err) == 1 and "cannot hold a side of 16400 pixels" in err[0]


@pytest.mark.parametrize("output, message", [
    ("photos", "lies in the input folder"),
    ("photos/large", "lies in the input folder"),
    ("file", "a file, but"),
])  # fmt: skip
def test_impossible_output_folders(run, weights, photos, tmp_path, output, message):
    (tmp_path / "file").write_text("")
    status, _, err = run("--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={tmp_path / output}")
    assert status == 1 and len(err) == 1 and message in err[0]


def test_two_pictures_that_would_be_written_to_one(run, weights, photos, tmp_path):
    files.write(photos / "deep" / "three.png", noise(5, 5))
    large = tmp_path / "large"
    status, _, err = run("--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={large}")
    assert status == 1 and "three.gif" in err[0] and "three.png" in err[0] and "rename one" in err[0]
    assert not large.exists()


@pytest.mark.parametrize("suffix", sorted(evaluate.WRITABLE))
def test_every_kind_that_is_promised_can_be_written(tmp_path, suffix):
    files.write(tmp_path / f"x{suffix}", noise(5, 5))


# --- export


def test_export(run, weights, tmp_path):
    flags = ["--mode=export", f"--weights={weights}", f"--output={tmp_path / 'model'}"]
    status, out, err = run(*flags)
    assert status == 0 and err == []
    assert out == [f"srresnet-best exported to {tmp_path / 'model'}, and checked: it gives what the generator gives"]
    assert (tmp_path / "model" / "saved_model.pb").is_file()
    status, out, err = run(*flags)
    assert status == 1 and len(err) == 1 and "--overwrite replaces it" in err[0]
    assert run(*flags, "--overwrite")[0] == 0


# --- mistakes

MISTAKES = [
    (["--mode=draw"], "--mode"),
    (["--colour=red"], "colour"),
    (["stray"], "stray"),
    (["--mode=upscale"], "--mode=upscale needs --weights"),
    (["--mode=upscale", "--weights=WEIGHTS"], "--mode=upscale needs --input"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=x.png"], "--mode=upscale needs --output"),
    (["--mode=export", "--weights=WEIGHTS"], "--mode=export needs --output"),
    (["--mode=export", "--weights=WEIGHTS", "--weights=b=WEIGHTS", "--output=x"], "takes one --weights, not 2"),
    (["--mode=export", "--weights=WEIGHTS", "--output=x", "--tile=3"], "--tile has no use with --mode=export"),
    (["--mode=evaluate", "--output=x"], "--output has no use with --mode=evaluate"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=a", "--output=b", "--csv=c"], "--csv has no use"),
    (["--tile=-1"], "--tile"),
    (["--tile=1"], "--tile=1: must be 16 or more, or 0 for whole pictures"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=a", "--output=b", "--tile=15"], "--tile=15: must be 16 or more"),
    (["--data=/no/such"], "/no/such: no such folder"),
    (["--weights=/no/such.weights.h5"], "/no/such.weights.h5: no such weights file"),
    (["--weights=a3="], "--weights=a3=: no such weights file"),
    (["--results=theirs="], "--results=theirs=: give NAME=FOLDER"),
    (["--weights=WEIGHTS", "--weights=WEIGHTS"], "the name srresnet-best is taken"),
    (["--weights=bicubic=WEIGHTS"], "the name bicubic is taken"),
    (["--weights=../up=WEIGHTS"], "cannot be the name of a folder"),
    (["--weights=HR=WEIGHTS"], "the name HR is taken"),
    (["--results=folder"], "--results=folder: give NAME=FOLDER"),
    (["--results=bicubic=folder"], "the name bicubic is taken"),
    (["--results=theirs=/no/such"], "/no/such: no such folder"),
    (["--lpips=/no/such"], "/no/such: cannot be read"),
    (["--report=WEIGHTS"], "a file; name a folder for the report"),
    (["--overwrite"], "--overwrite is about --report"),
    (["--lpips_net=vgg16"], "--lpips_net has no use without --lpips"),
    (["--report=r", "--pictures=r/pictures"], "--pictures=r/pictures: lies in the report's folder"),
    (["--report=r", "--csv=r/scores.csv"], "--csv=r/scores.csv: lies in the report's folder"),
    (["--mode=compare", "--report=y"], "--mode=compare needs --input"),
    (["--mode=compare", "--input=x"], "--mode=compare needs --report"),
    (["--mode=compare", "--input=/no/such", "--report=/no/such/report"], "/no/such: no such folder"),
    (["--mode=compare", "--input=x", "--report=y", "--rgb"], "--rgb has no use with --mode=compare"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=/no/such", "--output=b.png"], "/no/such: no such picture"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=WEIGHTS", "--output=b.gif"], "b.gif: not a kind of picture"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=WEIGHTS", "--output=b"], "b: not a kind of picture"),
]  # fmt: skip


@pytest.mark.parametrize("flags, message", MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_is_one_line(run, weights, monkeypatch, flags, message):
    monkeypatch.setattr(evaluate.command_line, "import_tensorflow", lambda: pytest.fail("came too late"))
    status, out, err = run(*(flag.replace("WEIGHTS", str(weights)) for flag in flags))
    assert status == 1
    assert len(err) == 1 and err[0].startswith("evaluate.py: error: ") and message in err[0]


def test_a_file_that_holds_no_generator(run, tmp_path):
    path = tmp_path / "half.weights.h5"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    status, _, err = run(f"--weights={path}")
    assert status == 1 and len(err) == 1 and err[0].startswith(f"evaluate.py: error: {path}: ")


def test_an_interruption(monkeypatch):
    def interrupt(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate", interrupt)
    assert evaluate.main(["evaluate.py"]) == 130


def test_the_table_of_the_baselines_does_without_tensorflow(tmp_path):
    files.write(tmp_path / "a.png", noise(40, 40))
    code = (
        f"import sys, evaluate; status = evaluate.main(['evaluate.py', '--data={tmp_path}'])\n"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "bicubic" in done.stdout


def test_the_script_prints_nothing_of_tensorflows(weights, photos, tmp_path):
    done = python(
        evaluate.__file__, "--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}",
        f"--output={tmp_path / 'x.png'}",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"1 upscaled to {tmp_path / 'x.png'}\n", "")
