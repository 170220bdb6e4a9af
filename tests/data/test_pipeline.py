import types

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders, pipeline
from srgan_tf.errors import UserError
from srgan_tf.imaging.resize import crop_to_multiple, downscale


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Five pictures of noise, of different sizes that are no multiples of 4, so that a crop tells where it is from."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(50, 61), (49, 48), (83, 55), (64, 64), (70, 49)]):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _batches(folder, start, stop, *, seed=3, batch_size=2, crop_size=32, scale=4, cache_bytes=0):
    scan = folders.scan(folder, crop_size)
    store = pipeline.PhotographStore(scan.pictures, scale, cache_bytes)
    dataset = pipeline.crops(
        store, [(picture.height, picture.width) for picture in scan.pictures], crop_size=crop_size,
        batch_size=batch_size, scale=scale, seed=seed, start=start, stop=stop, workers=2,
    )  # fmt: skip
    return [(lr.numpy(), hr.numpy()) for lr, hr in dataset]


def _turns(square):
    for turned in (square, square.transpose(1, 0, 2)):
        for vertical in (turned, turned[::-1]):
            yield vertical
            yield vertical[:, ::-1]


def _locate(hr, wholes):
    """`(picture, top, left, turn)` of a crop, by search over all of them."""
    for turn, candidate in enumerate(_turns(hr)):
        for picture, whole in enumerate(wholes):
            side = candidate.shape[0]
            windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (side, side))
            found = np.argwhere((windows == candidate[..., 0]).all(axis=(2, 3)))
            if len(found):
                return picture, *map(int, found[0]), turn
    raise AssertionError("the crop is from none of the pictures")


@pytest.mark.parametrize("scale", [2, 4])
def test_lr_crop_is_the_crop_of_the_whole_lr(photographs, scale):
    wholes = [crop_to_multiple(np.array(Image.open(path)), scale) for path in sorted(photographs.iterdir())]
    smalls = [downscale(whole, scale) for whole in wholes]
    corners = set()
    for lr, hr in _batches(photographs, 0, 40, scale=scale):
        for small, large in zip(lr, hr):
            picture, top, left, turn = _locate(large, wholes)
            assert top % scale == 0 and left % scale == 0
            side = 32 // scale
            expected = smalls[picture][top // scale :, left // scale :][:side, :side]
            # Whatever turns HR back turns LR back, too.
            np.testing.assert_array_equal(list(_turns(small))[turn], expected)
            bottom, right = top + 32 == wholes[picture].shape[0], left + 32 == wholes[picture].shape[1]
            corners |= {("top", top == 0), ("left", left == 0), ("bottom", bottom), ("right", right), ("turn", turn)}
    # Crops at every border, where the kernel meets the replicated pixels, and turned in all eight ways.
    assert {(side, True) for side in ("top", "left", "bottom", "right")} <= corners
    assert {("turn", turn) for turn in range(8)} <= corners


def test_a_batch_is_a_function_of_seed_and_step(photographs):
    whole = _batches(photographs, 0, 9)
    again = _batches(photographs, 4, 9, cache_bytes=10**9)
    assert len(whole) == 9 and len(again) == 5
    for (lr, hr), (lr_again, hr_again) in zip(whole[4:], again):
        np.testing.assert_array_equal(lr, lr_again)
        np.testing.assert_array_equal(hr, hr_again)
    other = _batches(photographs, 0, 9, seed=4)
    assert any((hr != hr_other).any() for (_, hr), (_, hr_other) in zip(whole, other))


def test_every_picture_comes_once_an_epoch_in_another_order(photographs):
    wholes = [np.array(Image.open(path)) for path in sorted(photographs.iterdir())]
    order = [_locate(hr[0], wholes)[0] for _, hr in _batches(photographs, 0, 20, batch_size=1)]
    epochs = [order[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1


def test_the_cache_keeps_within_its_room(photographs, monkeypatch):
    reads = []
    monkeypatch.setattr(
        pipeline.files, "read_rgb", lambda path: reads.append(path) or np.zeros((10, 10, 3), np.uint8)
    )
    pictures = [types.SimpleNamespace(path=name) for name in "abc"]
    store = pipeline.PhotographStore(pictures, 4, cache_bytes=2 * 8 * 8 * 3)
    for index in (0, 1, 2, 0, 1, 2):
        store.window(index, 0, 0, 4)
    assert reads == ["a", "b", "c", "c"]


def test_a_picture_that_vanishes_is_named(photographs, tmp_path):
    for path in photographs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    scan = folders.scan(tmp_path)
    store = pipeline.PhotographStore(scan.pictures, 4, 0)
    scan.pictures[1].path.unlink()
    dataset = pipeline.crops(
        store, [(48, 48)] * 5, crop_size=32, batch_size=1, scale=4, seed=0, start=0, stop=10, workers=2
    )
    with pytest.raises(UserError, match="1.png"), store.plain_errors():
        list(dataset)
