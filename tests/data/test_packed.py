import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.data import folders, packed, packing
from srgan_tf.system.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Three pictures packed, and their values by name."""
    pictures = {}
    for number, name in enumerate(["a-b.png", "a.png", "deep/ü.png"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[name] = np.random.default_rng(number).integers(0, 256, (30 + number, 41 - number, 3), np.uint8)
        Image.fromarray(pictures[name]).save(path)
    packing.pack(folders.scan(tmp_path / "photos").pictures, tmp_path / "photos", tmp_path / "packed")
    return tmp_path / "packed", pictures


def test_a_packed_folder_is_known_by_its_manifest(folder, tmp_path, monkeypatch):
    packed_folder, _ = folder
    assert packed.is_packed(packed_folder) and packed.is_packed(str(packed_folder))
    assert not packed.is_packed(tmp_path / "photos") and not packed.is_packed(tmp_path / "none")
    monkeypatch.chdir(packed_folder)
    assert not packed.is_packed("") and packed.is_packed(".")
    (tmp_path / "photos" / "manifest.json").write_text("{}")
    assert not packed.is_packed(tmp_path / "photos")


def test_the_scan_is_that_of_the_photographs(folder, tmp_path):
    packed_folder, _ = folder
    for min_side in (1, 31, 32):
        ours, theirs = packed.scan(packed_folder, min_side), folders.scan(tmp_path / "photos", min_side)
        for kept, original in zip(ours.pictures, theirs.pictures, strict=True):
            assert kept.path.relative_to(packed_folder) == original.path.relative_to(tmp_path / "photos")
            assert (kept.height, kept.width) == (original.height, original.width)
        reasons = [(path.name, reason) for path, reason in theirs.skipped]
        assert [(path.name, reason) for path, reason in ours.skipped] == reasons
    with pytest.raises(UserError, match="packed: no usable image, 3 skipped; the first: .*a-b.png: 41x30 is smaller"):
        packed.scan(packed_folder, 40)


def test_crops_are_those_of_the_pictures(folder):
    packed_folder, pictures = folder
    found = packed.scan(packed_folder, 31).pictures  # the first one is too small, and left out
    store = packed.PackedStore(packed_folder, found, 4)
    for index, name in enumerate(["a.png", "deep/ü.png"]):
        pixels = pictures[name]
        height, width = (length // 4 * 4 for length in pixels.shape[:2])
        padded = np.pad(pixels[:height, :width], ((8, 8), (8, 8), (0, 0)), mode="edge")
        corners = np.array([(-8, -8), (3, 5), (height - 8, width - 8)])
        for (top, left), crop in zip(corners, store.crops(index, corners, 16), strict=True):
            np.testing.assert_array_equal(crop, padded[top + 8 : top + 24, left + 8 : left + 24])


def test_tensorflow_reads_it(folder):
    packed_folder, pictures = folder
    kinds = {"name": tf.string, "height": tf.int64, "width": tf.int64, "rgb": tf.string}
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
    found = {}
    for content in tf.data.TFRecordDataset(str(packed_folder / "photographs-00000.tfrecord")):  # checks the checksums
        one = {name: value.numpy() for name, value in tf.io.parse_single_example(content, features).items()}
        found[one["name"].decode()] = np.frombuffer(one["rgb"], np.uint8).reshape(one["height"], one["width"], 3)
    assert list(found) == list(pictures)
    for name, pixels in pictures.items():
        np.testing.assert_array_equal(found[name], pixels)


def test_damage_is_one_line(folder):
    packed_folder, _ = folder
    pictures = packed.scan(packed_folder).pictures
    store = packed.PackedStore(packed_folder, pictures, 4)
    shard = packed_folder / "photographs-00000.tfrecord"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-500])
    reason = f"photographs-00000.tfrecord: damaged .{len(whole) - 500:,} bytes instead of {len(whole):,}.; pack"
    with pytest.raises(UserError, match=reason):
        packed.scan(packed_folder)
    with (
        pytest.raises(UserError, match="photographs-00000.tfrecord: damaged .it ends too early"),
        store.unwrapped_errors(),
    ):
        store.crops(2, np.array([(10, 0)]), 32)
    shard.unlink()
    with pytest.raises(UserError, match="photographs-00000.tfrecord: damaged .No such file"):
        packed.scan(packed_folder)


def _with(content, **changes):
    """The content of a manifest with another first shard."""
    first, *others = content["shards"]
    return content | {"shards": [first | changes, *others]}


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda content: content | {"version": 1}, "of version 1, not 2; pack into a new folder"),
        (lambda content: content | {"version": "2"}, "damaged .version is '2', not int"),
        (lambda content: content | {"shards": [{}]}, "damaged .'file' is missing"),
        (lambda content: content | {"shards": {"0": 1}}, "damaged .shards is dict, not list"),
        (lambda content: _with(content, size="12"), r"shards\[0\].size is '12', not int"),
        (lambda content: _with(content, pictures=[["a.png", 30, "41", 0]]), "pictures have other values than int"),
        (lambda content: _with(content, pictures=[["a.png", 30, 41]]), "pictures are not lists of 4"),
        (lambda content: _with(content, pictures=[["a.png", 10**30, 41, 0]]), "a.png lies beyond photographs-00000"),
        (lambda content: _with(content, pictures=[["a.png", 30, 41, -5000]]), "a.png lies beyond photographs-00000"),
        (lambda content: _with(content, pictures=[["/a.png", 30, 41, 0]]), "'/a.png' is no path in a folder"),
        (lambda content: _with(content, pictures=[["deep//a.png", 30, 41, 0]]), "'deep//a.png' is no path in a folder"),
        (lambda content: _with(content, pictures=[["../a.png", 30, 41, 0]]), "'../a.png' is no path in a folder"),
        (lambda content: _with(content, skipped=[[1, 2]]), "skipped have other values than str"),
        (lambda content: _with(content, file="../../etc/passwd"), "a file '../../etc/passwd'"),
        (
            lambda content: (
                content
                | {"shards": content["shards"] + [content["shards"][0] | {"file": packed.shard_name(1), "sha256": ""}]}
            ),
            "only 1 of 2 files are packed; run `srgan pack` again to resume",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_one_line(folder, change, reason):
    packed_folder, _ = folder
    path = packed_folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=reason) as error:
        packed.scan(packed_folder)
    assert "\n" not in str(error.value)
