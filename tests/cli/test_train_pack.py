"""The command line of train.py with packed photographs."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import train


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture
def run(capsys):
    def run(*flags):
        status = train.main(["train.py", *map(str, flags)])
        shown = capsys.readouterr()
        return status, shown.out.splitlines(), shown.err.splitlines()

    return run


def test_a_run_resumes_from_the_packed_photographs_as_from_the_folder(photographs, tmp_path, run):
    packed = tmp_path / "packed"
    status, out, _ = run(f"--train_dir={photographs}", f"--pack={packed}")
    assert status == 0
    assert out[0] == f"packing    6 images, 1 skipped: ({photographs})" and "notes.txt: not an image" in out[1]
    assert out[-1] == f"packed     6 images, 0.0 GB; train with --train_dir={packed}"

    flags = ["--crop_size=32", "--batch_size=2", "--blocks=1", "--crops_per_image=2", "--checkpoint_every=2"]
    both, folder = tmp_path / "both", tmp_path / "folder"
    assert run(*flags, "--steps=4", f"--run_dir={folder}", f"--train_dir={photographs}")[0] == 0
    assert run(*flags, "--steps=2", f"--run_dir={both}", f"--train_dir={photographs}")[0] == 0
    status, out, _ = run(*flags, "--steps=4", f"--run_dir={both}", f"--train_dir={packed}")
    assert status == 0 and not any("different from before" in line for line in out)
    assert any("0.0 GB for decoded photographs" in line for line in out)
    name = "srresnet/checkpoint-00000004.npz"
    with np.load(folder / name) as expected, np.load(both / name) as found:
        assert expected.files == found.files
        assert [key for key in expected.files if (expected[key] != found[key]).any()] == []
    settings = json.loads((both / "srresnet" / "settings.json").read_text())["settings"]
    assert settings["crops_per_image"] == 2


def test_mistakes_are_one_line(photographs, tmp_path, run):
    packed = tmp_path / "packed"
    run(f"--train_dir={photographs}", f"--pack={packed}")
    (packed / "photographs-00000.tfrecord").write_bytes(b"")
    for flags, named in (
        ([f"--pack={packed}"], "needs PHOTOS or --train_dir"),
        ([f"--train_dir={packed}", f"--pack={tmp_path / 'again'}"], "is packed already"),
        ([f"--train_dir={photographs}", f"--pack={photographs}"], "is there already and not packed photographs"),
        ([f"--train_dir={packed}", "--dry_run"], "photographs-00000.tfrecord: damaged"),
    ):
        status, _, err = run(*flags)
        assert status in (1, 2) and len(err) == 1 and named in err[0]


def test_known_sets_go_by_name(photographs, tmp_path, run, monkeypatch):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))  # where a download would have left them
    for name in ("div2k-train", "div2k-valid"):
        shutil.copytree(photographs, tmp_path / "cache" / name / "HR")
    flags = ["--crop_size=32", "--batch_size=2", "--blocks=1", "--steps=1", f"--run_dir={tmp_path / 'run'}"]
    status, out, _ = run("--train_dir=div2k-train", "--valid_dir=DIV2K-valid", *flags)
    assert status == 0
    assert "training   6 images, 1 skipped: (div2k-train)" in out and "validation 6 images (DIV2K-valid)" in out
    status, out, _ = run("--train_dir=div2k-train", f"--pack={tmp_path / 'packed'}")
    assert status == 0 and out[-1].startswith("packed     6 images")
    status, _, (error,) = run("--train_dir=div2k")
    assert status == 1 and "name its part, div2k-train" in error
