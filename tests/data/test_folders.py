from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders
from srgan_tf.system.errors import UserError


def _picture(path, width=16, height=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _names(folder, paths):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_find_pictures_is_recursive_sorted_and_by_suffix(tmp_path):
    for name in ("b.png", "a/z.JPG", "a.webp", "a/b/c.tiff", "c.Jpeg", "d.gif", "e.bmp", "f.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".hidden.png", "notes.txt", "png", "g.mp4"):
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "h.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dead.png").symlink_to(tmp_path / "gone.png")  # found, so that reading it names it
    found = folders.find_pictures(str(tmp_path))
    names = ["a.webp", "a/b/c.tiff", "a/z.JPG", "b.png", "c.Jpeg", "d.gif", "dead.png", "e.bmp", "f.tif"]
    assert _names(tmp_path, found) == names


def test_links_are_followed_without_looping(tmp_path):
    outside = _picture(tmp_path / "outside" / "a.png").parent
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "linked").symlink_to(outside)
    (inside / "again").symlink_to(inside)
    (outside / "back").symlink_to(inside)
    (inside / "b.png").symlink_to(outside / "a.png")
    assert _names(inside, folders.find_pictures(inside)) == ["b.png", "linked/a.png"]


@pytest.mark.parametrize("call", [folders.find_pictures, folders.scan, folders.find_pairs])
def test_missing_folder_and_file_for_folder(tmp_path, call):
    with pytest.raises(UserError, match="missing: no such folder"):
        call(tmp_path / "missing")
    with pytest.raises(UserError, match=r"a\.png: not a folder"):
        call(_picture(tmp_path / "a.png"))


def test_scan_names_what_it_skips(tmp_path):
    _picture(tmp_path / "good.png", 40, 30)
    _picture(tmp_path / "deep" / "good.jpg", 30, 40)
    _picture(tmp_path / "small.png", 40, 29)
    for name in ("cut.png", "cut.jpg"):
        cut = _picture(tmp_path / name, 64, 64)
        cut.write_bytes(cut.read_bytes()[:-20])
    (tmp_path / "fake.png").write_text("text")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / ".hidden").write_text("text")
    (tmp_path / "dead.png").symlink_to(tmp_path / "gone.png")
    scan = folders.scan(tmp_path, min_side=30)
    assert [(path.path.name, path.height, path.width) for path in scan.pictures] == [
        ("good.jpg", 40, 30),
        ("good.png", 30, 40),
    ]
    skipped = {path.name: reason for path, reason in scan.skipped}
    assert list(skipped) == ["cut.jpg", "cut.png", "dead.png", "fake.png", "notes.txt", "small.png"]
    assert skipped["small.png"] == "40x29 is smaller than the crop of 30"
    assert skipped["cut.jpg"] == skipped["cut.png"] == "truncated: its end is missing"
    assert skipped["dead.png"] == "no such file"
    assert skipped["fake.png"].startswith("not an image") and skipped["notes.txt"] == "not an image"


def test_summary_counts_and_stops_after_ten():
    picture = folders.PictureFile(Path("a.png"), 4, 4)
    assert folders.Scan((picture,) * 474, ()).summary() == ["474 images"]
    skipped = tuple((Path(f"{number:02}.txt"), "not an image") for number in range(13))
    lines = folders.Scan((picture,), skipped).summary()
    assert lines[0] == "1 image, 13 skipped:"
    assert [line.strip() for line in lines[1:11]] == [f"{number:02}.txt: not an image" for number in range(10)]
    assert lines[11].strip() == "and 3 more" and len(lines) == 12


def test_a_scan_without_result_is_an_error(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: no images"):
        folders.scan(tmp_path)
    _picture(tmp_path / "a.png")
    (tmp_path / "b.txt").touch()
    with pytest.raises(UserError, match=rf"^{tmp_path}: .*2 skipped.*a\.png: 16x12 is smaller than the crop of 96$"):
        folders.scan(tmp_path, min_side=96)


def test_scan_sees_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert folders.scan(tmp_path).pictures == (folders.PictureFile(tmp_path / "a.jpg", 40, 20),)


def test_embedded_pictures_are_there_without_importing_scikit_image(run_python):
    code = (
        "import sys; from srgan_tf.data import folders; print(*folders.embedded_pictures()); "
        "print('skimage' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = run_python("-c", code)
    assert done.stdout == "astronaut chelsea coffee rocket motorcycle_left\nFalse False\n", done.stderr


def test_embedded_scan_divides_without_overlap():
    train, valid = (
        [picture.path.stem for picture in folders.embedded_scan(which).pictures] for which in ("train", "valid")
    )
    assert valid == ["chelsea"]
    assert sorted(train + valid) == sorted(folders.embedded_pictures()) and len(train) == 4
    with pytest.raises(UserError, match="451x300 is smaller than the crop of 384"):
        folders.embedded_scan("valid", min_side=384)


def test_embedded_pictures_missing(monkeypatch):
    monkeypatch.setattr(folders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="scikit-image"):
        folders.embedded_pictures()


def test_pairs_of_a_plain_folder(tmp_path):
    for name in ("img_2.png", "img_1x4.jpg", "more/img_1.png"):
        _picture(tmp_path / name)
    pairs = folders.find_pairs(tmp_path)
    assert pairs == [
        folders.Pair("img_1x4", tmp_path / "img_1x4.jpg", None),
        folders.Pair("img_2", tmp_path / "img_2.png", None),
        folders.Pair("more/img_1", tmp_path / "more/img_1.png", None),
    ]


def test_pairs_of_hr_alone(tmp_path):
    _picture(tmp_path / "HR" / "a.png")
    _picture(tmp_path / "notes.png")
    assert folders.find_pairs(tmp_path) == [folders.Pair("a", tmp_path / "HR" / "a.png", None)]


@pytest.mark.parametrize("hr, lr", [("hr", "lr"), ("Hr", "LR")])
def test_the_two_sides_are_found_in_any_case(tmp_path, hr, lr):
    hr, lr = _picture(tmp_path / hr / "a.png"), _picture(tmp_path / lr / "a.png")
    assert folders.find_pairs(tmp_path) == [folders.Pair("a", hr, lr)]


def test_a_side_that_is_there_twice_is_refused(tmp_path):
    _picture(tmp_path / "hr" / "a.png")
    if (tmp_path / "HR").exists():
        pytest.skip("this file system has one case of letters")
    _picture(tmp_path / "HR" / "a.png")
    with pytest.raises(UserError, match="has HR/ and hr/; remove or rename one"):
        folders.find_pairs(tmp_path)


def test_lr_further_down_is_not_taken_for_hr(tmp_path):
    for name in ("Set5/HR/a.png", "Set5/lr/a.png"):
        _picture(tmp_path / name)
    with pytest.raises(UserError, match=r"has no HR/, but .*Set5/lr/a\.png is in lr/"):
        folders.find_pairs(tmp_path)


@pytest.mark.parametrize(
    "hr, lr",
    [
        ("001.png", "001.png"),
        ("baby.png", "baby.bmp"),
        ("baby.png", "babyx4.png"),
        ("baby_HR.png", "baby_LR.png"),
        ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png"),
        ("a/b-hr.png", "a/b-x4-lr.png"),
        ("0801.png", "0801_bicubic_x4.png"),
    ],
)
def test_partners_are_found(tmp_path, hr, lr):
    hr, lr = _picture(tmp_path / "HR" / hr), _picture(tmp_path / "LR" / lr)
    name = hr.relative_to(tmp_path / "HR").with_suffix("").as_posix()
    assert folders.find_pairs(tmp_path) == [folders.Pair(name, hr, lr)]


def test_same_names_are_partners_whatever_they_end_in(tmp_path):
    for side in ("HR", "LR"):
        for name in ("box1.png", "box2.png", "x4.png"):
            _picture(tmp_path / side / name)
    assert [(pair.name, pair.hr.name == pair.lr.name) for pair in folders.find_pairs(tmp_path)] == [
        ("box1", True),
        ("box2", True),
        ("x4", True),
    ]


def test_partners_missing_on_either_side_are_named(tmp_path):
    for name in ("HR/a.png", "LR/a.png", "HR/b.png", "LR/c.png"):
        _picture(tmp_path / name)
    with pytest.raises(UserError, match=r"2 without a partner.*HR .*HR/b\.png; LR .*LR/c\.png") as error:
        folders.find_pairs(tmp_path)
    assert "a.png" not in str(error.value)
    for number in range(6):
        _picture(tmp_path / f"HR/d{number}.png")
    with pytest.raises(UserError, match="8 without a partner.* and 4 more; LR .*c.png;"):
        folders.find_pairs(tmp_path)


def test_lr_of_another_scale_factor_is_left_out(tmp_path):
    sizes = {"a": (42, 35), "b": (24, 31), "broken": (24, 24)}
    for name, (width, height) in sizes.items():
        _picture(tmp_path / "HR" / f"{name}.png", width, height)
        _picture(tmp_path / "LR" / f"{name}.png", width // 4, height // 4)
    (tmp_path / "HR" / "broken.png").write_bytes(b"no image")
    pairs = folders.find_pairs(tmp_path)
    assert folders.drop_mismatched_lr(pairs, 4) == (tuple(pairs), "")
    for scale in (2, 8):
        fitted, note = folders.drop_mismatched_lr(pairs, scale)
        assert [(pair.name, pair.hr, pair.lr) for pair in fitted] == [(pair.name, pair.hr, None) for pair in pairs]
        assert note == f"LR/ is HR/ divided by 4, not {scale}; LR is made by MATLAB's bicubic instead"
    _picture(tmp_path / "LR" / "b.png", 12, 15)  # a mistake in the set, which is named when it is scored
    assert folders.drop_mismatched_lr(pairs, 2) == folders.drop_mismatched_lr(pairs, 8) == (tuple(pairs), "")
    assert (
        folders.drop_mismatched_lr([folders.Pair("a", pairs[0].hr, None)], 2)[1]
        == folders.drop_mismatched_lr([], 2)[1]
        == ""
    )


def test_two_files_with_one_name(tmp_path):
    _picture(tmp_path / "a.png")
    _picture(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.png: .*a\.jpg"):
        folders.find_pairs(tmp_path)


def test_empty_sides(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: no images"):
        folders.find_pairs(tmp_path)
    _picture(tmp_path / "LR" / "a.png")
    with pytest.raises(UserError, match="LR/ but no HR/"):
        folders.find_pairs(tmp_path)
    (tmp_path / "HR").mkdir()
    with pytest.raises(UserError, match="HR: no images"):
        folders.find_pairs(tmp_path)


def test_published_sets_pair_up(shared_data):
    for name, count in (("Set5", 5), ("Set14", 14), ("BSD100", 100)):
        pairs = folders.find_pairs(shared_data / "benchmarks" / name)
        assert len(pairs) == count
        assert all(pair.hr.parent.name == "HR" and pair.lr.parent.name == "LR" for pair in pairs)
        assert all(pair.hr.name == pair.lr.name for pair in pairs)
