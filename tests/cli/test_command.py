"""The command `srgan`: its pages, its modes and their words."""

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import config
import srgan_tf
from srgan_tf.cli.main import MODES, main
from srgan_tf.imaging import files
from srgan_tf.weights import find_weights

REPOSITORY = Path(config.__file__).parent


@pytest.fixture
def srgan(capsys):
    """Runs a command line; returns the exit status, standard output and standard error."""

    def run(*words):
        try:
            status = main(["srgan", *map(str, words)])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def made(monkeypatch):
    """Lets a small network take the place of the package's; the weights of each `Upscaler` that was made."""
    from srgan_tf.inference.upscaler import Upscaler
    from srgan_tf.models.generator import build_generator

    weights_of = []

    def make(weights=None, **limits):
        weights_of.append(weights)
        scale = 2 if weights and Path(weights).name.startswith("twice") else 4
        return Upscaler(build_generator(blocks=1, scale=scale, filters=4), **limits)

    monkeypatch.setattr("srgan_tf.inference.upscaler.Upscaler", make)
    return weights_of


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (8, 6), "olive").save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def _classes():
    return {mode: importlib.import_module(module).Settings for mode, (module, _) in MODES.items()}


def test_the_modes_are_listed_a_line_each(srgan):
    status, out, err = srgan("--help")
    assert (status, err) == (0, "") and srgan("-h")[1] == out
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert [line[2:12].strip() for line in lines] == list(MODES)
    assert srgan() == (2, out, "")


def test_the_list_of_modes_and_the_version_need_no_heavy_library():
    """They must come at once: importing NumPy alone takes longer than all of this may."""
    code = (
        "import sys; from srgan_tf.cli.main import main; main(['srgan', '--help']); main(['srgan', '--version'])\n"
        "print([name for name in ('numpy', 'tensorflow', 'keras', 'PIL', 'pyvips') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [f"srgan_tf {srgan_tf.__version__}", "[]"]


def test_upscaling_starts_without_what_it_does_not_need(tmp_path):
    """Keras, and what it and TensorFlow import of others, would double the time of a small picture."""
    Image.new("RGB", (5, 4)).save(tmp_path / "small.png")
    code = (
        "import sys; from srgan_tf.cli.main import main; main(['srgan', 'upscale', *sys.argv[1:]])\n"
        "print([name for name in ('keras', 'scipy', 'matplotlib', 'jax', 'skimage') if name in sys.modules])\n"
        "import keras, tensorflow; assert tensorflow.keras.layers.Conv2D is keras.layers.Conv2D"
    )
    command = [sys.executable, "-c", code, tmp_path / "small.png", tmp_path / "large.png", "--precision=float32"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]


@pytest.mark.parametrize("mode", MODES)
def test_help_shows_every_flag_of_the_mode_and_no_other(srgan, mode):
    status, out, err = srgan(*mode.split(), "--help")
    assert (status, err) == (0, "")
    fields = dataclasses.fields(_classes()[mode])
    flags = [line.strip() for line in out.splitlines() if line.startswith("  --")]
    assert sorted(flags) == sorted(f"--{field.name}" for field in fields if not field.metadata["only_word"])
    for field in fields:
        assert " ".join(field.metadata["help"].split()[:2]) in out
    assert f"\nusage: srgan {mode} " in out and f"\n  srgan {mode} " in out


def test_help_is_the_same_where_python_removes_docstrings(srgan):
    command = [sys.executable, "-OO", "-m", "srgan_tf", "degrade", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == srgan("degrade", "--help")[1]


def test_the_help_of_opinions_lists_its_modes(srgan):
    status, out, err = srgan("mos", "--help")
    assert (status, err) == (0, "")
    assert [line[2:12].strip() for line in out.splitlines() if line.startswith("  ")] == ["mos make", "mos score"]


def test_config_names_all_settings():
    assert {getattr(config, name) for name in config.__all__} == set(_classes().values())


@pytest.mark.parametrize(
    "words, said",
    [
        (["upscal", "photo.jpg"], "no mode 'upscal'; did you mean 'upscale'?"),
        (["evaluation"], "did you mean 'evaluate'?"),
        (["xyz"], "no mode 'xyz' (--help"),
        (["--input=photo.jpg"], "--input=photo.jpg: the mode comes first"),
        (["mos"], "`mos make` writes the page"),
        (["mos", "mak"], "`mos make` writes the page"),
        (["upscale"], "srgan upscale needs INPUT or --input"),
        (["upscale", "a", "b", "c"], "stray argument 'c': srgan upscale takes INPUT OUTPUT and flags"),
        (["upscale", "a.jpg", "--weights=none"], "--weights=none: this mode needs a network"),
        (["demo", "--weights=none"], "--weights=none: this mode needs a network"),
        (["export", "none", "out"], "--weights=none: this mode needs a network"),
        (["evaluate", "--input=photo.jpg"], "`srgan upscale photo.jpg` upscales an image"),
        (["evaluate", "photo.jpg", "--weights=none"], "`srgan upscale photo.jpg` upscales an image"),
        (["upscale", "a.jpg", "--outscal=2"], "Did you mean: outscale ?"),
        (["upscale", "-"], "-: give an OUTPUT, too"),
        (["upscale", "photos/*.jpg"], "photos/*.jpg: give an OUTPUT, too"),
        (["upscale", "."], ".: give an OUTPUT, too"),
        (["train", "--step=3"], "Did you mean: steps ?"),
        (["train", "--mode=srresnet", "photos"], "stray argument 'photos'"),
        (["pack", "photos"], "srgan pack needs PACKED or --pack"),
        (["export", "srgan"], "srgan export needs OUTPUT or --output"),
        (["compare", "photos"], "srgan compare needs REPORT or --report"),
        (["import"], "srgan import needs FILE or --tensorlayerx or --krasserm"),
        (["import", "--file=a.npz"], "unknown flag --file: give FILE without it"),
        (["import", "a.npz", "--tensorlayerx=b.npz"], "a.npz: the name of a weights file must end in .weights.h5"),
        (["faces"], "srgan faces needs --lfw"),
        (["mos", "score"], "srgan mos score needs FILE (--help"),
    ],
)
def test_usage_errors_are_a_line_and_exit_with_2(srgan, words, said):
    status, out, err = srgan(*words)
    assert status == 2 and out == "" and err.startswith("srgan: error: ") and err.count("\n") == 1 and said in err


@pytest.mark.parametrize("word", ["a/" * 3_000 + "a.png", "loop.png"])
def test_what_the_system_says_of_a_name_is_one_line(srgan, tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    Path("loop.png").symlink_to("loop.png")
    for command in (["upscale", word], ["evaluate", word, "--weights=none"], ["train", f"--train_dir={word}"]):
        status, _, err = srgan(*command)
        assert status in (1, 2) and err.startswith("srgan: error: ") and err.count("\n") == 1


@pytest.fixture
def holes(tmp_path, monkeypatch):
    """A folder: a good photograph, a subfolder that may not be read, two links that lead nowhere, thumbnails."""
    folder = tmp_path / "photos"
    for name in ("locked", "@eaDir", "__MACOSX"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (48, 48)).save(folder / name / "thumbnail.png")
    Image.new("RGB", (48, 48)).save(folder / "good.jfif", format="jpeg")
    for name in ("dead.jpg", "more"):
        (folder / name).symlink_to(tmp_path / "gone")
    scandir = os.scandir

    def refused(path="."):
        if Path(os.fspath(path)).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words, said",
    [
        (["upscale", "photos", "out"], "1 upscaled to out, 1 failed, 2 unreadable"),
        (["evaluate", "photos", "--weights=none"], "photos: 1 image, 4x"),
        (["compare", "photos", "report", "--weights=none"], "Report: report"),
        (["degrade", "photos", "set"], "1 degraded; `srgan evaluate set` scores networks on them"),
    ],
)
def test_what_cannot_be_read_in_a_folder_is_named_and_the_rest_is_done(srgan, made, holes, words, said):
    status, out, err = srgan(*words)
    assert status == 1 and said in out.splitlines()
    named = [line.removeprefix("srgan: error: ").partition(":")[0] for line in err.splitlines()]
    assert sorted(named) == ["photos/dead.jpg", "photos/locked", "photos/more"]
    assert "thumbnail" not in out + err


def test_packing_names_what_it_skips(srgan, holes):
    status, out, _ = srgan("pack", "photos", "packed")
    assert status == 0 and "1 image, 3 skipped:" in out and "thumbnail" not in out
    assert "  photos/locked: cannot be read (Permission denied)" in out.splitlines()


def test_a_name_commands_no_terminal(srgan, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("a\x1b[2J\n.png", "\x9b31mb.txt"):
        Path(tmp_path, "photos", name).write_text("no image")
    for command in (["upscale", "photos", "out"], ["pack", "photos", "out"], ["evaluate", "photos", "--weights=none"]):
        status, out, err = srgan(*command)
        assert status == 1 and not {*(out + err)} & {"\x1b", "\x9b"}
        assert "a\\x1b[2J\\n.png" in err


def test_one_picture_is_written_beside_itself_and_named_by_its_enlargement(srgan, made, photo):
    folder = photo.parent
    (folder / "twice.weights.h5").touch()
    Image.new("RGB", (8, 6)).save(folder / "still.GIF")
    for words, name, size in (
        ([], "photo_x4.jpg", (24, 32)),
        (["--outscale=2.5"], "photo_x2.5.jpg", (15, 20)),
        (["--format=webp"], "photo_x4.webp", (24, 32)),
        ([f"--weights={folder}/twice.weights.h5"], "photo_x2.jpg", (12, 16)),
    ):
        assert srgan("upscale", photo, *words) == (0, f"1 upscaled to {folder / name}\n", "")
        assert files.probe(folder / name) == size
    assert srgan("upscale", folder / "still.GIF")[1] == f"1 upscaled to {folder / 'still_x4.png'}\n"
    used = len(made)
    assert srgan("upscale", photo)[1].startswith(f"{folder / 'photo_x4.jpg'} exists already and is left as it is")
    assert len(made) == used, "nothing to compute"


@pytest.mark.parametrize(
    "words, name",
    [
        ([], "srgan"),
        (["--outscale=2.1"], "srgan"),
        (["--outscale=2"], "srgan-x2"),
        (["--outscale=1.5"], "srgan-x2"),
        (["--outscale=2", "--weights=espcn"], "espcn"),
    ],
)
def test_twice_as_large_is_made_by_the_weights_for_it(srgan, made, photo, words, name):
    assert srgan("upscale", photo, *words)[0] == 0
    assert made == [find_weights(name)]


def test_words_name_where_to(srgan, made, photo, tmp_path):
    assert srgan("upscale", photo, tmp_path / "large.png")[0] == 0
    assert files.probe(tmp_path / "large.png") == (24, 32)
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / "photo.jpg")
    assert srgan("upscale", f"--input={tmp_path}/photos/", f"{tmp_path}/large/")[0] == 0
    assert srgan("upscale", f"{tmp_path}/photos/**/*.jpg", f"{tmp_path}/again/")[0] == 0
    assert files.probe(tmp_path / "large" / "photo.jpg") == files.probe(tmp_path / "again" / "photo.jpg") == (24, 32)


def test_words_reach_the_other_modes(srgan, tmp_path):
    for words, said in (
        (["evaluate", "/no/such"], "/no/such: no such folder"),
        (["compare", "/no/such", tmp_path / "report"], "/no/such: no such folder"),
        (["export", "/no/such.weights.h5", tmp_path / "x"], "/no/such.weights.h5: no such weights file"),
        (["import", "/no/such.npz", tmp_path / "x.weights.h5"], "/no/such.npz: cannot be read"),
        (["import", "--tensorlayerx=/no/such.npz", tmp_path / "x.weights.h5"], "/no/such.npz: "),
        (["import", "/"], "/: cannot be read (Is a directory)"),
        (["pack", "/no/such", tmp_path / "packed"], "/no/such: "),
        (["mos", "make", "/no/such", tmp_path / "study.html"], "/no/such: no such folder"),
        (["mos", "score", "/no/such.json", "/no/other.json"], "/no/such.json: "),
        (["mos", "--score", "/no/such.json"], "/no/such.json: "),
        (["mos", "-score=/no/such.json"], "/no/such.json: "),
        (["mos", "--make=true", "--data=/no/such"], "/no/such: no such folder"),
    ):
        status, _, err = srgan(*words)
        assert status == 1 and said in err and err.count("\n") == 1, words
