import shutil

import numpy as np
import pytest
from PIL import Image

from srgan_tf.cli.main import main
from srgan_tf.data import folders, packed, packing, pipeline
from srgan_tf.data.paired import Photographs, fit_pairs, scan_sides
from srgan_tf.data.sampling import Sampler
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple
from srgan_tf.system.errors import UserError


@pytest.fixture
def pairs(tmp_path):
    """Four pairs, PNG and JPEG, HR of sizes that are no multiples of 4; each LR pixel is one of its block of HR."""
    rng = np.random.default_rng(0)
    sizes = {"a": (50, 61), "b_HR": (49, 48), "in/c": (83, 55), "d": (64, 64)}
    for name, (height, width) in sizes.items():
        hr = rng.integers(0, 256, (height, width, 3), np.uint8)
        for side, pixels in (("HR", hr), ("lr", crop_to_multiple(hr, 4)[1::4, 3::4])):
            stem = name.replace("b_HR", "bx4") if side == "lr" else name
            path = tmp_path / "pairs" / side / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "pairs"


def _batches(folder, count, **options):
    sides, cache = scan_sides(folder, 4, 32), options.pop("cache", 0)
    ((hr, _), (lr, _)), found = sides, fit_pairs(sides, 4)
    stores = [Photographs(hr, found.hr.pictures).store(4, cache), Photographs(lr, found.lr).store(1, cache)]
    sampler = Sampler(stores[0].sizes, **{"crop_size": 32, "scale": 4, "seed": 1, "batch_size": 2} | options)
    data = pipeline.batches(stores[0], sampler, start=0, stop=count, workers=2, xla=False, lr_store=stores[1])
    with stores[0].unwrapped_errors(), stores[1].unwrapped_errors():
        return [tuple(values.numpy() for values in batch) for batch in data]


@pytest.fixture
def flat(pairs, tmp_path):
    """The same pairs in one folder, `_HR` and `_LR` in their names."""
    for side in ("HR", "lr"):
        for path in (pairs / side).rglob("*.png"):
            name = path.relative_to(pairs / side).as_posix()
            name = name.removesuffix(".png").removesuffix("_HR").removesuffix("x4")
            target = tmp_path / "flat" / f"{name}_{side.upper()}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path / "flat"


def _upright(square):
    for turned in (square, square.transpose(1, 0, 2)):
        for rows in (turned, turned[::-1]):
            yield rows
            yield rows[:, ::-1]


@pytest.mark.parametrize("crops_per_image", [1, 3])
def test_crops_of_both_are_of_one_place_in_one_orientation(pairs, crops_per_image):
    seen = set()
    for lr, hr in _batches(pairs, 30, crops_per_image=crops_per_image):
        assert lr.shape == (2, 8, 8, 3) and hr.shape == (2, 32, 32, 3)
        for small, large in zip(lr, hr):
            # In the one orientation in which it lies in the photograph, LR is every fourth pixel of HR.
            fits = [
                flip
                for flip, (one, other) in enumerate(zip(_upright(small), _upright(large)))
                if (other[1::4, 3::4] == one).all()
            ]
            assert len(fits) == 1
            seen |= set(fits)
    assert seen == set(range(8))


def test_packed_pairs_give_the_same_batches(pairs, tmp_path):
    assert main(["srgan", "pack", str(pairs), str(tmp_path / "packed")]) == 0
    assert packed.is_packed(tmp_path / "packed/HR") and packed.is_packed(tmp_path / "packed/LR")
    forms = _batches(pairs, 8), _batches(pairs, 8, cache=10**9), _batches(tmp_path / "packed", 8)
    for batches in zip(*forms):
        for values in zip(*batches):
            np.testing.assert_array_equal(values[0], values[1])
            np.testing.assert_array_equal(values[0], values[2])


def test_pairs_in_one_folder_give_the_same_batches(pairs, flat, tmp_path):
    assert main(["srgan", "pack", str(flat), str(tmp_path / "packed")]) == 0
    assert [path.name for path in sorted((tmp_path / "packed").iterdir())] == ["HR", "LR"]
    in_one = tmp_path / "in_one"  # as earlier versions packed it
    scan = folders.scan(flat)
    packing.pack(scan.pictures, flat, in_one)
    for batches in zip(*(_batches(folder, 8) for folder in (pairs, flat, tmp_path / "packed", in_one))):
        for values in zip(*batches):
            for others in values[1:]:
                np.testing.assert_array_equal(values[0], others)


def test_jpegs_are_paired_and_cropped_as_well(tmp_path):
    rng = np.random.default_rng(0)
    for side, size in (("HR", (128, 160)), ("LR", (32, 40))):
        (tmp_path / side).mkdir()
        for name in "ab":
            values = rng.integers(0, 256, (4, 5, 3), np.uint8)
            Image.fromarray(values).resize(size[::-1]).save(tmp_path / side / f"{name}.jpg")
    wholes = [files.read_rgb(path) for path in sorted((tmp_path / "LR").iterdir())]
    for lr, _ in _batches(tmp_path, 6):
        for small in lr:
            views = [np.lib.stride_tricks.sliding_window_view(whole, (8, 8, 3)) for whole in wholes]
            assert any((view[:, :, 0] == flip).all((2, 3, 4)).any() for view in views for flip in _upright(small))


def test_pairs_that_do_not_fit_are_skipped_with_the_reason(pairs):
    Image.new("RGB", (16, 15)).save(pairs / "lr/d.png")
    (pairs / "lr/a.png").write_text("text")
    Image.new("RGB", (31, 60)).save(pairs / "HR/in/c.png")
    found = fit_pairs(scan_sides(pairs, 4, 32), 4)
    assert [picture.path.name for picture in found.hr.pictures] == ["b_HR.png"]
    assert [picture.path.name for picture in found.lr] == ["bx4.png"]
    reasons = {path.relative_to(pairs).as_posix(): reason for path, reason in found.hr.skipped}
    assert set(reasons) == {"lr/a.png", "lr/d.png", "HR/in/c.png"}
    assert reasons["lr/d.png"] == f"16x15 is not {pairs}/HR/d.png: 64x64 divided by 4"
    assert reasons["HR/in/c.png"] == "31x60 is smaller than the crop of 32"


def test_what_is_missing_or_named_twice_is_refused(pairs, tmp_path):
    assert [folder for folder, _ in scan_sides(pairs / "HR")] == [pairs / "HR"]
    assert [folder for folder, _ in scan_sides(pairs)] == [pairs / "HR", pairs / "lr"]
    with pytest.raises(UserError, match="no usable pair, 4 skipped; the first: .*a.png: .* divided by 2"):
        fit_pairs(scan_sides(pairs, 2, 32), 2)
    Image.new("RGB", (50, 61)).save(pairs / "HR/a.jpg")
    with pytest.raises(UserError, match="a.png: has the same name as .*a.jpg"):
        fit_pairs(scan_sides(pairs, 4, 32), 4)
    (pairs / "HR/a.jpg").rename(pairs / "HR/z.jpg")
    with pytest.raises(UserError, match="1 without a partner in HR/ or LR/: .*z.jpg; add or remove"):
        fit_pairs(scan_sides(pairs, 4, 32), 4)
    assert main(["srgan", "pack", str(pairs), str(tmp_path / "packed")]) == 1
    assert not (tmp_path / "packed").exists()
    (pairs / "HR").rename(pairs / "originals")
    with pytest.raises(UserError, match="has lr/ but no HR/"):
        scan_sides(pairs)
    (pairs / "lr").rename(pairs / "X4")
    with pytest.raises(UserError, match="has X4/ but no HR/"):
        scan_sides(pairs)


def test_the_layout_of_div2k_is_known(pairs, tmp_path):
    (tmp_path / "DIV2K/DIV2K_train_LR_bicubic").mkdir(parents=True)
    (pairs / "HR").rename(tmp_path / "DIV2K/DIV2K_train_HR")
    (pairs / "lr").rename(tmp_path / "DIV2K/DIV2K_train_LR_bicubic/X4")
    sides = scan_sides(tmp_path / "DIV2K", 4, 32)
    assert [folder.name for folder, _ in sides] == ["DIV2K_train_HR", "X4"]
    assert len(fit_pairs(sides, 4).lr) == 4
    (tmp_path / "DIV2K/DIV2K_valid_HR").mkdir()
    (tmp_path / "DIV2K/DIV2K_valid_LR_bicubic").mkdir()
    with pytest.raises(UserError, match="holds several test sets"):
        scan_sides(tmp_path / "DIV2K", 4)


def test_given_lr_is_not_degraded_as_well(pairs, flat, capsys):
    from srgan_tf.cli.train import Settings
    from srgan_tf.training.run import find_photographs

    with pytest.raises(UserError, match="--degradation=photo cannot be combined with the LR images in .*lr; "):
        find_photographs(Settings(train_dir=str(pairs), degradation="photo", crop_size=32))
    for folder in (pairs, flat):
        sides = find_photographs(Settings(train_dir=str(folder), crop_size=32))
        assert [len(side.pictures) for side in sides] == [4, 4]
        assert f"training   pairs of 4 images ({folder})" in capsys.readouterr().out
