import concurrent.futures
import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from srgan_tf.imaging import files, raster_writer, resize
from srgan_tf.imaging.raster import Metadata, open_raster
from srgan_tf.imaging.raster_writer import check_target, write_raster
from srgan_tf.system.errors import UserError

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 50, 71
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="A mill"/></x:xmpmeta>'


def values(bands, dtype=np.uint8, height=HEIGHT, width=WIDTH):
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, bands), dtype)


def source(bands, dtype=np.uint8):
    """An opened picture of one pixel, of which the writer takes the kind and the metadata."""
    file = io.BytesIO()
    layout = {"photometric": "rgb" if bands > 2 else "minisblack", "planarconfig": "contig" if bands > 1 else None}
    layout["extrasamples"] = ["unassalpha"] if bands in (2, 4) else None
    tifffile.imwrite(file, np.zeros((1, 1, bands) if bands > 1 else (1, 1), dtype), metadata=None, **layout)
    with open_raster(file.getvalue()) as opened:
        return opened


def strips(pixels, ends=(0, 1, 17, 18, 50)):
    return (pixels[top:bottom] for top, bottom in zip(ends, ends[1:]))


def read(path):
    with open_raster(path) as opened:
        return opened.rows(0, opened.height)


@pytest.fixture(params=[True, False], ids=["memory", "disk"])
def gathered(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(raster_writer, "_MAX_BUFFER_BYTES", 100)


@pytest.mark.parametrize(
    "suffix, bands",
    [
        (suffix, bands)
        for suffix in (".png", ".PNG", ".tif", ".tiff", ".webp", ".bmp")
        for bands in ((1, 3) if suffix == ".bmp" else (1, 2, 3, 4))
    ],
)
def test_eight_bits_are_written_exactly(tmp_path, gathered, suffix, bands):
    path, pixels = tmp_path / ("new/folder/a" + suffix), values(bands)
    pixels[..., -1] &= 0xF0  # with transparent colors, which stay
    write_raster(path, source(bands), strips(pixels), (HEIGHT, WIDTH))
    mode = ["L", "LA", "RGB", "RGBA"][bands - 1]
    if suffix == ".webp" and bands < 3:
        pixels, mode = pixels[..., [0, 0, 0, 1][: bands + 2]], mode.replace("L", "RGB")
    with Image.open(path) as image:
        assert image.mode == mode and image.size == (WIDTH, HEIGHT)
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(read(path), pixels)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_written_exactly(tmp_path, gathered, suffix, bands):
    path, pixels = tmp_path / ("a" + suffix), values(bands, np.uint16)
    write_raster(path, source(bands, np.uint16), strips(pixels), (HEIGHT, WIDTH))
    np.testing.assert_array_equal(read(path), pixels)
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path).reshape(pixels.shape), pixels)
    else:
        assert struct.unpack(">IIBB", path.read_bytes()[16:26]) == (WIDTH, HEIGHT, 16, [0, 4, 2, 6][bands - 1])


@pytest.mark.parametrize("suffix", [".bmp", ".webp"])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, suffix):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    write_raster(tmp_path / ("a" + suffix), source(3, np.uint16), [levels], (256, 256))
    written = np.asarray(Image.open(tmp_path / ("a" + suffix)))
    np.testing.assert_array_equal(written, np.rint(levels.astype(np.float64) * 255 / 65535))


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg(tmp_path, bands):
    pixels = np.linspace(0, 255, 640).astype(np.uint8)[None, :, None].repeat(480, axis=0).repeat(bands, axis=2)
    paths = [tmp_path / "best.jpg", tmp_path / "small.JPEG"]
    for path, quality in zip(paths, (None, 30)):
        write_raster(path, source(bands), [pixels], (480, 640), quality=quality)
        assert Image.open(path).mode == ("L" if bands == 1 else "RGB")
    np.testing.assert_allclose(np.asarray(Image.open(paths[0])).reshape(pixels.shape).astype(int), pixels, atol=6)
    # Annex K's table begins with 16; at quality 95 the JPEG group's scaling leaves a tenth, at 30 it adds two thirds.
    first = [Image.open(path).quantization[0][0] for path in paths]
    assert first == [2, 27]
    if bands == 3:
        assert JpegImagePlugin.get_sampling(Image.open(paths[0])) == 0  # 4:4:4


def test_webp_with_loss(tmp_path):
    pixels = np.kron(values(3, height=10, width=10), np.ones((20, 20, 1), np.uint8))
    write_raster(tmp_path / "exact.webp", source(3), [pixels], (200, 200))
    write_raster(tmp_path / "lossy.webp", source(3), [pixels], (200, 200), quality=50)
    assert b"VP8L" in (tmp_path / "exact.webp").read_bytes()[:40]
    assert b"VP8 " in (tmp_path / "lossy.webp").read_bytes()[:40]


def test_kind_comes_before_the_suffix(tmp_path):
    write_raster(tmp_path / "a.png", source(3), strips(values(3)), (HEIGHT, WIDTH), kind="tiff")
    assert Image.open(tmp_path / "a.png").format == "TIFF"


@pytest.mark.parametrize(
    "kind, name", [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF"), ("bmp", "BMP")]
)
def test_standard_output(tmp_path, gathered, kind, name):
    with open(tmp_path / "pipe", "wb") as file:
        assert file.write(b"before") == 6
        write_raster(file, source(3), strips(values(3), (0, 1, 5)), (5, WIDTH), kind=kind)
        written = (tmp_path / "pipe").read_bytes()  # before the file is closed
    image = Image.open(io.BytesIO(written[6:]))
    assert image.format == name and image.size == (WIDTH, 5)


def camera_file(path, **options):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "Acme"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2020:01:02 03:04:05"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (47.0, 30.0, 1.5)
    if path.suffix == ".tif":  # where Pillow takes directories in another way
        directories = {tag: exif.get_ifd(tag) for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
        options["tiffinfo"] = dict(exif) | {700: options.pop("xmp")} | directories
        exif = None
    Image.new("RGB", (16, 8)).save(path, exif=exif, icc_profile=PROFILE, dpi=(300, 300), **options)


@pytest.mark.parametrize("target", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("origin", [".png", ".jpg", ".webp", ".tif"])
def test_metadata_goes_over(tmp_path, origin, target):
    first, path = tmp_path / ("first" + origin), tmp_path / ("a" + target)
    camera_file(first, **({} if origin == ".png" else {"xmp": XMP}))
    with open_raster(first) as opened:
        assert (opened.height, opened.width) == (16, 8)
        pixels = np.full((32, 16, 3), 99, np.uint8)
        write_raster(path, opened, [pixels], (32, 16))
    image = Image.open(path)
    image.load()  # what follows the pixels, too
    assert image.size == (16, 32)
    if target != ".webp":  # which has no resolution; 72 dpi are usual
        expected = 72 if origin == ".webp" else 300
        np.testing.assert_allclose([float(dpi) for dpi in image.info["dpi"]], expected, rtol=1e-3)
    if target == ".bmp":
        return
    assert image.info["icc_profile"] == PROFILE
    exif = image.getexif()
    assert exif[ExifTags.Base.Make] == "Acme" and exif.get(ExifTags.Base.Orientation, 1) == 1
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (47.0, 30.0, 1.5)
    if origin != ".png":
        xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert xmp == XMP.replace(b'tiff:Orientation="6"', b'tiff:Orientation="1"')
    np.testing.assert_array_equal(files.read_rgb(path), read(path))


def test_nothing_is_made_up(tmp_path):
    upright = Image.Exif()
    upright[ExifTags.Base.Orientation] = 1
    Image.fromarray(values(3)).save(tmp_path / "plain.png", exif=upright)
    with open_raster(tmp_path / "plain.png") as opened:
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            write_raster(tmp_path / ("a" + suffix), opened, [opened.rows(0, HEIGHT)], (HEIGHT, WIDTH))
            image = Image.open(tmp_path / ("a" + suffix))
            assert not {"icc_profile", "xmp"} & image.info.keys()
            assert "exif" not in image.info or suffix == ".jpg"  # libvips writes a JPEG's resolution there
            assert suffix == ".webp" or abs(image.info["dpi"][0] - 72) < 0.1


@pytest.mark.parametrize(
    "mode, profile, kept",
    [
        ("CMYK", "cmyk", b"RGB "),
        ("RGB", "cmyk", None),
        ("RGB", "p3", b"RGB "),
        ("L", "srgb", None),
        ("L", "gray", b"GRAY"),
    ],
)
def test_profiles_of_other_colors_are_not_attached(tmp_path, mode, profile, kept):
    content = pyvips.Image.profile_load("srgb" if profile == "gray" else profile)  # libvips' own
    if profile == "gray":
        content = content[:16] + b"GRAY" + content[20:]
    Image.new(mode, (9, 9)).save(tmp_path / "a.tif", icc_profile=content)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        path = tmp_path / ("b" + suffix)
        with open_raster(tmp_path / "a.tif") as opened:
            write_raster(path, opened, [opened.rows(0, 9)], (9, 9))
        image = Image.open(path)
        written = image.info.get("icc_profile", bytes(20))[16:20].rstrip(b"\0") or None
        if suffix == ".webp" and mode == "L":  # RGB here
            assert written in (None, b"RGB ")
        else:
            assert written == kept


@pytest.mark.parametrize("bands, dtype", [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
def test_reduced_as_matlab_does(tmp_path, gathered, bands, dtype):
    pixels, most = values(bands, dtype, 48, 64), np.iinfo(dtype).max
    write_raster(tmp_path / "a.png", source(bands, dtype), strips(pixels, (0, 17, 48)), (48, 64), size=(24, 16))
    if dtype == np.uint8:
        np.testing.assert_array_equal(read(tmp_path / "a.png"), resize.imresize(pixels, 24, 16))
    else:  # uint8 is rounded and clipped after the first axis, as by MATLAB, and then further from the exact values
        expected = np.clip(resize.imresize(pixels.astype(np.float64), 24, 16), 0, most)
        np.testing.assert_allclose(read(tmp_path / "a.png").astype(np.float64), expected, atol=most * 2 / 255)
    # libvips rounds a kernel's place to 1/64 of a pixel.
    smooth = resize.imresize(pixels[:12, :16], 48, 64)
    write_raster(tmp_path / "b.png", source(bands, dtype), [smooth], (48, 64), size=(37, 41))
    expected = np.clip(resize.imresize(smooth.astype(np.float64), 37, 41), 0, most)
    np.testing.assert_allclose(read(tmp_path / "b.png").astype(np.float64), expected, atol=most * 2 / 255)


@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_weighs_the_colors_when_reduced(tmp_path, gathered, dtype, bands):
    most, pixels = np.iinfo(dtype).max, values(bands, dtype, 40, 60)
    pixels[..., -1] |= 128
    pixels[:20, :30, -1] = 0  # of which no color may be seen
    write_raster(tmp_path / "a.tif", source(bands, dtype), strips(pixels, (0, 7, 40)), (40, 60), size=(20, 30))
    reduced = read(tmp_path / "a.tif").astype(np.float64)
    assert reduced.shape == (20, 30, bands)
    exact = pixels.astype(np.float64)
    alpha = resize.imresize(exact[..., -1:], 20, 30)
    colors = resize.imresize(exact[..., :-1] * exact[..., -1:], 20, 30) / np.where(alpha == 0, 1, alpha)
    np.testing.assert_allclose(reduced[..., -1:], np.clip(alpha, 0, most), atol=0.51)
    shown = (alpha > most / 10) & (alpha < most)
    assert shown.sum() > 300
    np.testing.assert_allclose(
        *(np.where(shown, each, 0) for each in (reduced[..., :-1], np.clip(colors, 0, most))), atol=0.51 + most / 2**20
    )


class _Size:
    """A raster of which only the kind is asked."""

    def __init__(self, bands, dtype=np.uint8):
        self.bands, self.dtype, self.alpha, self.opaque = bands, np.dtype(dtype), bands in (2, 4), False
        self.metadata = Metadata()


@pytest.mark.parametrize(
    "name, size, bands, words",
    [
        ("a.jpg", (9, 9), 4, "JPEG cannot hold the image's transparency; write it as .png or .webp"),
        ("a.bmp", (9, 9), 2, "BMP cannot hold the image's transparency"),
        ("a.gif", (9, 9), 3, "cannot be written as .gif; take one of png, jpg"),
        ("a", (9, 9), 3, "cannot be written as a file without suffix"),
        ("a.webp", (1, 16384), 3, "WebP cannot hold a side of 16384 pixels; write it as .png or .tif"),
        ("a.jpeg", (65501, 2), 3, "JPEG cannot hold a side of 65501 pixels"),
        ("a.bmp", (40000, 40000), 3, "BMP cannot hold more than 4 GiB"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, name, size, bands, words):
    for refuse in (check_target, lambda target, kind, *size: write_raster(target, size[2], iter(()), size[:2])):
        with pytest.raises(UserError) as error:
            refuse(tmp_path / name, None, *size, _Size(bands))
        assert str(error.value).startswith(f"{tmp_path / name}: {words}") and "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []


def test_the_largest_that_a_format_holds(tmp_path):
    assert check_target(tmp_path / "a.webp", None, 16383, 2, _Size(4)) == "webp"
    assert check_target(tmp_path / "a.jpg", None, 65500, 2, _Size(1)) == "jpeg"
    assert check_target(tmp_path / "a.png", "jpeg", 9, 65500, _Size(3)) == "jpeg"
    assert check_target(tmp_path / "a.webp", None, 20000, 9, _Size(3), size=(10000, 5)) == "webp"
    with pytest.raises(UserError, match="^standard output: WebP cannot hold a side"):
        check_target(io.BytesIO(), "webp", 20000, 9, _Size(3))


def test_a_disk_that_is_too_full_is_told_beforehand(tmp_path, monkeypatch):
    asked = []
    usage = shutil.disk_usage(tmp_path)._replace(free=2_999_999_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: asked.append(folder) or usage)
    check_target(tmp_path / "new/folder/a.tif", None, 10000, 99999, _Size(3))
    with pytest.raises(UserError, match=r"a\.tif: 3,000 MB are needed and 2,999 MB are free in .*folder while"):
        check_target(tmp_path / "new/folder/a.tif", None, 10000, 100000, _Size(3))
    with pytest.raises(UserError, match=r"6,000 MB are needed"):
        check_target(tmp_path / "a.png", None, 10000, 100000, _Size(3, np.uint16))
    check_target(tmp_path / "a.webp", None, 10000, 90000, _Size(3, np.uint16), size=(1000, 9000))  # rounded to 8 bits
    assert asked[0] == asked[-1] == tmp_path
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=5))
    check_target(tmp_path / "a.png", None, 9000, 9000, _Size(3))  # in memory


@pytest.mark.parametrize(
    "pixels",
    [
        [values(3)[:49]],
        [values(3), values(3)],
        [values(3)[:, 1:]],
        [values(4)],
        [values(3, np.uint16)],
        [values(3)[..., 0]],
    ],
)
def test_wrong_strips(tmp_path, gathered, pixels):
    with pytest.raises(ValueError, match="Received|broadcast"):
        write_raster(tmp_path / "a.png", source(3), pixels, (HEIGHT, WIDTH))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "fault, raised",
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (UserError("damaged"), UserError),
    ],
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, gathered, fault, raised):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def broken():
        yield values(3)[:20]
        raise fault

    with pytest.raises(raised):
        write_raster(path, source(3), broken(), (HEIGHT, WIDTH))
    assert os.listdir(tmp_path) == ["a.png"] and path.read_bytes() == b"old"
    file = io.BytesIO()
    with pytest.raises(raised):
        write_raster(file, source(3), broken(), (HEIGHT, WIDTH), kind="png")
    assert file.getvalue() == b""


def test_an_interrupt_stops_the_encoder(tmp_path, monkeypatch):
    futures = []

    def interrupted(future):
        futures.append(future)
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            time.sleep(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(concurrent.futures.Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_raster(tmp_path / "a.png", source(3), [values(3, height=3000, width=3000)], (3000, 3000))
    assert isinstance(futures[0].exception(), pyvips.Error) and os.listdir(tmp_path) == []


def in_another_process(code, *arguments):
    code = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_raster_writer import *\n" + code
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(files.__file__).parents[2],
        capture_output=True,
        text=True,
        env=os.environ | {"VIPS_CONCURRENCY": "64"},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.skipif(os.name != "posix", reason="a limit of POSIX")
def test_a_disk_that_fills_up_is_one_line(tmp_path):
    paths = [tmp_path / ("a" + suffix) for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp")]
    told = in_another_process(
        """
import resource
pixels, opened = values(3, height=300, width=300), source(3)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
for path in sys.argv[1:]:
    for raster_writer._MAX_BUFFER_BYTES in (1 << 28, 100):
        try:
            write_raster(path, opened, [pixels], (300, 300))
        except UserError as error:
            print(error)
""",
        *paths,
    )
    assert told.splitlines() == [f"{path}: cannot be written (File too large)" for path in paths for _ in range(2)]
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_a_large_picture_takes_little_memory(tmp_path):
    told = in_another_process(
        """
import re
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
opened, before, raster_writer._MAX_BUFFER_BYTES = source(3), peak(), 100
write_raster(sys.argv[1], opened, (np.zeros((100, 7000, 3), np.uint8) for _ in range(70)), (7000, 7000))
print(peak() - before)
""",
        tmp_path / "a.tif",
    )
    assert float(told) < 100  # MiB, of 140


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(UserError, match="cannot be written"):
            write_raster(path, source(3), strips(values(3)), (HEIGHT, WIDTH))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]
