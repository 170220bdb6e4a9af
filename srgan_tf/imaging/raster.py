"""Reads a picture of any kind and size by strips, as it is: gray, transparent or 16 bit, with its metadata."""

import contextlib
import dataclasses
import functools
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips
from PIL import BmpImagePlugin, GifImagePlugin

from srgan_tf.imaging.errors import UnsupportedPicture, picture_errors
from srgan_tf.imaging.exif import Exif, read_exif
from srgan_tf.imaging.formats import NOT_A_PICTURE

MAX_PIXELS = 256_000_000  # a larger picture is taken for a decompression bomb
_MAX_BYTES_IN_MEMORY = 1 << 26  # bytes up to which a picture is decoded into memory
_SIGNATURES = {
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpeg": rb"\xff\xd8\xff",
    "webp": rb"RIFF....WEBP",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "bmp": rb"BM",
    "gif": rb"GIF8[79]a",
}
_BY_PILLOW = {"bmp": BmpImagePlugin.BmpImageFile, "gif": GifImagePlugin.GifImageFile}  # libvips does not read BMP
_PILLOW_ROWS = 256  # at once
_FORMATS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}
_DTYPES = {name: dtype for dtype, name in _FORMATS.items()}
_INTERPRETATIONS = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16")}  # of gray and of RGB
_UNKNOWN_RANGE = {"char": "signed", "short": "signed", "int": "32-bit", "uint": "32-bit"}
_DEFAULT_RESOLUTION = 72 / 25.4  # pixels per mm
_ANIMATION = "an animation or several pages; save the one to upscale as a file of its own"

pyvips.cache_set_max(0)  # a file that was rewritten must be read again
pyvips.concurrency_set(1)  # each thread holds rows of its own, and the codecs use one anyway
logging.getLogger("pyvips").setLevel(
    logging.ERROR
)  # many cameras write slightly wrong metadata beside an intact picture


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The metadata of a picture that are copied to the output.

    Attributes:
        profile: ICC profile; None if there is none. libvips leaves it out of a file whose channels it does not fit.
        exif: An `Exif`; None if there is none.
        xmp: XMP packet; None if there is none.
        iptc: IPTC block; None if there is none.
        resolution: Horizontal and vertical, pixels per mm.
    """

    profile: bytes | None
    exif: Exif | None
    xmp: bytes | None
    iptc: bytes | None
    resolution: tuple[float, float]


class Raster:
    """An open picture, upright; see `open_raster`.

    Attributes:
        height: Pixels.
        width: Pixels.
        bands: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; colors are not premultiplied.
        gray: Whether there is no color.
        alpha: Whether the last band is transparency, the largest value opaque.
        dtype: NumPy's uint8, values in [0, 255], or uint16, values in [0, 65535].
        metadata: A `Metadata`.
    """

    def __init__(self, name, image, metadata):
        self._name, self._image = name, image
        self.height, self.width, self.bands = image.height, image.width, image.bands
        self.gray, self.alpha = image.bands < 3, image.bands % 2 == 0
        self.dtype = _DTYPES[image.format]
        self.metadata = metadata

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Decodes a strip. Strips are to be asked for from top to bottom, each row once.

        Args:
            top: First row.
            bottom: Row behind the last.

        Returns:
            `(bottom - top, width, bands)` of `dtype`.

        Raises:
            UserError: The file is damaged there.
        """
        with _raster_errors(self._name):
            # A new region each time, because one belongs to the thread that made it.
            values = pyvips.Region.new(self._image).fetch(0, top, self.width, bottom - top)
        return np.frombuffer(values, self.dtype).reshape(bottom - top, self.width, self.bands)

    def close(self):
        self._image = None


@contextlib.contextmanager
def open_raster(source: Path | str | bytes, max_pixels: float = MAX_PIXELS) -> Iterator[Raster]:
    """Opens a picture to be read by strips, its EXIF orientation applied.

    Palettes become RGB, single bits 0 and 255, and CMYK sRGB by its profile, or without one as `files.read_rgb` does
    it. Everything is decoded once beforehand, so that damage is reported before hours of work. Memory is needed for a
    few rows only, but for what must be decoded whole: WebP, BMP, GIF, an interlaced PNG and a progressive JPEG. A large
    picture that has to be rotated goes through a file in the system's folder for temporary files.

    Args:
        source: A PNG, JPEG, WebP, TIFF, BMP or GIF file, whatever its suffix says; or its bytes, from standard input.
        max_pixels: A picture of more is refused before it is decoded.

    Yields:
        A `Raster`, open inside the `with`.

    Raises:
        UserError: There is no such file; or it is not a picture, damaged, truncated, an animation, of several pages,
            larger than `max_pixels`, or has values of neither 8 nor 16 bits.
    """
    name = "standard input" if isinstance(source, bytes) else source
    with _raster_errors(name), io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        kind = _kind(file)
        if kind in _BY_PILLOW:
            raster = _read_by_pillow(name, kind, file, max_pixels)
        else:
            raster = _read_by_vips(name, kind, file, source, max_pixels)
    try:
        yield raster
    finally:
        raster.close()


def vips_image(pixels: np.ndarray) -> pyvips.Image:
    """An array, uint8 or uint16 `(H, W, bands)`, as a `pyvips.Image` on the same memory."""
    height, width, bands = pixels.shape
    return with_interpretation(pyvips.Image.new_from_memory(pixels, width, height, bands, _FORMATS[pixels.dtype]))


def with_interpretation(image: pyvips.Image) -> pyvips.Image:
    """A `pyvips.Image` of bare numbers as gray or RGB, by its bands and type."""
    return image.copy(interpretation=_INTERPRETATIONS[image.format][image.bands > 2])


def vips_reason(error: pyvips.Error) -> tuple[str, bool]:
    """The line of a `pyvips.Error` that states the cause, and whether it comes from the operating system."""
    system = re.search(r"system error: (.+)", str(error))
    if system:
        return system[1], True
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return next(filter(None, lines), "its end is missing"), False


@contextlib.contextmanager
def _raster_errors(name):
    """As `picture_errors`, of libvips, too."""
    with picture_errors(name):
        try:
            yield
        except pyvips.Error as error:
            reason, of_system = vips_reason(error)
            raise UnsupportedPicture(reason if of_system else f"damaged or truncated ({reason})") from None


def _kind(file):
    head = file.read(16)
    for kind, signature in _SIGNATURES.items():  # no decoder of another kind is ever reached
        if re.match(signature, head, re.DOTALL):
            return kind
    raise UnsupportedPicture(NOT_A_PICTURE if head else "the file is empty")


def _check_size(width, height, max_pixels):
    if width * height > max_pixels:
        limit = f"{width}x{height} pixels, more than {max_pixels / 1e6:g} megapixels, taken for a decompression bomb"
        raise UnsupportedPicture(f"{limit}; cut it into smaller pictures, or allow more with --max_megapixels")


def _read_by_pillow(name, kind, file, max_pixels):
    file.seek(0)
    image = _BY_PILLOW[kind](file)
    _check_size(*image.size, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedPicture(_ANIMATION)
    image.load()
    palette = image.getpalette() or [0, 1, 2]
    gray = image.mode in ("1", "L", "LA") or palette[::3] == palette[1::3] == palette[2::3]
    mode = ("LA" if gray else "RGBA") if image.has_transparency_data else ("L" if gray else "RGB")
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top in range(0, image.height, _PILLOW_ROWS):  # as a whole it would take three times the memory
        rows = image.crop((0, top, image.width, min(top + _PILLOW_ROWS, image.height))).convert(mode)
        pixels[top : top + rows.height] = np.asarray(rows).reshape(rows.height, image.width, -1)
    resolution = tuple(dpi / 25.4 for dpi in image.info.get("dpi", (72, 72)))
    metadata = Metadata(None, None, None, None, resolution)
    return Raster(name, vips_image(pixels), metadata)


def _read_by_vips(name, kind, file, source, max_pixels):
    operation = getattr(pyvips.Image, f"{kind}load_buffer" if isinstance(source, bytes) else f"{kind}load")
    data = source if isinstance(source, bytes) else os.fsencode(source)
    # `max_pixels` is the limit; libvips' own of 50 MB would refuse a TIFF whose rows are compressed in one strip.
    load = functools.partial(operation, data, fail_on="error", **({"unlimited": True} if kind == "tiff" else {}))
    try:
        image = load(access="sequential")
    except pyvips.Error as error:
        reason, _ = vips_reason(error)
        advice = "; save it with 8 or 16 bits" if reason.endswith("samples out of range") else ""  # more than 32 bits
        raise UnsupportedPicture(f"cannot be read ({reason}){advice}") from None
    _check_size(image.width, image.height, max_pixels)
    if _field(image, "n-pages", 1) > 1 or kind == "png" and _png_is_animated(file):
        raise UnsupportedPicture(_ANIMATION)
    # A PNG's EXIF may follow its pixels, where libvips has not looked yet.
    block = _field(image, "exif-data") or (_png_chunk(file, b"eXIf") if kind == "png" else None)
    exif = read_exif(file) if kind == "tiff" else read_exif(block) if block else None
    orientation = exif.orientation if exif else _field(image, "orientation", 1)
    shown = _checked(_in_rgb(image))
    small = shown.width * shown.height * shown.bands * _DTYPES[shown.format].itemsize <= _MAX_BYTES_IN_MEMORY
    image = _decoded(load, small, sequential=orientation < 3)
    image = _upright(_in_rgb(image), orientation)
    return Raster(name, image, _metadata(image, exif))


def _field(image, name, default=None):
    return image.get(name) if image.get_typeof(name) else default


def _png_chunk(file, kind):
    """The data of a PNG's first chunk of a kind; None if there is none."""
    position = 8
    while True:
        file.seek(position)
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if head[4:] == kind:
            return file.read(length)
        if len(head) < 8 or head[4:] == b"IEND":
            return None
        position += 12 + length


def _png_is_animated(file):
    control = _png_chunk(file, b"acTL")
    return control is not None and int.from_bytes(control[:4], "big") > 1


def _in_rgb(image):
    """CMYK as sRGB; anything else as it is."""
    if image.interpretation != "cmyk" or image.format not in _DTYPES:
        return image
    if _field(image, "icc-profile-data", b"")[16:20] == b"CMYK":
        depth = 8 * _DTYPES[image.format].itemsize
        return image.icc_transform("srgb", embedded=True, black_point_compensation=True, depth=depth)
    most = np.iinfo(_DTYPES[image.format]).max
    light = image[:4].linear(-1, most)
    colors = (light[:3] * light[3] / most).rint().cast(image.format)
    return with_interpretation(colors.bandjoin(image[4:]) if image.bands > 4 else colors)


def _checked(image):
    """Refuses values and channels that do not make up a gray or RGB picture."""
    if image.interpretation.startswith("lab"):
        raise UnsupportedPicture("L*a*b* colors; save it as RGB")
    if image.format not in _DTYPES:
        values = _UNKNOWN_RANGE.get(image.format)
        values = f"{values} values" if values else "floating-point values of unknown range"
        raise UnsupportedPicture(f"{values}; save it with 8 or 16 bits")
    gray, rgb = _INTERPRETATIONS[image.format]
    if image.interpretation != (gray if image.bands < 3 else rgb) or image.bands > 4:
        raise UnsupportedPicture(f"{image.bands} channels that are neither gray nor RGB; save it as one of these")
    return image


def _decoded(load, small, sequential):
    """A small picture in memory, or a large one from its file again after it has been read to its end."""
    image = load(access="sequential" if sequential else "random")
    if small:
        return image.copy_memory()
    image.avg()
    return load(access="sequential") if sequential else image


def _upright(image, orientation):
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


def _metadata(image, exif):
    xmp = _field(image, "xmp-data")
    if xmp:  # the orientation in its second place
        xmp = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
    resolution = image.xres, image.yres
    if resolution == (1, 1):  # libvips' word for none
        resolution = _DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION
    kept = exif if exif and (exif.tags or exif.sub_ifds) else None
    return Metadata(_field(image, "icc-profile-data"), kept, xmp, _field(image, "iptc-data"), resolution)
