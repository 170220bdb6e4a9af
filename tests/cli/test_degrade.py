"""`srgan degrade`: sets and single pictures, what is recorded of them, and what is refused."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from srgan_tf.cli.main import main
from srgan_tf.data.folders import find_pairs
from srgan_tf.evaluation.picture_sets import load_pair
from srgan_tf.imaging import files
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.degradation.ranges import Ranges
from srgan_tf.imaging.resize import crop_to_multiple, downscale


@pytest.fixture
def degrade(capsys):
    """Runs the command line; returns the exit status, standard output and standard error."""

    def run(*words):
        status = main(["srgan", "degrade", *map(str, words)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def photos(tmp_path):
    """Two pictures, one in a folder, of sizes that are no multiples of 4."""
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (65, 83)), ("holiday/b.jpg", (70, 51))):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).resize(size).save(path)
    return tmp_path / "photos"


def test_a_folder_becomes_a_test_set(photos, tmp_path, degrade):
    status, out, err = degrade(photos, tmp_path / "set", "--seed=3")
    assert (status, err) == (0, "") and "2 degraded" in out
    record = json.loads((tmp_path / "set/degradations.json").read_text())
    assert (record["scale"], record["strength"], record["seed"]) == (4, 1.0, 3)
    assert Ranges(**{k: tuple(v) if isinstance(v, list) else v for k, v in record["ranges"].items()}) == Ranges()
    assert list(record["pictures"]) == ["a", "holiday/b"]
    pairs = find_pairs(tmp_path / "set")
    assert [pair.name for pair in pairs] == ["a", "holiday/b"]
    for pair, original in zip(pairs, (photos / "a.png", photos / "holiday/b.jpg")):
        assert pair.hr.read_bytes() == original.read_bytes()
        number = int.from_bytes(hashlib.sha256(pair.name.encode()).digest()[:8], "big")
        chain = Degradation(4, seed=3).draw(number)
        hr, lr = load_pair(pair)
        np.testing.assert_array_equal(lr, chain.apply(crop_to_multiple(files.read_rgb(original), 4)))
        drawn = record["pictures"][pair.name]
        assert (drawn["number"], drawn["steps"]) == (number, json.loads(json.dumps(chain.record())))
        assert drawn["sha256"] == hashlib.sha256(lr.tobytes()).hexdigest()


def test_a_set_for_another_scale_says_that_it_needs_a_network_of_it(photos, tmp_path, degrade):
    status, out, _ = degrade(photos, tmp_path / "set", "--scale=2")  # which the package's networks would not take LR of
    assert status == 0 and f"`srgan evaluate {tmp_path}/set --weights=NETWORK_FOR_2X` scores" in out


def test_what_is_drawn_for_a_picture_does_not_depend_on_the_others(photos, tmp_path, degrade):
    degrade(photos, tmp_path / "both")
    (photos / "a.png").unlink()
    degrade(photos, tmp_path / "one")
    one, both = (tmp_path / name / "LR/holiday/b.png" for name in ("one", "both"))
    assert one.read_bytes() == both.read_bytes()


def test_one_picture_has_its_record_beside_it(photos, tmp_path, degrade):
    status, out, err = degrade(photos / "a.png", tmp_path / "small.png", "--seed=7", "--scale=2")
    assert (status, err) == (0, "") and "small.json" in out
    hr = crop_to_multiple(files.read_rgb(photos / "a.png"), 2)
    lr = files.read_rgb(tmp_path / "small.png")
    np.testing.assert_array_equal(lr, Degradation(2, seed=7).draw_for("a").apply(hr))
    assert list(json.loads((tmp_path / "small.json").read_text())["pictures"]) == ["a"]
    status, _, err = degrade(photos / "a.png", tmp_path / "small.png")
    assert status == 1 and "small.png: exists already; --overwrite" in err
    assert degrade(photos / "a.png", tmp_path / "small.png", "--overwrite")[0] == 0


def test_strength_and_ranges_are_those_of_the_flags(photos, tmp_path, degrade):
    degrade(photos, tmp_path / "none", "--degradation_strength=0")
    hr, lr = load_pair(find_pairs(tmp_path / "none")[0])
    np.testing.assert_array_equal(lr, downscale(hr))
    quiet = "clean=0 blur=0 resize=0 noise=0 final_sinc=0 jpeg=1 quality=30"
    degrade(photos, tmp_path / "jpeg", f"--degradation_ranges={quiet}")
    record = json.loads((tmp_path / "jpeg/degradations.json").read_text())
    for picture in record["pictures"].values():
        assert [step["quality"] for step in picture["steps"] if step["step"] == "Jpeg"] == [30, 30]
        assert len(picture["steps"]) == 3


def test_a_bad_picture_is_named_and_the_others_are_written(photos, tmp_path, degrade):
    (photos / "bad.png").write_text("text")
    Image.new("RGB", (3, 50)).save(photos / "thin.png")
    status, out, err = degrade(photos, tmp_path / "set")
    assert status == 1 and "2 degraded" in out
    assert "bad.png: not an image" in err and "thin.png: has a side below 4 pixels" in err
    assert [pair.name for pair in find_pairs(tmp_path / "set")] == ["a", "holiday/b"]


def test_a_picture_that_is_too_large_is_named(tmp_path, degrade):
    Image.new("RGB", (65600, 4)).save(tmp_path / "long.png")
    jpeg_first = "clean=0 blur=0 resize=0 noise=0 jpeg=1"
    status, out, err = degrade(tmp_path / "long.png", tmp_path / "lr.png", f"--degradation_ranges={jpeg_first}")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "long.png: cannot be degraded (" in err and err.endswith("); cut it into smaller images\n")


def test_mistakes_are_one_line_and_nothing_is_written(photos, tmp_path, degrade):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/text").write_text("mine")
    (tmp_path / "set").mkdir()  # an empty folder is none yet
    (tmp_path / "originals/HR").mkdir(parents=True)  # the layout of any test set
    (tmp_path / "originals/HR/mine").write_text("mine")
    assert degrade(photos, tmp_path / "set")[0] == 0
    before = sorted(tmp_path.rglob("*"))
    for words, status, message in (
        ((photos, tmp_path / "set"), 1, "holds a degraded set already; --overwrite replaces it"),
        ((photos, tmp_path / "mine", "--overwrite"), 1, "holds text, which is no part of a degraded set"),
        ((photos, tmp_path / "mine/text", "--overwrite"), 1, "a file; name a folder for a degraded set"),
        ((photos, photos / "set"), 2, "give a place outside"),
        ((tmp_path / "set/HR", tmp_path / "set", "--overwrite"), 2, "lies in the folder of --output"),
        ((photos, tmp_path / "originals", "--overwrite"), 1, "holds HR but no degradations.json, so it is not a degr"),
        ((tmp_path / "nothing", tmp_path / "new"), 1, "none of the known sets"),
        ((photos / "a.png", tmp_path / "new"), 1, "cannot be written as a file without suffix"),
        ((photos, tmp_path / "new", "--scale=3"), 2, "--scale=3: must be 2, 4 or 8"),
        ((photos, tmp_path / "new", "--degradation_ranges=grain=1"), 2, "'grain' is none of clean"),
    ):
        found, out, err = degrade(*words)
        assert (found, out, err.count("\n")) == (status, "", 1) and message in err
    assert sorted(tmp_path.rglob("*")) == before
    (photos / "a.png").write_text("text")
    (photos / "holiday/b.jpg").unlink()
    status, out, err = degrade(photos, tmp_path / "new")
    assert (status, out) == (1, "") and "no image could be degraded; the first: " in err
    assert not (tmp_path / "new").exists()


def test_validation_takes_the_same_draws(photos):
    pair = find_pairs(photos)[0]
    degradation = Degradation(4, seed=5)
    hr, lr = load_pair(pair, 4, degradation)
    np.testing.assert_array_equal(lr, degradation.draw_for("a").apply(hr))
