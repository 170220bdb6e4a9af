import contextlib
import errno
import os
import pickle
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from srgan_tf.imaging import files, header
from srgan_tf.imaging.raster import open_raster
from srgan_tf.system.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA[0, :2] = 0, 255
SMOOTH = np.repeat(np.linspace(0, 255, 640).astype(np.uint8)[None, :, None], 480, axis=0).repeat(3, axis=2)


def _three(gray):
    return np.stack([gray] * 3, axis=-1)


def _on_white(pixels, alpha):
    share = alpha[..., None] / 255
    return pixels * share + 255 * (1 - share)


def _exif(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".webp", ".bmp"])
def test_rgb_round_trips(tmp_path, suffix):
    path = tmp_path / ("new/folder/a" + suffix)
    files.write(path, RGB)
    np.testing.assert_array_equal(files.read_rgb(path), RGB)
    assert files.probe(path) == (5, 7)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
def test_gray_becomes_three_equal_channels(tmp_path, suffix):
    path = tmp_path / ("a" + suffix)
    Image.fromarray(GRAY).save(path, **({"quality": 100} if suffix == ".jpg" else {}))
    np.testing.assert_allclose(files.read_rgb(path), _three(GRAY), atol=3 if suffix == ".jpg" else 0)


@pytest.mark.parametrize(
    "suffix, gray", [(".png", True), (".tif", True), (".png", False), (".tif", False), (".webp", False)]
)
def test_transparency_is_laid_on_white(tmp_path, suffix, gray):
    path = tmp_path / ("a" + suffix)
    image = Image.fromarray(GRAY if gray else RGB)
    image.putalpha(Image.fromarray(ALPHA))
    image.save(path, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    expected = _on_white(_three(GRAY) if gray else RGB, ALPHA)
    np.testing.assert_allclose(files.read_rgb(path), expected, atol=1)


@pytest.mark.parametrize("mode, expected", [("1", True), ("L", True), ("LA", True), ("I;16", True), ("RGB", False)])
def test_gray_files_are_known(tmp_path, mode, expected):
    Image.new(mode, (4, 3)).save(tmp_path / "a.png")
    assert files.is_gray(tmp_path / "a.png") is expected


def test_palette_with_and_without_transparency(tmp_path):
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY % 16)
    image.putpalette(palette.tobytes())
    opacity = np.arange(16, dtype=np.uint8) * 17
    colors = palette[GRAY % 16]
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "shades.png", transparency=opacity.tobytes())
    image.save(tmp_path / "key.png", transparency=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain, shades, key = (files.read_rgb(tmp_path / f"{name}.png") for name in ("plain", "shades", "key"))
    np.testing.assert_array_equal(plain, colors)
    np.testing.assert_allclose(shades, _on_white(colors, opacity[GRAY % 16]), atol=1)
    np.testing.assert_array_equal(key, np.where(GRAY[..., None] % 16 == 3, 255, colors))


@pytest.mark.parametrize("suffix, kind", [(".png", "<u2"), (".tif", "<u2"), (".tif", ">u2")])
def test_sixteen_bit_gray_is_scaled_and_rounded(tmp_path, suffix, kind):
    values = RNG.integers(0, 65536, (6, 8)).astype(kind)
    values[0] = [0, 128, 129, 256, 257, 32767, 65406, 65535]
    path = tmp_path / ("a" + suffix)
    Image.fromarray(values).save(path)
    expected = np.rint(values.astype(np.float64) / 257)
    np.testing.assert_array_equal(files.read_rgb(path), _three(expected))


def test_cmyk_jpeg(tmp_path):
    cmyk = np.zeros((16, 32, 4), np.uint8)
    cmyk[:, :16, 1:3] = 255  # magenta and yellow ink: red
    cmyk[:, 16:, 3] = 255  # black ink
    path = tmp_path / "a.jpg"
    Image.fromarray(cmyk, mode="CMYK").save(path, quality=100)
    pixels = files.read_rgb(path)
    np.testing.assert_allclose(pixels[8, 4], (255, 0, 0), atol=4)
    np.testing.assert_allclose(pixels[8, 28], (0, 0, 0), atol=4)


def test_exif_behind_the_pixels_of_a_png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path, exif=_exif(6))
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    path.write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
    assert files.probe(path) == (7, 5)
    np.testing.assert_array_equal(files.read_rgb(path), np.rot90(RGB, -1))


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_of_several_frames_the_first_is_taken(tmp_path, suffix):
    red, blue = (Image.new("RGB", (8, 6), color) for color in ("red", "blue"))
    path = tmp_path / ("moving" + suffix)
    red.save(path, save_all=True, append_images=[blue], **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(files.read_rgb(path), np.broadcast_to([255, 0, 0], (6, 8, 3)))


def test_gif_of_one_frame_and_jpeg_with_preview_are_pictures(tmp_path):
    red, blue = (Image.new("RGB", (8, 6), color) for color in ("red", "blue"))
    red.save(tmp_path / "a.gif")
    np.testing.assert_array_equal(files.read_rgb(tmp_path / "a.gif")[0, 0], (255, 0, 0))
    red.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[blue])
    assert Image.open(tmp_path / "a.jpg").n_frames == 2
    np.testing.assert_allclose(files.read_rgb(tmp_path / "a.jpg")[0, 0], (255, 0, 0), atol=3)
    assert files.probe(tmp_path / "a.jpg") == (6, 8)


def test_thumbnail_does_not_hide_that_a_jpeg_is_cut_short(tmp_path):
    Image.fromarray(SMOOTH[::8, ::8]).save(tmp_path / "small.jpg")
    thumbnail = b"Exif\0\0II*\0\x08" + bytes(9) + (tmp_path / "small.jpg").read_bytes()
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=thumbnail)
    assert files.probe(tmp_path / "a.jpg") == (480, 640)
    data = (tmp_path / "a.jpg").read_bytes()
    assert data.count(b"\xff\xd9") == 2
    for length in (len(data) - 2, len(data) // 2, data.index(b"\xff\xd9") + 2, data.index(b"\xff\xda\x00\x0c", 900)):
        (tmp_path / "b.jpg").write_bytes(data[:length])
        with pytest.raises(UserError, match=r"b\.jpg: (truncated|not an image|damaged)"):
            files.probe(tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_after_the_end_do_no_harm(tmp_path, suffix):
    path = tmp_path / ("a" + suffix)
    Image.fromarray(SMOOTH).save(path)
    for extra in (b"\0", b"a video behind the photograph " * 10000):
        longer = tmp_path / ("longer" + suffix)
        longer.write_bytes(path.read_bytes() + extra)
        assert files.probe(longer) == (480, 640)


def test_png_without_its_last_chunk(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(SMOOTH).save(path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"a\.png: truncated"):
        files.probe(path)


@pytest.mark.parametrize("read", [files.read_rgb, files.probe])
def test_what_is_no_picture(tmp_path, no_pictures, read):
    for name, reason in [*no_pictures, ("script.png", "not an image")]:
        with pytest.raises(UserError) as error:
            read(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: {reason}") and "\n" not in str(error.value)
        assert error.value.reason.startswith(reason)


@pytest.mark.parametrize("read", [files.read_rgb, files.probe])
def test_decompression_bomb(tmp_path, monkeypatch, read):
    Image.fromarray(RGB).save(tmp_path / "bomb.png")
    monkeypatch.setattr(header, "MAX_PIXELS", 34)
    with pytest.raises(UserError, match=r"bomb\.png: 7x5 pixels, more than 3.4e-05 megapixels, .* smaller images$"):
        read(tmp_path / "bomb.png")


def test_jpeg_is_written_with_quality_95_and_full_color(tmp_path):
    path = tmp_path / "a.jpg"
    files.write(path, SMOOTH)
    with Image.open(path) as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
        # Annex K's table begins 16, 11, 10, 16, 24; at quality 95 the JPEG group's scaling leaves a tenth.
        assert image.quantization[0][0] == 2 and max(image.quantization[0]) == 12
    np.testing.assert_allclose(files.read_rgb(path), SMOOTH, atol=6)


@pytest.mark.parametrize(
    "name, pixels, words",
    [
        ("a.gif", RGB, "cannot be written as .gif; take one of png, jpg"),
        ("a", RGB, "cannot be written as a file without suffix"),
        ("a.webp", np.zeros((1, 16384, 3), np.uint8), "16384 pixels; write it as .png"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, name, pixels, words):
    with pytest.raises(UserError) as error:
        files.write(tmp_path / name, pixels)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and words in str(error.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("array", [RGB.astype(np.float32), GRAY, np.dstack([RGB, ALPHA])])
def test_other_arrays_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match="Received"):
        files.write(tmp_path / "a.png", array)


@pytest.mark.parametrize(
    "fault, raised",
    [(OSError(errno.ENOSPC, "No space left on device"), UserError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fault, raised):
    path = tmp_path / "a.png"
    files.write(path, RGB)

    def save(self, file, **options):
        file.write(b"half a pict")
        raise fault

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(raised) as error:
        files.write(path, 255 - RGB)
    if raised is UserError:
        assert str(error.value) == f"{path}: cannot be written (No space left on device)"
    assert os.listdir(tmp_path) == ["a.png"]
    np.testing.assert_array_equal(files.read_rgb(path), RGB)


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(UserError, match="cannot be written"):
            files.write(path, RGB)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    files.write(tmp_path / "a.png", RGB)
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("read", [files.read_rgb, lambda path: open_raster(path).__enter__()])
def test_a_jpeg_that_ends_before_its_pixels_do_is_damaged(tmp_path, read, progressive):
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, progressive=progressive)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4] + b"\xff\xd9")
    with pytest.raises(UserError, match=r"a\.jpg: (damaged or )?truncated"):
        read(path)
    path.write_bytes(data[:-2] + bytes(9) + data[-2:])  # which does no harm
    assert files.read_rgb(path).shape == (64, 64, 3)


def test_a_gif_whose_frame_is_larger_than_its_screen(tmp_path):
    path = tmp_path / "a.gif"
    Image.fromarray(GRAY).save(path)
    data = bytearray(path.read_bytes())
    frame = data.index(b"\x2c\0\0\0\0\x07\0\x05\0")
    for size in (b"\x09\0\x08\0", b"\xff\xff\xff\xff"):
        data[frame + 5 : frame + 9] = size
        path.write_bytes(data)
        for read in (files.read_rgb, files.probe):
            with contextlib.suppress(UserError):
                assert len(read(path)) in (5, 8, 2)


def test_a_palette_without_colors(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(GRAY).convert("P").save(path)
    data = path.read_bytes()
    start = data.index(b"PLTE") - 4
    path.write_bytes(data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :])
    with pytest.raises(UserError, match=r"a\.png: damaged: its palette is missing"):
        files.read_rgb(path)


def test_an_error_of_an_image_goes_to_another_process(tmp_path):
    with pytest.raises(UserError) as caught:
        files.read_rgb(tmp_path / "none.png")
    copied = pickle.loads(pickle.dumps(caught.value))
    assert type(copied) is type(caught.value) and copied.reason == "no such file"
    assert str(copied) == str(caught.value) == f"{tmp_path}/none.png: no such file"
