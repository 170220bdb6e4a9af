"""Reads images of any kind and size strip by strip, keeping gray, alpha, 16 bits and metadata."""

import contextlib
import dataclasses
import functools
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips

from srgan_tf.imaging import xmp
from srgan_tf.imaging.errors import UnsupportedPicture, picture_errors
from srgan_tf.imaging.exif import Exif
from srgan_tf.imaging.header import BY_PILLOW, check_header, read_header

_MAX_BYTES_IN_MEMORY = 1 << 26  # larger images are not decoded into memory
_PILLOW_ROWS = 256  # at once
_FORMATS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}
_DTYPES = {name: dtype for dtype, name in _FORMATS.items()}
_INTERPRETATIONS = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16")}  # of gray and of RGB
_DEFAULT_RESOLUTION, _MAX_RESOLUTION = 72 / 25.4, 1e5  # pixels per mm
_MISSING_PIXELS = "premature end of data segment"  # in libjpeg's warning

pyvips.cache_set_max(0)  # a file that was rewritten must be read again
pyvips.concurrency_set(1)  # each thread would take memory for its rows, and the codecs use only one
# Many cameras write slightly wrong metadata with an intact image.
logging.getLogger("pyvips").setLevel(logging.ERROR)


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The metadata of an image that are copied to the output.

    Attributes:
        profile: ICC profile or None. libvips does not write one that does not fit the channels.
        exif: An `Exif` or None.
        xmp: XMP packet or None.
        iptc: IPTC block or None.
        resolution: Horizontal and vertical, pixels per mm.
        chunks: Chunks of a PNG, see `header.Header`, in any order.
    """

    profile: bytes | None = None
    exif: Exif | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] = (_DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION)
    chunks: tuple[tuple[bytes, bytes], ...] = ()


class Raster:
    """An open, upright image; see `open_raster`.

    Attributes:
        height: Pixels.
        width: Pixels.
        bands: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; colors are not premultiplied.
        gray: Whether there is no color.
        alpha: Whether the last band is alpha, whose largest value is opaque.
        opaque: Whether all of alpha is opaque.
        dtype: NumPy's uint8, values in [0, 255], or uint16, values in [0, 65535].
        metadata: A `Metadata`.
        decoder_bytes: Estimated memory of the decoder from the first call of `rows` on.
    """

    def __init__(self, name, image, opaque, metadata):
        self._name, self._image = name, image
        self.height, self.width, self.bands = image.height, image.width, image.bands
        self.gray, self.alpha = image.bands < 3, image.bands % 2 == 0
        self.opaque, self.decoder_bytes = opaque, 0
        self.dtype = _DTYPES[image.format]
        self.metadata = metadata

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return self.height * self.width * self.bands * self.dtype.itemsize

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Decodes the rows from `top` to before `bottom`: `(bottom - top, width, bands)`. To be called from the first
        row to the last, for each row once.

        Raises:
            UserError: The file is damaged there.
        """
        with picture_errors(self._name):
            # A new region for each call, because a region belongs to the thread that made it.
            values = pyvips.Region.new(self._image).fetch(0, top, self.width, bottom - top)
        return np.frombuffer(values, self.dtype).reshape(bottom - top, self.width, self.bands)

    def close(self):
        self._image = None


@contextlib.contextmanager
def open_raster(
    source: Path | str | bytes,
    max_pixels: float | None = None,
    *,
    first: bool = False,
    whole: bool = False,
    max_bytes: int | None = None,
    name: str = "",
) -> Iterator[Raster]:
    """Opens an image to be read by strips within the `with`; the orientation of EXIF, or else of XMP, is applied.

    Palettes become RGB, single bits 0 and 255, premultiplied colors are divided by alpha, and CMYK becomes sRGB by its
    profile, or without one by multiplying its inks. Thumbnails and masks of a TIFF are skipped, and its unspecified
    channel (ExtraSamples 0) is left out. Everything is decoded once beforehand, so that damage is reported before hours
    of work. Only a few rows are in memory, except for formats that must be decoded as a whole: WebP, BMP, GIF,
    interlaced PNG and progressive JPEG. A large image that has to be rotated goes through a temporary file.

    Args:
        source: A PNG, JPEG, WebP, TIFF, BMP or GIF file, whatever its suffix says; or its bytes.
        max_pixels: An image with more pixels is refused before it is decoded. None: `header.MAX_PIXELS`.
        first: Whether to take the first image of an animation or of several pages, instead of refusing them.
        whole: Whether to decode into memory, whatever the size, for a caller that takes all rows at once.
        max_bytes: An image that takes more memory to decode is refused beforehand. None: no limit.
        name: The name of the image in errors. Empty: the file's name.

    Raises:
        UserError: There is no such file; or it is not an image, damaged, truncated, an animation, of several pages,
            larger than `max_pixels`, or has values of neither 8 nor 16 bits.
    """
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    with picture_errors(name), io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        header = read_header(file)
        check_header(header, max_pixels, max_bytes)
        if header.kind in BY_PILLOW:
            frames, *opened = _read_by_pillow(header, file)
        else:
            frames, *opened = _read_by_vips(header, source, whole)
        if frames > 1 and not first:
            raise UnsupportedPicture("an animation or several pages; save the one to upscale as a file of its own")
        raster = Raster(name, *opened)
        if header.kind not in BY_PILLOW and not whole and raster.size_bytes > _MAX_BYTES_IN_MEMORY:
            raster.decoder_bytes = header.decoder_bytes  # `rows` decodes it again
    try:
        yield raster
    finally:
        raster.close()


def vips_image(pixels: np.ndarray) -> pyvips.Image:
    """A uint8 or uint16 array `(H, W, bands)` as a `pyvips.Image` that shares its memory."""
    height, width, bands = pixels.shape
    return with_interpretation(pyvips.Image.new_from_memory(pixels, width, height, bands, _FORMATS[pixels.dtype]))


def with_interpretation(image: pyvips.Image) -> pyvips.Image:
    """A `pyvips.Image` with its values interpreted as gray or RGB, by its bands and type."""
    return image.copy(interpretation=_INTERPRETATIONS[image.format][image.bands > 2])


def _read_by_pillow(header, file):
    """`(frames, image, opaque, metadata)`: the number of frames, the first frame as a `pyvips.Image`, whether its alpha
    is opaque, and its metadata."""
    file.seek(0)
    image = BY_PILLOW[header.kind](file)
    image.load()
    palette = image.getpalette() or [0, 1, 2]
    gray = image.mode in ("1", "L", "LA") or palette[::3] == palette[1::3] == palette[2::3]
    mode = ("LA" if gray else "RGBA") if image.has_transparency_data else ("L" if gray else "RGB")
    pixels = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top in range(0, image.height, _PILLOW_ROWS):  # at once it would take three times the memory
        rows = image.crop((0, top, image.width, min(top + _PILLOW_ROWS, image.height))).convert(mode)
        pixels[top : top + rows.height] = np.asarray(rows).reshape(rows.height, image.width, -1)
    metadata = Metadata(resolution=_possible([dpi / 25.4 for dpi in image.info.get("dpi", (72, 72))]))
    opaque = len(mode) in (2, 4) and bool((pixels[..., -1] == 255).all())
    return (2 if getattr(image, "is_animated", False) else 1), vips_image(pixels), opaque, metadata


def _read_by_vips(header, source, whole):
    """As `_read_by_pillow`."""
    from_bytes, tiff = isinstance(source, bytes), header.kind == "tiff"
    operation = getattr(pyvips.Image, f"{header.kind}load_buffer" if from_bytes else f"{header.kind}load")
    # Pixels are limited elsewhere; libvips' limit of 50 MB would refuse a TIFF that is compressed in one strip.
    options = {"page": header.page, "unlimited": True} if tiff else {}
    load = functools.partial(operation, source if from_bytes else os.fsencode(source), **options)
    try:  # libjpeg only warns of missing pixels, and leaves them gray
        image, opaque = _decoded(load, header, whole, "warning" if header.kind == "jpeg" else "error")
    except pyvips.Error as error:
        if header.kind != "jpeg" or _MISSING_PIXELS in str(error):
            raise
        image, opaque = _decoded(load, header, whole, "error")  # a harmless warning
    image = _upright(_in_rgb(image, header.channels), header.orientation)
    return header.frames, image, opaque, _metadata(image, header)


def _decoded(load, header, whole, fail_on):
    """Decodes the image as stored: `(image, opaque)`, in memory if it is small or `whole`."""
    access = "sequential" if header.orientation < 3 else "random"  # up to 2, rows stay in their order
    image = load(access=access, fail_on=fail_on)
    shown = _checked(_in_rgb(image, header.channels))
    size = shown.width * shown.height * shown.bands * _DTYPES[shown.format].itemsize
    if whole or size <= _MAX_BYTES_IN_MEMORY:
        image = image.copy_memory()
        return image, _is_opaque(_in_rgb(image, header.channels))
    opaque = _is_opaque(shown)
    if shown.bands % 2:
        shown.avg()
    return load(access=access, fail_on=fail_on), opaque


def _is_opaque(image):
    """Whether there is alpha, and all of it is opaque. With alpha, this decodes everything."""
    if image.bands % 2:
        return False
    lowest = image.stats().getpoint(0, image.bands)[0]  # of alpha; `min` would stop decoding at the first 0
    return lowest == np.iinfo(_DTYPES[image.format]).max


def _field(image, name, default=None):
    return image.get(name) if image.get_typeof(name) else default


def _in_rgb(image, channels):
    """Converts CMYK to sRGB, and drops unspecified channels of a TIFF."""
    if image.format not in _DTYPES:
        return image
    if 0 < channels < image.bands:
        image = image[:channels]
    if image.interpretation != "cmyk":
        return image
    if _field(image, "icc-profile-data", b"")[16:20] == b"CMYK":
        depth = 8 * _DTYPES[image.format].itemsize
        return image.icc_transform("srgb", embedded=True, black_point_compensation=True, depth=depth)
    most = np.iinfo(_DTYPES[image.format]).max
    light = image[:4].linear(-1, most)
    colors = (light[:3] * light[3] / most).rint().cast(image.format)
    return with_interpretation(colors.bandjoin(image[4:]) if image.bands > 4 else colors)


def _checked(image):
    """Refuses values and channels that are neither gray nor RGB."""
    if image.format not in _DTYPES:
        raise UnsupportedPicture(f"{image.format} values; save it with 8 or 16 bits")
    gray, rgb = _INTERPRETATIONS[image.format]
    if image.interpretation != (gray if image.bands < 3 else rgb) or image.bands > 4:
        raise UnsupportedPicture(f"{image.bands} channels that are neither gray nor RGB; save it as one of these")
    return image


def _upright(image, orientation):
    if orientation == 1:
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


def _possible(resolution):
    """A resolution across and down, or the default if it is impossible."""
    if all(0 < each < _MAX_RESOLUTION for each in resolution):
        return tuple(resolution)
    return _DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION


def _metadata(image, header):
    unknown = image.xres == image.yres == 1  # in libvips
    resolution = _possible([0, 0] if unknown else [image.xres, image.yres])
    exif = header.exif
    return Metadata(
        profile=_field(image, "icc-profile-data"),
        exif=exif if exif and (exif.tags or exif.sub_ifds) else None,
        xmp=header.xmp and xmp.upright(header.xmp, header.orientation > 4),
        iptc=_field(image, "iptc-data"),
        resolution=resolution[::-1] if header.orientation > 4 else resolution,
        chunks=header.chunks,
    )
