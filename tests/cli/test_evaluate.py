"""Modes upscale and export from the command line, and mistakes of all."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from srgan_tf.cli import export
from srgan_tf.evaluation.systems import named_weights
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference import jobs
from srgan_tf.inference.export import FORMATS, Difference
from srgan_tf.inference.tile_runner import TileRunner
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system import quiet
from srgan_tf.system.errors import UserError
from srgan_tf.weights import find_weights


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


def python(*arguments, **options):
    """Runs Python in the repository, as from a shell: JAX, which Keras may have imported here, sets this variable."""
    shell = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    folder = Path(evaluate.__file__).parent
    options = {"text": True} | options
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=shell, capture_output=True, **options)


def test_names_of_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("best.weights.h5", "a=b.h5"):
        (tmp_path / name).write_text("")
    assert list(named_weights(["best.weights.h5", f"{tmp_path / 'best.weights.h5'}"])) == [
        "best",
        f"{tmp_path.name}-best",
    ]
    assert list(named_weights(["a=b.h5", "x=a=b.h5"])) == ["a=b", "x"]


# --- upscale


def test_upscale_a_file(run, generator, weights, photos, tmp_path):
    output = tmp_path / "new" / "x.png"
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}", f"--output={output}"]
    status, out, err = run(*flags)
    assert (status, out, err) == (0, [f"1 upscaled to {output}"], [])
    expected = Upscaler(generator, tile=0).upscale(noise(6, 7))
    assert np.abs(files.read_rgb(output).astype(int) - expected).max() <= 1

    output.write_bytes(b"mine")
    status, out, err = run(*flags)
    assert (status, out, err) == (0, [f"{output} exists already and is left as it is (--overwrite replaces it)"], [])
    assert output.read_bytes() == b"mine"
    assert run(*flags, "--overwrite")[0] == 0
    assert files.read_rgb(output).shape == (24, 28, 3)


def test_upscale_a_folder(run, weights, photos, tmp_path):
    (photos / "notes.txt").write_text("no image")
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


def test_upscale_a_pattern_in_another_format_and_size(run, weights, photos, tmp_path):
    large = tmp_path / "large"
    status, out, err = run(
        "--mode=upscale",
        f"--weights={weights}",
        f"--input={photos}/**/*.[pg][ni]*",
        f"--output={large}",
        "--format=jpeg",
        "--quality=50",
        "--outscale=2.5",
        "--tile=16",
        "--max_memory=20GiB",
    )
    assert (status, out, err) == (0, [f"2 upscaled to {large}"], [])
    written = {path.relative_to(large).as_posix(): files.probe(path) for path in large.rglob("*.*")}
    assert written == {"one.jpg": (15, 18), "deep/three.jpg": (12, 12)}
    with Image.open(large / "one.jpg") as image:
        assert image.format == "JPEG" and image.quantization[0][0] == 16  # Annex K of the standard at quality 50


def test_one_bad_file_does_not_stop_a_folder(run, weights, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"no image")
    large = tmp_path / "large"
    status, out, err = run("--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={large}")
    assert status == 1
    assert out == [f"3 upscaled to {large}, 1 failed"]
    assert len(err) == 1 and err[0].startswith(f"srgan: error: {photos / 'broken.png'}: ")


def test_images_that_a_full_disk_leaves_are_counted_as_such(run, weights, photos, tmp_path, monkeypatch):
    def fill(*_, **__):
        raise UserError(f"a.png: cannot be written ({os.strerror(errno.ENOSPC)})")

    monkeypatch.setattr(jobs, "write_raster", fill)
    large = tmp_path / "large"
    status, out, err = run("--mode=upscale", f"--weights={weights}", f"--input={photos}", f"--output={large}")
    assert (status, out, len(err)) == (1, [f"0 upscaled to {large}, 1 failed, 2 left"], 2)


@pytest.mark.parametrize(
    "flag, said",
    [
        ("--max_megapixels=0.00004", "one.png: 7x6 pixels, more than 4e-05 megapixels"),
        ("--max_memory=1MiB", "one.png: max_memory of 1 MiB does not suffice"),
        ("--outscale=4.5", "--outscale=4.5: these weights upscale 4 times; run it twice for more"),
    ],
)
def test_what_is_too_much_is_one_line(run, weights, photos, tmp_path, flag, said):
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={photos / 'one.png'}"]
    status, out, err = run(*flags, f"--output={tmp_path / 'x.png'}", flag)
    assert status == 1 and out == [] and len(err) == 1 and said in err[0]
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "output, said",
    [("x.jpg", "cannot hold the image's transparency"), ("x.webp", "cannot hold a side of 16400 pixels")],
)
def test_what_the_output_cannot_hold_is_named_first(run, weights, tmp_path, monkeypatch, output, said):
    Image.fromarray(np.dstack([noise(1, 4100), noise(1, 4100)[..., :1]])).save(tmp_path / "a.png")
    monkeypatch.setattr(TileRunner, "run", lambda *_, **__: pytest.fail("came too late"))
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={tmp_path / 'a.png'}"]
    status, _, err = run(*flags, f"--output={tmp_path / output}")
    assert status == 1 and len(err) == 1 and said in err[0] and f"{tmp_path / output}: " in err[0]


def test_without_weights_the_packages_best_are_taken(run, generator, photos, tmp_path, monkeypatch):
    asked = []

    def upscaler(weights, **options):
        asked.append((weights, options))
        return Upscaler(generator)

    monkeypatch.setattr("srgan_tf.inference.upscaler.Upscaler", upscaler)
    flags = ["--mode=upscale", f"--input={photos / 'one.png'}", f"--output={tmp_path / 'x.png'}", "--overwrite"]
    assert run(*flags)[0] == run(*flags, "--tile=0", "--max_memory=2GiB")[0] == 0
    off = {"precision": "auto", "faithful": False, "ensemble": False, "toward": None, "strength": None}
    first, second = {"tile": None, "max_memory": None}, {"tile": 0, "max_memory": 2 * 2**30}
    assert asked == [(find_weights("srgan"), first | off), (find_weights("srgan"), second | off)]


def test_a_real_photograph(run, shared_data, tmp_path):
    """The package's SRResNet must beat bicubic, whichever way the picture went."""
    folder = shared_data / "benchmarks" / "Set5"
    hr, lr = files.read_rgb(folder / "HR" / "002.png"), files.read_rgb(folder / "LR" / "002.png")

    def psnr(image):
        return -10 * np.log10(np.mean(((image / 255.0 - hr / 255.0)[4:-4, 4:-4]) ** 2))

    flags = ["--mode=upscale", "--weights=srresnet", f"--input={folder / 'LR' / '002.png'}"]
    assert run(*flags, f"--output={tmp_path / 'x.tif'}", "--tile=32")[0] == 0
    assert psnr(files.read_rgb(tmp_path / "x.tif")) > psnr(upscale_bicubic(lr, 4)) + 1.5


# --- export


@pytest.mark.parametrize(
    "name, flags, expected",
    [
        ("model", [], "savedmodel"),
        ("model.onnx", [], "onnx"),
        ("MODEL.tflite", ["--precision=float16"], "litert"),
        ("model.v2", [], "savedmodel"),
        ("model.h5", ["--format=savedmodel"], "savedmodel"),
    ],
)
def test_export(run, generator, weights, tmp_path, monkeypatch, name, flags, expected):
    calls = []

    def export(given, path, kind, *, overwrite, metadata, precision, max_megapixels):
        calls.append((path, kind, overwrite, precision))
        assert max_megapixels == 256
        assert all((a == b).all() for a, b in zip(given.get_weights(), generator.get_weights()))
        assert metadata["weights"]["bytes"] == weights.stat().st_size
        return Difference("a photograph", 1, 0.00012)

    monkeypatch.setattr("srgan_tf.inference.export.export", export)
    output = str(tmp_path / name)
    status, out, err = run("--mode=export", f"--weights={weights}", f"--output={output}", *flags, "--overwrite")
    assert (status, err) == (0, [])
    said = "checked on a photograph: at most 1 of 255 levels off Keras, in 0.00012 of the values"
    assert out == [f"srresnet-best exported to {output} and {said}"]
    assert calls == [(output, expected, True, "float16" if "--precision=float16" in flags else "float32")]


def test_a_savedmodel_is_exported(run, weights, tmp_path):
    flags = ["--mode=export", f"--weights={weights}", f"--output={tmp_path / 'model'}"]
    assert run(*flags)[0] == 0
    assert (tmp_path / "model" / "saved_model.pb").is_file()
    status, _, err = run(*flags)
    assert status == 1 and len(err) == 1 and "--overwrite replaces it" in err[0]


def test_a_whole_model_is_exported_and_read(run, weights, tmp_path):
    whole = tmp_path / "g.keras"
    flags = ["--mode=export", f"--weights={weights}", f"--output={whole}"]
    assert run(*flags) == (0, [f"srresnet-best written to {whole}, for keras.models.load_model"], [])
    assert run(*flags)[0] == 1
    written = run("--mode=export", f"--weights={whole}", f"--output={tmp_path / 'g.npz'}")
    assert written[:2] == (0, [f"{tmp_path.name}-g written to {tmp_path / 'g.npz'}, for {export.TENSORLAYERX}"])


def test_the_formats_are_those_that_the_package_writes():
    assert export.FORMATS == (*FORMATS, "keras", "tensorlayerx")
    assert export.ENDINGS == {".onnx": "onnx", ".tflite": "litert", ".keras": "keras", ".npz": "tensorlayerx"}


# --- mistakes

USAGE = [
    (["--mode=draw"], "no mode 'draw'"),
    (["--mode=upscal"], "did you mean 'upscale'?"),
    (["--colour=red"], "colour"),
    (["--weight=srgan"], "Did you mean: weights ?"),
    (["stray", "more"], "stray argument 'more'"),
    (["--input=photo.jpg"], "evaluate takes a test set, --data, not --input; `srgan upscale photo.jpg` upscales"),
    (["--mode"], "--mode=: name one, such as --mode=upscale, or leave it out"),
    (["--mode=train"], "`python train.py` has mode train"),
    (["--mode=pack", "--train_dir=x"], "`python train.py` has mode pack"),
    (["--mode=upscale"], "upscale needs INPUT or --input"),
    (["--mode=upscale", "--input=photos/*.png"], "photos/*.png: give an OUTPUT, too"),
    (["--mode=export", "--output=x"], "export needs WEIGHTS or --weights"),
    (["--mode=export", "--weights=WEIGHTS"], "export needs OUTPUT or --output"),
    (
        ["--mode=upscale", "--weights=a=WEIGHTS", "--weights=WEIGHTS", "--input=x", "--output=y"],
        "already defined as a=",
    ),
    (["--mode=upscale", "--input=a", "--output=b", "--format=onnx"], "--format=onnx: value should be one of <auto|png"),
    (["--mode=export", "--weights=WEIGHTS", "--output=b", "--format=png"], "one of <auto|savedmodel|onnx|litert"),
    (["--mode=evaluate", "--format=png"], "'format'"),
    (["--mode=upscale", "--input=a", "--output=b", "--precision=half"], "--precision=half: value should be one of"),
    (["--mode=upscale", "--input=WEIGHTS", "--output=b.png", "--quality=5"], "--quality is about JPEG and WebP"),
    (["--mode=upscale", "--input=a", "--output=b", "--quality=101"], "--quality"),
    (["--mode=upscale", "--input=a", "--output=b", "--outscale=0"], "--outscale=0: must be above 0"),
    (["--mode=upscale", "--input=a", "--output=b", "--max_memory=much"], "not a size such as 2GiB"),
    (["--mode=export", "--weights=WEIGHTS", "--weights=b=WEIGHTS", "--output=x"], "already defined as"),
    (["--mode=export", "--weights=WEIGHTS", "--output=a.npz", "--precision=float16"], "is for --format=litert"),
    (["--mode=export", "--weights=WEIGHTS", "--output=a.onnx", "--format=savedmodel"], "a.onnx: named as onnx"),
    (["--mode=export", "--weights=WEIGHTS", "--output=a.h5"], "a.h5: no format ends in .h5; take .onnx, .tflite"),
    (["--mode=export", "--weights=WEIGHTS", "--output=b.onnx", "--format=tensorlayerx"], "b.onnx: named as onnx, but"),
    (["--mode=export", "--weights=WEIGHTS", "--output=a", "--format=keras"], "a: the name of a whole Keras model must"),
    (["--mode=import", "--weights=WEIGHTS", "--krasserm=x"], "'weights'"),
    (["--mode=import", "--tensorlayerx=x", "--krasserm=x"], "import reads one file; give either"),
    (["--mode=faces", "--lfw=x", "--pairs=x", "--facenet=x", "--report=x"], "'report'"),
    (["--mode=faces", "--lfw=x", "--pairs=x"], "faces needs --facenet"),
    (["--mode=mos"], "mos needs another word"),
    (["--mode=mos", "--score"], "mos score needs FILE"),
    (["--mode=mos", "--score=x", "--weights=WEIGHTS"], "'weights'"),
    (["--mode=mos", "--score=x", "--data=x"], "'data'"),
    (["--mode=mos", "--score=x", "--model=selfex"], "'model'"),
    (["--mode=mos", "--make", "--exclude_failed"], "'exclude_failed'"),
    (["--mode=export", "--weights=WEIGHTS", "--output=x", "--tile=3"], "'tile'"),
    (["--mode=evaluate", "--output=x"], "'output'"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=a", "--output=b", "--csv=c"], "'csv'"),
    (["--tile=-1"], "--tile"),
    (["--tile=1"], "--tile=1: must be 16 or more, or 0 for whole images"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=a", "--output=b", "--tile=15"], "--tile=15: must be 16 or more"),
    (["--results=theirs="], "--results=theirs=: give NAME=FOLDER"),
    (["--weights=WEIGHTS", "--weights=WEIGHTS"], "the name srresnet-best is taken"),
    (["--weights=bicubic=WEIGHTS"], "the name bicubic is taken"),
    (["--weights=../up=WEIGHTS"], "cannot be the name of a folder"),
    (["--weights=HR=WEIGHTS"], "the name HR is taken"),
    (["--results=folder"], "--results=folder: give NAME=FOLDER"),
    (["--results=bicubic=folder"], "the name bicubic is taken"),
    (["--results=srgan+=folder", "--ensemble"], "two systems have the name srgan+; give another one"),
    (["--weights=a=WEIGHTS", "--weights=a+=WEIGHTS", "--ensemble"], "two systems have the name a+; give another one"),
    (["--results=strength-0.5=folder", "--strength=0.5"], "two systems have the name strength-0.5; give another one"),
    (["--strength=0.1234561,0.1234562"], "must be different numbers from 0 to 1"),
    (["--overwrite"], "--overwrite is about --report"),
    (["--lpips_net=vgg16"], "--lpips_net cannot be given without --lpips"),
    (["--report=r", "--pictures=r/pictures"], "--pictures=r/pictures: lies in the folder of --report"),
    (["--report=r", "--csv=r/scores.csv"], "--csv=r/scores.csv: lies in the folder of --report"),
    (["--data=d", "--report=d/report"], "--report=d/report: lies in the folder of --data; give a place outside of d"),
    (["--data=d", "--pictures=d"], "--pictures=d: lies in the folder of --data"),
    (["--mode=compare", "--input=d/", "--report=x/../d/y"], "--report=x/../d/y: lies in the folder of --input"),
    (["--mode=compare", "--report=y"], "compare needs INPUT or --input"),
    (["--mode=compare", "--input=x"], "compare needs REPORT or --report"),
    (["--mode=compare", "--input=x", "--report=y", "--rgb"], "'rgb'"),
]
FILES = [
    (["--data=/no/such"], "/no/such: no such folder"),
    (["--weights=/no/such.weights.h5"], "/no/such.weights.h5: no such weights file"),
    (["--weights=a3="], "--weights=a3=: no such weights file"),
    (["--results=theirs=/no/such"], "/no/such: no such folder"),
    (["--lpips=/no/such"], "/no/such: cannot be read"),
    (["--report=WEIGHTS"], "a file; name a folder for a report"),
    (["--mode=compare", "--input=/no/such", "--report=/no/report"], "/no/such: no such folder"),
    (["--mode=import", "/no/such.npz"], "/no/such.npz: cannot be read"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=/no/such", "--output=b.png"], "/no/such: no such image"),
    (["--mode=upscale", "--input=/no/such"], "/no/such: no such image"),
    (["--mode=upscale", "--weights=WEIGHTS", "--input=WEIGHTS", "--output=b.gif"], "b.gif: not a kind of image"),
    (["--mode=upscale", "--input=WEIGHTS", "--output=WEIGHTS", "--format=png", "--overwrite"], "replace the input"),
]
MISTAKES = [(2, *mistake) for mistake in USAGE] + [(1, *mistake) for mistake in FILES]


@pytest.mark.parametrize("expected, flags, message", MISTAKES, ids=[message for *_, message in MISTAKES])
def test_a_mistake_is_one_line(run, weights, monkeypatch, expected, flags, message):
    monkeypatch.setattr(quiet, "import_tensorflow", lambda: pytest.fail("came too late"))
    status, out, err = run(*(flag.replace("WEIGHTS", str(weights)) for flag in flags))
    assert status == expected
    assert len(err) == 1 and err[0].startswith("srgan: error: ") and message in err[0]


def test_a_file_that_holds_no_generator(run, tmp_path):
    path = tmp_path / "half.weights.h5"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    status, _, err = run(f"--weights={path}")
    assert status == 1 and len(err) == 1 and err[0].startswith(f"srgan: error: {path}: ")


def test_an_interruption(monkeypatch):
    def interrupt(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("srgan_tf.cli.evaluate.run", interrupt)
    assert evaluate.main(["evaluate.py"]) == 130


def test_the_table_of_the_baselines_does_without_tensorflow(tmp_path):
    files.write(tmp_path / "a.png", noise(40, 40))
    code = (
        f"import sys, evaluate; status = evaluate.main(['evaluate.py', '--data={tmp_path}', '--weights=none'])\n"
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "bicubic" in done.stdout


def test_through_a_pipe_goes_the_picture_and_nothing_else(generator, weights, photos):
    flags = ["--mode=upscale", f"--weights={weights}", "--input=-", "--output=-", "--precision=float32"]
    done = python(evaluate.__file__, *flags, input=(photos / "one.png").read_bytes(), text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.format == "PNG"
        given = np.asarray(image)
    assert np.abs(given.astype(int) - Upscaler(generator).upscale(noise(6, 7))).max() <= 1
