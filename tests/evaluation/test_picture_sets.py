import numpy as np
import pytest

from srgan_tf.data.folders import Pair
from srgan_tf.evaluation import picture_sets
from srgan_tf.evaluation.picture_sets import PictureSet
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError


def test_hr_is_cut_to_multiples_of_the_scale(picture_pairs):
    hr, lr = picture_sets.load_pair(picture_pairs[0], scale=4)
    assert hr.shape == (40, 32, 3) and lr.shape == (10, 8, 3)
    assert (hr == files.read_rgb(picture_pairs[0].hr)[:40, :32]).all()


def test_sets_of_a_folder(picture_pairs, tmp_path):
    (one,) = picture_sets.find_sets(tmp_path)
    assert one.name == tmp_path.name and [pair.name for pair in one.pairs] == ["a", "b"]
    for name in ("Set14", "Set5", "b100", "2\N{SUPERSCRIPT TWO}"):
        files.write(tmp_path / "sets" / name / "HR" / "x.png", np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "sets" / "notes").mkdir()
    names = [found.name for found in picture_sets.find_sets(tmp_path / "sets")]
    assert names == ["2\N{SUPERSCRIPT TWO}", "b100", "Set5", "Set14"]
    with pytest.raises(UserError, match="no such folder"):
        picture_sets.find_sets(tmp_path / "none")


def test_what_is_in_no_set_is_named(tmp_path):
    for name in ("Set5/hr/x.png", "Set14/HR/x.png", "plain/x.png", "plain/y.png", "half/LR/x.png", "loose.png"):
        files.write(tmp_path / name, np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "notes").mkdir()
    assert [found.name for found in picture_sets.find_sets(tmp_path)] == ["Set5", "Set14"]
    assert picture_sets.find_ignored(tmp_path) == ["half", "loose.png", "plain"]
    assert picture_sets.find_ignored(tmp_path / "Set5") == picture_sets.find_ignored(tmp_path / "plain") == []


def test_sets_of_another_scale_factor_lose_their_lr(picture_pairs):
    lr = picture_pairs[1].hr.parents[1] / "LR" / "b.png"
    files.write(lr, np.zeros((6, 6, 3), np.uint8))
    given = [PictureSet("bare", tuple(picture_pairs)), PictureSet("fours", (Pair("b", picture_pairs[1].hr, lr),))]
    assert picture_sets.fit_sets(given, 4) == (given, [])
    (bare, fours), notes = picture_sets.fit_sets(given, 2)
    assert bare == given[0]
    assert notes == ["fours: LR/ is HR/ divided by 4, not 2; LR is made by MATLAB's bicubic instead"]
    hr, lr = picture_sets.load_pair(fours.pairs[0], 2)
    assert hr.shape == (24, 24, 3) and lr.shape == (12, 12, 3)


def test_a_set_is_called_as_its_folder_even_from_inside(picture_pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert picture_sets.find_sets(".")[0].name == tmp_path.name


def test_which_pictures_are_cut(picture_pairs, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    pairs = [*picture_pairs, Pair("broken", tmp_path / "broken.png", None)]
    assert picture_sets.find_cropped(pairs, 4) == ["a"]
    assert picture_sets.find_cropped(pairs, 5) == ["a", "b"]


def test_lr_that_does_not_fit_names_both_files_and_sizes(picture_pairs, tmp_path):
    lr = tmp_path / "lr.png"
    files.write(lr, np.zeros((10, 9, 3), np.uint8))
    hr = picture_pairs[0].hr
    with pytest.raises(UserError) as caught:
        picture_sets.load_pair(Pair("a", hr, lr), scale=4)
    assert f"{lr}: 9x10" in str(caught.value) and f"{hr}: 35x42" in str(caught.value)
