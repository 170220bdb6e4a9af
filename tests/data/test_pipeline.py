import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.data import folders, packed, packing, pipeline
from srgan_tf.data.sampling import Sampler
from srgan_tf.data.store import PhotographStore, Store
from srgan_tf.imaging import files
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.system.errors import UserError


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Five pictures of noise, of different sizes that are no multiples of 4, so that a crop tells where it is from."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(50, 61), (49, 48), (83, 55), (64, 64), (70, 49)]):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _open(folder, *, cache_bytes=0, crop_size=32, scale=4):
    if packed.is_packed(folder):
        scan = packed.scan(folder, crop_size)
        return packed.PackedStore(folder, scan.pictures, scale), scan.pictures
    scan = folders.scan(folder, crop_size)
    return PhotographStore(scan.pictures, scale, cache_bytes), scan.pictures


def _dataset(store, start, stop, *, share=None, xla=True, on_device=False, degradation=None, workers=2, **options):
    sampler = Sampler(store.sizes, **options)
    return pipeline.batches(
        store,
        sampler,
        start=start,
        stop=stop,
        workers=workers,
        share=share,
        xla=xla,
        on_device=on_device,
        degradation=degradation,
    )


def _batches(folder, start, stop, *, cache_bytes=0, crop_size=32, scale=4, seed=3, batch_size=2, **options):
    store, pictures = _open(folder, cache_bytes=cache_bytes, crop_size=crop_size, scale=scale)
    options = {"crop_size": crop_size, "scale": scale, "seed": seed, "batch_size": batch_size} | options
    dataset = _dataset(store, start, stop, **options)
    with store.unwrapped_errors():
        return [tuple(values.numpy() for values in batch) for batch in dataset]


def _assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others):
        for values, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(values, expected)


def _flips(square):
    for transposed in (square, square.transpose(1, 0, 2)):
        for vertical in (transposed, transposed[::-1]):
            yield vertical
            yield vertical[:, ::-1]


def _locate(hr, wholes):
    """`(picture, top, left, flip)` of a crop, by search over all of them."""
    for flip, candidate in enumerate(_flips(hr)):
        for picture, whole in enumerate(wholes):
            side = candidate.shape[0]
            crops = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (side, side))
            found = np.argwhere((crops == candidate[..., 0]).all(axis=(2, 3)))
            if len(found):
                return picture, *map(int, found[0]), flip
    raise AssertionError("the crop is from none of the pictures")


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_lr_crop_is_the_crop_of_the_whole_lr(photographs, scale):
    wholes = [crop_to_multiple(np.array(Image.open(path)), scale) for path in sorted(photographs.iterdir())]
    smalls = [downscale(whole, scale) for whole in wholes]
    corners = set()
    for lr, hr in _batches(photographs, 0, 40, scale=scale):
        for small, large in zip(lr, hr):
            picture, top, left, flip = _locate(large, wholes)
            assert top % scale == 0 and left % scale == 0
            side = 32 // scale
            expected = smalls[picture][top // scale :, left // scale :][:side, :side]
            # Whatever flips HR back flips LR back, too.
            np.testing.assert_array_equal(list(_flips(small))[flip], expected)
            bottom, right = top + 32 == wholes[picture].shape[0], left + 32 == wholes[picture].shape[1]
            corners |= {("top", top == 0), ("left", left == 0), ("bottom", bottom), ("right", right), ("flip", flip)}
    # Crops at every border, where the kernel meets the replicated pixels, and in all eight orientations.
    assert {(side, True) for side in ("top", "left", "bottom", "right")} <= corners
    assert {("flip", flip) for flip in range(8)} <= corners


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_sums_are_exact_at_the_extremes(scale):
    # Black and white alone, where the kernel over- and undershoots most.
    side = 32 + 4 * scale
    padded = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (8, side, side, 3))
    expected = [downscale(crop, scale)[2:-2, 2:-2] for crop in padded]
    for compiled in (False, True):
        small = tf.function(pipeline.degrade, jit_compile=compiled)(tf.constant(padded), scale)
        np.testing.assert_array_equal(small, expected)


def test_a_batch_is_a_function_of_seed_and_step(photographs):
    whole = _batches(photographs, 0, 9)
    _assert_same(whole[4:], _batches(photographs, 4, 9, cache_bytes=10**9))
    _assert_same(whole, _batches(photographs, 0, 9, xla=False))
    assert any((hr != hr_other).any() for (_, hr), (_, hr_other) in zip(whole, _batches(photographs, 0, 9, seed=4)))


def test_the_device_can_make_the_pairs(photographs):
    _assert_same(_batches(photographs, 0, 3), _batches(photographs, 0, 3, on_device=True))


def test_photo_lr_is_the_chain_of_its_crop(photographs):
    wholes = [crop_to_multiple(np.array(Image.open(path)), 4) for path in sorted(photographs.iterdir())]
    degradation = Degradation(4, seed=3)
    batches = _batches(photographs, 5, 15, degradation=degradation)
    for number, (small, large) in enumerate((pair for batch in batches for pair in zip(*batch)), 5 * 2):
        picture, top, left, flip = _locate(large, wholes)
        whole = np.pad(wholes[picture], ((8, 8), (8, 8), (0, 0)), mode="edge")
        lr = degradation.draw(number).apply(whole[top:, left:][:48, :48], (top - 8, left - 8))
        np.testing.assert_array_equal(list(_flips(small))[flip], lr[2:-2, 2:-2])


@pytest.mark.parametrize("crops_per_image", [1, 3])
def test_photo_lr_is_a_function_of_seed_step_and_crop(photographs, tmp_path, crops_per_image):
    options = {"crops_per_image": crops_per_image, "batch_size": 4, "degradation": Degradation(4, seed=3), "xla": False}
    whole = _batches(photographs, 0, 9, **options)
    bicubic = _batches(photographs, 0, 9, **options | {"degradation": None})
    for (lr, hr), (lr_bicubic, hr_bicubic) in zip(whole, bicubic):
        np.testing.assert_array_equal(hr, hr_bicubic)
        assert (lr != lr_bicubic).any()
    _assert_same(whole[4:], _batches(photographs, 4, 9, cache_bytes=10**9, workers=4, **options))
    _assert_same(whole[:3], _batches(photographs, 0, 3, on_device=True, **options))
    share = [(lr[[1, 3]], hr[[1, 3]]) for lr, hr in whole]
    _assert_same(share, _batches(photographs, 0, 9, share=[1, 3], **options))
    packing.pack(folders.scan(photographs).pictures, photographs, tmp_path / "packed")
    _assert_same(whole, _batches(tmp_path / "packed", 0, 9, **options))
    _assert_same(bicubic, _batches(photographs, 0, 9, **options | {"degradation": Degradation(4, 0.0, seed=3)}))


def test_every_picture_comes_once_an_epoch_in_another_order(photographs):
    wholes = [np.array(Image.open(path)) for path in sorted(photographs.iterdir())]
    batches = _batches(photographs, 0, 20, batch_size=1)
    order = [_locate(hr[0], wholes)[0] for _, hr in batches]
    epochs = [order[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1


class _Numbers(Store):
    """Pictures that are uniformly their number; `asked` counts the samples."""

    def __init__(self, count):
        super().__init__([folders.PictureFile(None, 64, 64)] * count, 4)
        self.asked = np.zeros(count, int)

    def _crops(self, index, picture, rows, columns):
        self.asked[index] += 1
        return [np.full((rows.shape[1], rows.shape[1], 3), index, np.uint8)] * len(rows)


def _numbers(store, start, stop, **options):
    dataset = _dataset(store, start, stop, xla=False, crop_size=16, scale=4, seed=0, **options)
    return np.array([hr.numpy()[:, 0, 0, 0] for _, hr in dataset])


@pytest.mark.parametrize("batch_size, crops_per_image", [(4, 1), (4, 2), (6, 4), (5, 3), (1, 5), (32, 7)])
def test_crops_of_one_decoding_go_to_different_batches(batch_size, crops_per_image):
    store, count = _Numbers(200), 200
    block = -(-64 // batch_size) * batch_size if crops_per_image > 1 else batch_size
    steps = 6 * block * crops_per_image // batch_size
    batches = _numbers(store, 0, steps, batch_size=batch_size, crops_per_image=crops_per_image)
    assert batches.shape == (steps, batch_size)
    for batch in batches:  # over several epochs
        assert len(set(batch)) == batch_size
    assert store.asked.sum() == 6 * block, "each decoding gives all its crops"
    epochs = batches.size // (count * crops_per_image)
    assert np.bincount(batches.ravel(), minlength=count).min() >= epochs * crops_per_image
    if 1 < crops_per_image <= batch_size:
        # A picture does not meet all of its neighbours again: the batches of each crop begin at another sample.
        rounds = batches[: block * crops_per_image // batch_size].reshape(crops_per_image, -1, batch_size)
        together = {frozenset(batch) for batch in rounds[0]} & {frozenset(batch) for batch in rounds[1]}
        assert not together or block == batch_size


@pytest.mark.parametrize("batch_size, crops_per_image, workers, parts", [(12, 1, 2, 2), (12, 3, 3, 2), (6, 4, 6, 1)])
def test_shares_of_a_batch_make_it_up_and_cost_no_more(batch_size, crops_per_image, workers, parts):
    options = {"batch_size": batch_size, "crops_per_image": crops_per_image}
    store = _Numbers(200)
    whole = _numbers(store, 5, 5 + 8 * 64, **options)
    places = np.arange(batch_size).reshape(parts, workers, -1)
    asked = []
    for worker in range(workers):
        share = places[:, worker].ravel()
        own = _Numbers(200)
        np.testing.assert_array_equal(_numbers(own, 5, 5 + 8 * 64, share=share, **options), whole[:, share])
        asked.append(own.asked.sum())
    assert set(asked) == {store.asked.sum() // workers}


def test_a_run_resumes_in_the_middle_of_a_block(photographs):
    options = {"batch_size": 2, "crops_per_image": 3}
    whole = _numbers(_Numbers(200), 0, 200, **options)
    for start in (1, 95, 96, 150):  # a block gives 96 batches
        np.testing.assert_array_equal(_numbers(_Numbers(200), start, 200, **options), whole[start:])
    options = {"crops_per_image": 3}
    _assert_same(_batches(photographs, 0, 9, **options)[4:], _batches(photographs, 4, 9, **options))


def _picture(size, seed):
    """Blots and noise of all colors, with sharp edges, so that every way to decode chroma shows."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (size[1] // 7 + 1, size[0] // 7 + 1, 3), np.uint8))
    blots = np.array(small.resize(size, Image.Resampling.NEAREST))
    return Image.fromarray(np.clip(blots + rng.normal(0, 12, blots.shape), 0, 255).astype(np.uint8))


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


AROUND = {
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "420": {"subsampling": "4:2:0"},
    "411": {"subsampling": "4:1:1"},
    "progressive": {"progressive": True, "subsampling": "4:2:0"},
    "restart": {"restart_marker_blocks": 3},
    "rgb": {"keep_rgb": True, "subsampling": "4:4:4"},
    "poor": {"quality": 5},
    "upright": _exif(1),
    "optimised": {"optimize": True},
}
WHOLLY = {"rotated": _exif(6), "mirrored": _exif(2), "cmyk": {}}


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory):
    """Two JPEGs of each kind, of sizes that are no multiples of their blocks."""
    folder = tmp_path_factory.mktemp("jpegs")
    for number, (name, options) in enumerate((AROUND | WHOLLY | {"gray": {}}).items()):
        for size in ((75, 66), (99, 129)):
            picture = _picture(size, number)
            if name in ("gray", "cmyk"):
                picture = picture.convert({"gray": "L", "cmyk": "CMYK"}[name])
            picture.save(folder / f"{name}-{size[0]}.jpg", **({"quality": 90} | options))
    return folder


@pytest.mark.parametrize("crops_per_image", [1, 3])
def test_one_seed_gives_one_run_from_every_form_of_the_photographs(jpegs, tmp_path, crops_per_image):
    pngs = tmp_path / "pngs"
    pngs.mkdir()
    for path in jpegs.iterdir():
        Image.fromarray(files.read_rgb(path)).save(pngs / f"{path.stem}.png")
    packing.pack(folders.scan(jpegs).pictures, jpegs, tmp_path / "packed")
    # 300 crops of 28 pictures: at every border, of every kind.
    options = {"crops_per_image": crops_per_image, "batch_size": 6}
    cached = _batches(jpegs, 0, 50, cache_bytes=10**9, **options)
    _assert_same(cached, _batches(jpegs, 0, 50, **options))
    _assert_same(cached, _batches(jpegs, 0, 50, cache_bytes=100_000, **options))
    _assert_same(cached, _batches(pngs, 0, 50, **options))
    _assert_same(cached, _batches(tmp_path / "packed", 0, 50, **options))


def test_jpegs_are_decoded_around_the_crop(jpegs, monkeypatch):
    wholly = []
    read = files.read_rgb
    monkeypatch.setattr(files, "read_rgb", lambda path: wholly.append(path.stem.partition("-")[0]) or read(path))
    _batches(jpegs, 0, 28, batch_size=1)
    assert set(wholly) == WHOLLY.keys()


def test_photographs_are_decoded_to_the_same_values_around_the_crop(shared_data):
    for kind in ("photos", "imagenet"):
        pictures = folders.scan(shared_data / "train" / kind, 384).pictures[::40]
        options = {"crop_size": 96, "batch_size": 1, "scale": 4, "seed": 0}
        runs = [
            [
                np.concatenate([hr.numpy().ravel(), lr.numpy().ravel()])
                for lr, hr in _dataset(PhotographStore(pictures, 4, cache), 0, 2 * len(pictures), **options)
            ]
            for cache in (0, 10**10)
        ]
        np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:-60]), "truncated"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("text"), "not an image"),
        (lambda path: Image.new("RGB", (60, 60)).save(path), "was 75x66 when the run started and is 60x60 now"),
    ],
)
def test_a_picture_that_is_damaged_while_training_is_named(tmp_path, cache_bytes, damage, reason):
    for number in range(5):
        _picture((75, 66), number).save(tmp_path / f"{number}.jpg")
    store, pictures = _open(tmp_path, cache_bytes=cache_bytes, crop_size=64)
    damage(tmp_path / "3.jpg")
    dataset = _dataset(store, 0, 10, crop_size=64, batch_size=1, scale=4, seed=0)
    with pytest.raises(UserError, match=f"3.jpg: {reason}") as error, store.unwrapped_errors():
        list(dataset)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["folder", "packed"])
def test_a_folder_that_vanishes_is_named(photographs, tmp_path, form):
    folder = tmp_path / form
    packing.pack(folders.scan(photographs).pictures, photographs, tmp_path / "packed")
    (tmp_path / "folder").mkdir()
    for path in photographs.iterdir():
        (tmp_path / "folder" / path.name).write_bytes(path.read_bytes())
    store, pictures = _open(folder)
    dataset = _dataset(store, 0, 90, crop_size=32, batch_size=1, scale=4, seed=0)
    with pytest.raises(UserError, match=rf"^{folder}/\S+: .*[Nn]o such file") as error, store.unwrapped_errors():
        for number, _ in enumerate(dataset):
            if number == 5:
                folder.rename(tmp_path / "gone")
    assert "\n" not in str(error.value)
