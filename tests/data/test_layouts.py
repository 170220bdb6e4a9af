"""The folders of published test sets, as their archives unpack."""

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data.folders import find_pairs
from srgan_tf.data.paired import fit_pairs, match_sides, scan_sides
from srgan_tf.evaluation.picture_sets import find_ignored, find_sets
from srgan_tf.system.errors import UserError

# Each with the names of HR and LR of its first picture.
LAYOUTS = {
    "EDSR": ("HR/baby.png", "LR_bicubic/X4/babyx4.png", "LR_bicubic/X2/babyx2.png"),
    "X4 beside HR": ("HR/0801.png", "X4/0801x4.png", "X2/0801x2.png"),
    "DIV2K": (
        "DIV2K_valid_HR/0801.png",
        "DIV2K_valid_LR_bicubic/X4/0801x4.png",
        "DIV2K_valid_LR_bicubic/X3/0801x3.png",
    ),
    "DIV2K, unknown": ("DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_unknown/X4/0801x4.png"),
    "DIV2K, both": (
        "DIV2K_valid_HR/0801.png",
        "DIV2K_valid_LR_bicubic/X4/0801x4.png",
        "DIV2K_valid_LR_unknown/X4/0801x4.png",
        "DIV2K_valid_LR_mild/0801x4m.png",
    ),
    "BasicSR": ("GTmod12/baby.png", "LRbicx4/baby.png", "LRbicx2/baby.png", "LRbicx3/baby.png", "original/baby.png"),
    "BasicSR, crops": ("DIV2K_train_HR_sub/0001_s001.png", "DIV2K_train_LR_bicubic_X4_sub/0001_s001.png"),
    "SelfExSR": (
        "image_SRF_4/img_001_SRF_4_HR.png",
        "image_SRF_4/img_001_SRF_4_LR.png",
        "image_SRF_2/img_001_SRF_2_HR.png",
        "image_SRF_2/img_001_SRF_2_LR.png",
    ),
    "SelfExSR, inside": ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png"),
    "names": ("baby_HR.png", "baby_LR.png"),
    "names with x4": ("baby_HR_x4.png", "baby_LR_x4.png"),
    "LR alone named": ("baby.png", "baby_LR.png"),
    "x4 alone named": ("baby.png", "babyx4.png"),
    "_x4 alone named": ("sub/baby.png", "sub/baby_x4.png"),
    "RealSR": ("Test/4/Canon_001_HR.png", "Test/4/Canon_001_LR4.png"),
    "GT and LQ": ("GT/baby.png", "LQ/baby.png"),
    "Mixed case": ("Hr/baby.png", "lr_X4/baby.png"),
}


def put(folder, *names):
    """Pictures of 48x48, those of LR smaller by what their names say."""
    for name in names:
        small = any(word in name.upper() for word in ("LR", "LQ", "X4", "X2", "X3")) and "_HR_X4" not in name.upper()
        factor = next((int(digit) for digit in "23" if f"X{digit}" in name.upper() or f"SRF_{digit}" in name), 4)
        side = 48 // factor if small else 48
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(folder / name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_paired(tmp_path, layout):
    folder = tmp_path / "set"
    hr, lr, *others = LAYOUTS[layout]
    put(folder, hr, lr, *others)
    ((name, found_hr, found_lr),) = (vars(pair).values() for pair in find_pairs(folder))
    assert (found_hr, found_lr) == (folder / hr, folder / lr)
    (one,) = find_sets(folder)
    assert one.name == ("DIV2K_valid" if layout.startswith("DIV2K") else one.name) and len(one.pairs) == 1
    ((_, found_hr, found_lr),) = (vars(pair).values() for pair in one.pairs)
    assert (found_hr, found_lr) == (folder / hr, folder / lr)
    trained = fit_pairs(scan_sides(folder, min_side=32), 4)
    assert [(*map(vars, trained.hr.pictures),), (*map(vars, trained.lr),)] == [
        ({"path": folder / hr, "height": 48, "width": 48},),
        ({"path": folder / lr, "height": 12, "width": 12},),
    ]


@pytest.mark.parametrize("layout", ["EDSR", "X4 beside HR", "BasicSR", "SelfExSR"])
def test_lr_of_the_scale_factor_is_chosen(tmp_path, layout):
    put(tmp_path, *LAYOUTS[layout])
    (pair,) = find_pairs(tmp_path, 2)
    with Image.open(pair.hr) as hr, Image.open(pair.lr) as lr:
        assert (hr.width, lr.width) == (48, 24)
    (pair,) = find_pairs(tmp_path, 8)  # not there: the smallest other, which is then left out with a note
    with Image.open(pair.lr) as lr:
        assert lr.width == 24


@pytest.mark.parametrize(
    "names, said",
    [
        (["LR/a.png"], "has LR/ but no HR/; put the originals into HR/"),
        (["X4/0801x4.png"], "has X4/ but no HR/"),
        (["LR_bicubic/X4/0801x4.png"], "has LR_bicubic/ but no HR/"),
        (["DIV2K_valid_LR_bicubic/X4/0801x4.png"], "has DIV2K_valid_LR_bicubic/ but no HR/"),
        (["LRbicx4/a.png", "original/a.png"], "has LRbicx4/ but no HR/"),
        (["A_HR/a.png", "B_LR/b.png"], "B_LR/ is not LR of A_HR/ by its name; rename it, or name .*A_HR alone"),
        (["0801x4.png", "0802x4.png"], "all images are named as LR, 0801x4.png say"),
        (["hr_128/a.png", "lr_16/a.png"], "has lr_16/ but no HR/"),
        (["a_LR.png", "b_LR.png"], "all images are named as LR, a_LR.png say"),
        (["a_HR.png", "a_LR.png", "b.png"], "b.png: is neither named _HR nor _LR"),
        (["a.png", "ax4.png", "b.png"], "1 without a partner in HR/ or LR/: .*b.png"),
        (["HR/a.png", "GT/a.png", "LR/a.png"], "has GT/ and HR/; remove or rename one"),
        (["HR/a.png", "LR_bicubic/X4/b.png"], "2 without a partner"),
        (["HR/a.png", "LR_mild/a.png", "LR_wild/a.png"], "has LR_mild/ and LR_wild/"),
        (["A_HR/a.png", "A_LR/a.png", "B_HR/a.png", "B_LR/a.png"], "holds several test sets: A, B"),
        (["deep/down/LRbicx4/a.png", "b.png"], "has no HR/, but .* is in LRbicx4/, a folder of LR"),
    ],
)
def test_lr_is_never_taken_for_hr(tmp_path, names, said):
    put(tmp_path, *names)
    with pytest.raises(UserError, match=said) as error:
        find_pairs(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError) as in_training:
        match_sides(scan_sides(tmp_path))
    assert str(in_training.value) == str(error.value)


def test_training_says_which_lr_is_of_another_set(tmp_path):
    put(tmp_path, "HR/a.png", "B_LR/b.png")
    assert [pair.lr for pair in find_pairs(tmp_path)] == [None]
    with pytest.raises(UserError, match="B_LR/ is not LR of HR/ by its name; rename it, or name .*HR alone"):
        scan_sides(tmp_path)


@pytest.mark.parametrize("name", ["LR", "X4", "x4", "LR_bicubic", "LRbicx4", "DIV2K_valid_LR_bicubic_X4"])
def test_a_folder_that_is_itself_named_as_lr_is_refused(tmp_path, monkeypatch, name):
    put(tmp_path / name, "a.png", "b.png")
    with pytest.raises(UserError, match="named as a folder of LR; name the folder that HR/ and LR/ are in"):
        find_pairs(tmp_path / name)
    with pytest.raises(UserError, match="named as a folder of LR; name the folder that HR/ and LR/ are in"):
        scan_sides(tmp_path / name, min_side=96)
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(UserError, match="named as a folder of LR"):
        find_pairs(".")


def test_names_that_only_look_like_lr_stay_hr(tmp_path):
    for name in ("box4.png", "img_1x4.png", "color.png", "Ford_GT/a.png", "photo.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 48)).save(tmp_path / name)
    Image.new("RGB", (192, 192)).save(tmp_path / "photo_x4.jpg")  # upscaled
    pairs = find_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["Ford_GT/a", "box4", "color", "img_1x4", "photo", "photo_x4"]
    assert {pair.lr for pair in pairs} == {None}
    ((_, scan),) = scan_sides(tmp_path)
    assert [picture.path for picture in scan.pictures] == [pair.hr for pair in pairs]


def test_a_name_of_lr_among_photographs_is_chance(tmp_path, monkeypatch):
    names = ["k2.png", "q_lr.png", "vx4.png", "z_hr.png"]
    put(tmp_path, *names)
    Image.new("RGB", (48, 48)).save(tmp_path / "k2.jpg")
    ((_, scan),) = scan_sides(tmp_path)
    assert [picture.path.name for picture in scan.pictures] == ["k2.jpg", *names]
    (tmp_path / "k2.jpg").rename(tmp_path / "q.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="k2.png: is neither named _HR nor _LR"):
        scan_sides(".")
    (tmp_path / "z_hr.png").unlink()
    with pytest.raises(UserError, match="^.: 2 without a partner in HR/ or LR/: HR k2.png, vx4.png; add or remove"):
        match_sides(scan_sides("."))


def test_a_damaged_file_in_x4_is_lr_in_training(tmp_path):
    put(tmp_path, "a.png", "ax4.png", "b.png", "bx4.png")
    (tmp_path / "ax4.png").write_bytes(b"")
    found = fit_pairs(scan_sides(tmp_path), 4)
    assert [picture.path.name for picture in (*found.hr.pictures, *found.lr)] == ["b.png", "bx4.png"]
    assert [path.name for path, _ in found.hr.skipped] == ["ax4.png"]


def test_a_folder_of_sets_is_not_trained_on(tmp_path):
    put(tmp_path, "Set5/HR/a.png", "Set5/LR/a.png", "Set14/HR/b.png", "Set14/LR/b.png")
    with pytest.raises(UserError, match="has no HR/, but .*Set14/LR/b.png is in LR/, a folder of LR; name the folder"):
        scan_sides(tmp_path)


def test_a_folder_of_sets_of_several_layouts(tmp_path):
    for name, layout in (("Set5", "EDSR"), ("Set14", "BasicSR"), ("Urban100", "SelfExSR"), ("DIV2K", "DIV2K")):
        put(tmp_path / name, *LAYOUTS[layout])
    put(tmp_path, "__MACOSX/HR/a.png", "plain/a.png", "half/LR/a.png")
    assert [each.name for each in find_sets(tmp_path)] == ["DIV2K_valid", "Set5", "Set14", "Urban100"]
    assert all(pair.lr for each in find_sets(tmp_path) for pair in each.pairs)
    assert find_ignored(tmp_path) == ["half", "plain"]


def test_the_sets_of_div2k_beside_each_other(tmp_path):
    for part in ("train", "valid"):
        put(tmp_path, f"DIV2K_{part}_HR/1.png", f"DIV2K_{part}_LR_bicubic/X4/1x4.png")
    put(tmp_path, "notes.png")
    assert [each.name for each in find_sets(tmp_path)] == ["DIV2K_train", "DIV2K_valid"]
    assert find_ignored(tmp_path) == ["notes.png"]
