import io

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders, store
from srgan_tf.system.errors import UserError


@pytest.fixture
def jpeg(tmp_path):
    """A JPEG of 61 x 50 and its values."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 61, 3), np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path)
    return folders.PictureFile(path, 50, 61), np.array(Image.open(path))


def _photographs(pictures, cache_bytes):
    return store.PhotographStore(pictures, 4, cache_bytes)


def test_crops_repeat_the_border_of_the_picture_cut_to_a_multiple(jpeg):
    picture, pixels = jpeg
    padded = np.pad(pixels[:48, :60], ((20, 20), (20, 20), (0, 0)), mode="edge")
    corners = np.array([(-20, -20), (-3, 10), (5, 7), (36, 48), (8, -1)])
    crops = _photographs([picture], 10**9).crops(0, corners, 32)
    for (top, left), crop in zip(corners, crops, strict=True):
        np.testing.assert_array_equal(crop, padded[top + 20 : top + 52, left + 20 : left + 52])


def test_a_jpeg_that_is_not_cached_is_handed_over_encoded(jpeg):
    picture, pixels = jpeg
    found = _photographs([picture], 0).crops(0, np.array([(-8, 20), (4, 30)]), 16)
    assert found.data == picture.path.read_bytes()
    top, left, height, width = found.box
    box = np.array(Image.open(io.BytesIO(found.data)))[top : top + height, left : left + width]
    assert (top, height) == (0, 28) and (left, width) == (12, 42)  # the crops and 8 pixels more
    np.testing.assert_array_equal(box[found.rows[0][:, None], found.columns[0]][8:], pixels[:8, 20:36])
    np.testing.assert_array_equal(box[found.rows[1][:, None], found.columns[1]], pixels[4:20, 30:46])


def test_the_cache_stays_within_its_size(tmp_path, monkeypatch):
    reads = []
    read = store.files.read_rgb
    monkeypatch.setattr(store.files, "read_rgb", lambda path: reads.append(path.name) or read(path))
    pictures = []
    for name in "abc":
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (10, 10)).save(path)
        pictures.append(folders.PictureFile(path, 10, 10))
    photographs = _photographs(pictures, 2 * 8 * 8 * 3)
    for index in (0, 1, 2, 0, 1, 2):
        photographs.crops(index, np.array([(0, 0)]), 4)
    assert reads == ["a.png", "b.png", "c.png", "c.png"]


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_of_another_size_than_it_had_is_refused(tmp_path, suffix, cache_bytes):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (30, 20)).save(path)
    photographs = _photographs([folders.PictureFile(path, 40, 50)], cache_bytes)
    with pytest.raises(UserError, match=f"a.{suffix}: was 50x40 when the run started and is 30x20 now"):
        photographs.crops(0, np.array([(0, 0)]), 4)


def test_only_errors_of_the_store_are_made_plain(jpeg):
    picture, _ = jpeg
    photographs = _photographs([picture], 0)
    with pytest.raises(ZeroDivisionError), photographs.unwrapped_errors():
        raise ZeroDivisionError
    other = UserError("of the training")
    with pytest.raises(UserError) as raised, photographs.unwrapped_errors():
        raise other
    assert raised.value is other


def test_a_jpeg_that_only_tensorflow_cannot_decode_is_named(jpeg, monkeypatch):
    picture, pixels = jpeg
    photographs = _photographs([picture], 0)
    photographs.crops(0, np.array([(0, 0)]), 4)
    with pytest.raises(RuntimeError), photographs.unwrapped_errors():
        raise RuntimeError("Invalid JPEG data or crop window.")  # of another file, whose fault has gone
    picture.path.write_bytes(picture.path.read_bytes()[:400])
    monkeypatch.setattr(store.files, "read_rgb", lambda path: pixels)
    with pytest.raises(UserError, match="a.jpg: a JPEG that TensorFlow cannot decode"), photographs.unwrapped_errors():
        raise RuntimeError("Invalid JPEG data or crop window.")
