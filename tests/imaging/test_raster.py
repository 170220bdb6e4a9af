import concurrent.futures
import io
import os
import re
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import ExifTags, Image, ImageCms

from srgan_tf.imaging import files, raster
from srgan_tf.imaging.errors import PictureError, picture_errors
from srgan_tf.imaging.raster import open_raster
from srgan_tf.system.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8)
GRAY, ALPHA = RGB[..., 0].copy(), RNG.integers(0, 256, (50, 70), dtype=np.uint8)
KINDS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".bmp": "BMP"}


def read(source, step=16, **options):
    """All strips in one, and the raster, which is closed by then."""
    with open_raster(source, **options) as opened:
        strips = [opened.rows(top, min(top + step, opened.height)) for top in range(0, opened.height, step)]
    pixels = np.concatenate(strips)
    assert pixels.shape == (opened.height, opened.width, opened.bands) and pixels.dtype == opened.dtype
    assert opened.gray == (opened.bands < 3) and opened.alpha == (opened.bands in (2, 4))
    return pixels, opened


def with_bands(bands, dtype=np.uint8):
    scale = 257 if dtype == np.uint16 else 1
    values = {1: GRAY[..., None], 2: np.dstack([GRAY, ALPHA]), 3: RGB, 4: np.dstack([RGB, ALPHA])}[bands]
    return (values.astype(dtype) * scale) ^ (RNG.integers(0, 256, values.shape, dtype) if scale > 1 else 0)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels):
    """A 16-bit PNG, after its specification."""
    height, width, bands = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def exif(orientation):
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block


@pytest.mark.parametrize(
    "suffix, bands",
    [(suffix, bands) for suffix in KINDS for bands in ((1, 3) if suffix in (".jpg", ".bmp") else (1, 2, 3, 4))],
)
def test_eight_bits(tmp_path, suffix, bands):
    path, pixels = tmp_path / "misnamed.png", with_bands(bands)
    options = {".webp": {"lossless": True, "exact": True}, ".jpg": {"quality": 100, "subsampling": 0}}
    Image.fromarray(pixels.squeeze()).save(path, KINDS[suffix], **options.get(suffix, {}))
    if suffix == ".webp" and bands < 3:  # has RGB only
        pixels = pixels[..., [0, 0, 0, 1][: bands + 2]]
    for source in (path, path.read_bytes()):
        got, _ = read(source)
        assert got.dtype == np.uint8
        np.testing.assert_allclose(got.astype(int), pixels, atol=3 if suffix == ".jpg" else 0)
    decoded = np.asarray(Image.open(path)).reshape(pixels.shape)
    np.testing.assert_allclose(got.astype(int), decoded, atol=1 if suffix == ".jpg" else 0)


def test_a_photograph_with_halved_color_is_what_pillow_decodes(shared_data):
    photo = Image.open(next(iter(sorted((shared_data / "train" / "photos").glob("*.jpg"))))).convert("RGB")
    file = io.BytesIO()
    photo.crop((0, 0, 301, 203)).save(file, "JPEG", quality=80)
    difference = np.abs(read(file.getvalue())[0].astype(int) - np.asarray(Image.open(file)))
    assert difference.max() <= 2 and difference.mean() < 0.1


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_sixteen_bits_stay(tmp_path, bands):
    pixels = with_bands(bands, np.uint16)
    assert len(np.unique(pixels)) > 3000
    np.testing.assert_array_equal(read(png(pixels))[0], pixels)
    layout = {"photometric": "rgb" if bands > 2 else "minisblack", "planarconfig": "contig" if bands > 1 else None}
    layout["extrasamples"] = ["unassalpha"] if bands in (2, 4) else None
    for order in "<>":
        for more in ({}, {"compression": "zlib", "rowsperstrip": 50}, {"tile": (16, 32)}, {"bigtiff": True}):
            tifffile.imwrite(tmp_path / "a.tif", pixels.astype(order + "u2"), byteorder=order, **layout, **more)
            np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], pixels)


def test_a_tiff_in_one_strip_of_more_than_50_megabytes(tmp_path):
    pixels = np.broadcast_to(np.arange(7500) % 256, (7500, 7500)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, rowsperstrip=7500, compression="zlib", compressionargs={"level": 0})
    with open_raster(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(opened.rows(7000, 7500)[..., 0], pixels[7000:])


def test_premultiplied_colors_are_divided(tmp_path):
    alpha = np.full((4, 6, 1), 128, np.uint8)
    pixels = np.concatenate([np.full((4, 6, 3), 64, np.uint8), alpha], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(read(tmp_path / "a.tif")[0][0, 0], (127.5, 127.5, 127.5, 128), atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".gif", ".bmp"])
def test_palettes_and_single_bits(tmp_path, suffix):
    path = tmp_path / ("a" + suffix)
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY % 16)
    image.putpalette(palette.tobytes())
    image.save(path)
    np.testing.assert_array_equal(read(path)[0], palette[GRAY % 16])
    Image.fromarray(GRAY > 127).save(path)
    np.testing.assert_array_equal(read(path)[0], np.where(GRAY > 127, 255, 0)[..., None])


def test_transparent_palettes_and_color_keys(tmp_path):
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(GRAY % 16)
    image.putpalette(palette.tobytes())
    opacity = np.arange(16, dtype=np.uint8) * 17
    image.save(tmp_path / "shades.png", transparency=opacity.tobytes())
    image.save(tmp_path / "key.gif", transparency=3)
    Image.fromarray(GRAY).save(tmp_path / "gray.png", transparency=int(GRAY[1, 2]))
    Image.fromarray(RGB).save(tmp_path / "rgb.png", transparency=tuple(map(int, RGB[1, 2])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shades, key, gray, rgb = (read(tmp_path / name)[0] for name in ("shades.png", "key.gif", "gray.png", "rgb.png"))
    colors = palette[GRAY % 16]
    np.testing.assert_array_equal(shades, np.dstack([colors, opacity[GRAY % 16]]))
    shown = GRAY % 16 != 3
    np.testing.assert_array_equal(key[..., 3], np.where(shown, 255, 0))
    np.testing.assert_array_equal(key[shown][:, :3], colors[shown])
    np.testing.assert_array_equal(gray, np.dstack([GRAY, np.where(GRAY == GRAY[1, 2], 0, 255)]))
    np.testing.assert_array_equal(rgb, np.dstack([RGB, np.where((RGB == RGB[1, 2]).all(axis=2), 0, 255)]))


@pytest.mark.parametrize(
    "dtype, words",
    [
        (np.float16, "floating-point"),
        (np.float32, "floating-point"),
        (np.float64, "floating-point"),
        (np.int32, "32-bit"),
        (np.uint32, "32-bit"),
        (np.int16, "signed"),
        (np.int8, "signed"),
    ],
)
def test_values_of_unknown_range_are_refused(tmp_path, dtype, words):
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(dtype))
    with pytest.raises(UserError, match=rf"a\.tif: {words}.*; save it with 8 or 16 bits$"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "pixels, photometric, words",
    [
        (np.dstack([RGB, GRAY, GRAY]), "rgb", "5 channels that are neither gray nor RGB"),
        (RGB, "minisblack", "3 channels that are neither gray nor RGB"),
        (RGB.astype(np.uint16), "cielab", r"L\*a\*b\* colors; save it as RGB"),
    ],
)
def test_other_channels_are_refused(tmp_path, pixels, photometric, words):
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, planarconfig="contig")
    with pytest.raises(UserError, match=rf"a\.tif: {words}"):
        read(tmp_path / "a.tif")


def test_cmyk_without_profile_is_multiplied(tmp_path):
    cmyk = RNG.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(cmyk, mode="CMYK").save(tmp_path / "a.tif")
    Image.fromarray(cmyk[:1, :1].repeat(16, 0).repeat(16, 1), mode="CMYK").save(tmp_path / "a.jpg", quality=100)
    ink, black = cmyk[..., :3] / 255, cmyk[..., 3:] / 255
    np.testing.assert_allclose(read(tmp_path / "a.tif")[0], 255 * (1 - ink) * (1 - black), atol=0.51)
    for path in (tmp_path / "a.tif", tmp_path / "a.jpg"):
        np.testing.assert_allclose(read(path)[0].astype(int), files.read_rgb(path), atol=2)
    tifffile.imwrite(
        tmp_path / "b.tif",
        np.dstack([cmyk, ALPHA[:40, :60]]).astype(np.uint16) * 257,
        photometric="separated",
        extrasamples=["unassalpha"],
    )
    got, opened = read(tmp_path / "b.tif")
    assert opened.dtype == np.uint16
    np.testing.assert_allclose(got[..., :3], 65535 * (1 - ink) * (1 - black), atol=0.51)
    np.testing.assert_array_equal(got[..., 3], ALPHA[:40, :60].astype(int) * 257)


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_becomes_srgb_by_its_profile(tmp_path, suffix):
    press = pyvips.Image.profile_load("cmyk")  # libvips' own
    profile, srgb = ImageCms.ImageCmsProfile(io.BytesIO(press)), ImageCms.createProfile("sRGB")
    ramp = Image.linear_gradient("L")
    cmyk = Image.merge("CMYK", (ramp, ramp.rotate(90), ramp.rotate(180), ramp.point(lambda v: v // 4)))
    cmyk.save(tmp_path / ("a" + suffix), icc_profile=press)
    expected = ImageCms.profileToProfile(
        Image.open(tmp_path / ("a" + suffix)),
        profile,
        srgb,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    got, opened = read(tmp_path / ("a" + suffix))
    np.testing.assert_allclose(got.astype(int), np.asarray(expected), atol=2)
    assert opened.metadata.profile[16:20] == b"RGB "


def stored(upright, orientation):
    """What a camera stores: the transposes that show it upright, undone (EXIF 2.32, section 4.6.4)."""
    back = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: lambda x: np.rot90(x, -1),
    }
    return np.ascontiguousarray(back[orientation](upright))


@pytest.mark.parametrize(
    "suffix, at_once",
    [(".png", True), (".jpg", True), (".tif", True), (".webp", True), (".png", False), (".tif", False)],
)
def test_orientation(tmp_path, monkeypatch, suffix, at_once):
    if not at_once:
        monkeypatch.setattr(raster, "_MAX_BYTES_IN_MEMORY", 100)
    side = 16 if at_once else 304  # more rows than libvips keeps of a file that it reads once
    upright = np.kron(RNG.permutation(6).reshape(2, 3) * 50, np.ones((side, side), int)).astype(np.uint8)
    upright = np.dstack([upright, upright // 2, 255 - upright])
    path = tmp_path / ("a" + suffix)
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    for orientation in range(1, 9):
        Image.fromarray(stored(upright, orientation)).save(path, exif=exif(orientation), **options)
        assert files.probe(path) == upright.shape[:2]
        np.testing.assert_allclose(read(path)[0].astype(int), upright, atol=2 if suffix == ".jpg" else 0)
        np.testing.assert_allclose(files.read_rgb(path).astype(int), upright, atol=2 if suffix == ".jpg" else 0)


def test_strips_of_any_height_from_any_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "_MAX_BYTES_IN_MEMORY", 100)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with open_raster(tmp_path / "a.png") as opened, concurrent.futures.ThreadPoolExecutor(1) as pool:
        ends = [0, 1, 4, 30, 31, 50]
        strips = [
            call(opened.rows, top, bottom)
            for top, bottom, call in zip(
                ends, ends[1:], [lambda f, *rows: f(*rows), lambda f, *rows: pool.submit(f, *rows).result()] * 3
            )
        ]
    np.testing.assert_array_equal(np.concatenate(strips), RGB)


def test_a_large_picture_takes_little_memory(tmp_path, run_python):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((7000, 7000, 3), np.uint8), photometric="rgb", compression="zlib")
    code = """
import re, sys
from srgan_tf.imaging.raster import open_raster
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = peak()
with open_raster(sys.argv[1]) as opened:
    for top in range(0, opened.height, 100):
        opened.rows(top, top + 100)
print(peak() - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the peak from /proc")
    done = run_python("-c", code, path, env={"VIPS_CONCURRENCY": "64"})
    assert float(done.stdout) < 100  # MiB, of 140 when decoded


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_several_frames_are_refused(tmp_path, suffix):
    red, blue = (Image.new("RGB", (8, 6), color) for color in ("red", "blue"))
    path = tmp_path / ("moving" + suffix)
    red.save(path, save_all=True, append_images=[blue])
    for source, name in ((path, path), (path.read_bytes(), "standard input")):
        with pytest.raises(UserError, match=f"^{re.escape(str(name))}: an animation or several pages; save the one"):
            read(source)


def test_one_frame_and_a_jpeg_with_preview_are_pictures(tmp_path):
    red, blue = (Image.new("RGB", (8, 6), color) for color in ("red", "blue"))
    red.save(tmp_path / "a.gif")
    np.testing.assert_array_equal(read(tmp_path / "a.gif")[0][0, 0], (255, 0, 0))
    one_frame = png(with_bands(3, np.uint16))
    one_frame = one_frame[:33] + chunk(b"acTL", struct.pack(">II", 1, 0)) + one_frame[33:]
    assert read(one_frame)[0].shape == (50, 70, 3)
    red.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[blue])
    assert Image.open(tmp_path / "a.jpg").n_frames == 2
    np.testing.assert_allclose(read(tmp_path / "a.jpg")[0][0, 0], (255, 0, 0), atol=3)
    for levels in (GRAY, GRAY & 0xF0):  # with a palette of all levels, and of few
        Image.fromarray(levels).save(tmp_path / "gray.gif")
        np.testing.assert_array_equal(read(tmp_path / "gray.gif")[0], levels[..., None])


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "suffix, options",
    [
        (".jpg", {}),
        (".jpg", {"progressive": True}),
        (".png", {}),
        (".webp", {}),
        (".bmp", {}),
        (".gif", {}),
        (".tif", {}),
        (".tif", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_half_a_file(tmp_path, monkeypatch, suffix, options, at_once):
    if not at_once:
        monkeypatch.setattr(raster, "_MAX_BYTES_IN_MEMORY", 100)
    path = tmp_path / ("half" + suffix)
    Image.fromarray(RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(path, **options)
    assert files.probe(path) == (300, 300)
    data = path.read_bytes()
    reasons = r"truncated: its end is missing|(damaged or truncated|cannot be read) \([^\n]+\)"
    for length in (20, len(data) // 2, len(data) * 9 // 10):
        path.write_bytes(data[:length])
        for source, name in ((path, path), (data[:length], "standard input")):
            with pytest.raises(UserError) as error, open_raster(source):
                pass  # told before the first strip is read
            assert re.match(rf"{re.escape(str(name))}: ({reasons})$", str(error.value))
        for read_file in (files.read_rgb, files.probe):
            with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: ({reasons})$"):
                read_file(path)


def test_what_is_no_picture(tmp_path, no_pictures):
    (tmp_path / "draw.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    for name, reason in [*no_pictures, ("draw.svg", "an SVG drawing; render it")]:
        with pytest.raises(PictureError) as error:
            read(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: {reason}") and "\n" not in str(error.value)
    with pytest.raises(PictureError, match="^standard input: the file is empty$"):
        read(b"")


def test_a_compression_that_is_not_known_is_not_called_damage():
    cause = "tiff2vips: LZMA compression support is not configured"
    with pytest.raises(PictureError, match=rf"^a.tif: of a kind that is not read here \({cause}\)$"):
        with picture_errors("a.tif"):
            raise pyvips.Error(f"unable to call tiffload\n  {cause}")


@pytest.mark.parametrize("suffix", [*KINDS, ".gif"])
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path, suffix):
    path = tmp_path / ("bomb" + suffix)
    Image.fromarray(RGB).save(path)
    read(path, max_pixels=3500)
    path.write_bytes(path.read_bytes()[: 2000 if suffix == ".gif" else 700 if suffix != ".tif" else None])
    words = "70x50 pixels, more than 0.003499 megapixels, .* --max_megapixels$"
    with pytest.raises(UserError, match=rf"bomb\{suffix}: {words}"):
        read(path, max_pixels=3499)


def test_pillows_limit_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(raster, "_PILLOW_ROWS", 10)
    for suffix in (".png", ".tif", ".bmp", ".gif"):
        Image.fromarray(GRAY).save(tmp_path / ("a" + suffix))
        assert read(tmp_path / ("a" + suffix))[1].width == 70


def test_one_pixel_and_odd_names(tmp_path):
    for suffix in (*KINDS, ".gif"):
        name = b"\xff[n=2]" if os.name == "posix" and sys.platform != "darwin" else b"[n=2]"
        path = tmp_path / (os.fsdecode(name) + suffix)
        Image.fromarray(RGB[:1, :1]).save(path)
        assert read(path)[0].shape == (1, 1, 3)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    for pixels in (RGB, 255 - RGB):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read(tmp_path / "a.png")[0], pixels)


def test_slightly_wrong_files_are_read_in_silence(tmp_path, run_python):
    make = struct.pack("<HHII", ExifTags.Base.Make, 2, 10**6, 26)  # a million letters that are not there
    Image.fromarray(RGB).save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + make + bytes(8))
    with pytest.warns(UserWarning):
        Image.open(tmp_path / "exif.jpg").getexif()
    Image.fromarray(RGB).save(tmp_path / "behind.jpg")
    data = (tmp_path / "behind.jpg").read_bytes()
    (tmp_path / "behind.jpg").write_bytes(data + b"a video behind the photograph " * 10000)
    (tmp_path / "within.jpg").write_bytes(data[:-2] + bytes(9) + data[-2:])
    Image.fromarray(RGB).save(tmp_path / "profile.png", icc_profile=b"no profile")
    tifffile.imwrite(tmp_path / "tag.tif", RGB, photometric="rgb", extratags=[(65000, 4, 1, 5, True)])
    code = """
import logging, sys
logging.basicConfig()
from srgan_tf.imaging import files
from srgan_tf.imaging.raster import open_raster
for path in sys.argv[1:]:
    with open_raster(path) as opened:
        print(files.probe(path), files.read_rgb(path).shape, opened.rows(0, 50).shape)
"""
    done = run_python("-c", code, *sorted(tmp_path.iterdir()))
    assert (done.stdout, done.stderr) == ("(50, 70) (50, 70, 3) (50, 70, 3)\n" * 5, "")
