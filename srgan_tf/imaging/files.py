"""Reads any picture as 8-bit RGB, upright as its EXIF orientation says, and writes such pictures."""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import ExifTags, Image, UnidentifiedImageError

from srgan_tf.imaging import truncation
from srgan_tf.imaging.errors import PictureError, UnsupportedPicture, picture_errors
from srgan_tf.imaging.formats import NOT_A_PICTURE, check_side, kind_of
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import DAMAGE

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # never EPS, which would start Ghostscript
# WebP is lossless because lossy WebP always halves the color resolution.
_ENCODING: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True},
    "tiff": {"compression": "tiff_adobe_deflate"},
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# ImageNet and many cameras hold slightly wrong metadata beside an intact picture. One filter at import, because
# `warnings.catch_warnings` around each read would not be safe in threads. Decompression bombs keep their warning.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin$")


@contextlib.contextmanager
def _opened(path):
    """Yields the open file and its picture, not yet decoded; whatever goes wrong inside becomes a PictureError."""
    with picture_errors(path):
        try:
            with open(path, "rb") as file, Image.open(file, formats=_FORMATS) as image:
                yield file, image
        except UnidentifiedImageError:
            empty = not os.path.getsize(path)
            raise UnsupportedPicture("the file is empty" if empty else NOT_A_PICTURE) from None
        except Image.DecompressionBombError:
            limit = f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, taken for a decompression bomb"
            raise UnsupportedPicture(f"{limit}; cut it into smaller pictures") from None


def _orientation(image, getexif):
    try:
        return getexif(image).get(ExifTags.Base.Orientation, 1)
    except (OSError, *DAMAGE):  # broken metadata beside an intact picture
        return 1


def _decoded(image):
    """The first frame, upright and with 8 bits: LA or RGBA if it has transparency, else any mode without it."""
    image.load()  # first, since a PNG's orientation can follow its pixels, and loading rotates a TIFF
    orientation = _orientation(image, type(image).getexif)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow's own conversion clips at 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit values; save it with 8 or 16 bits")
        eight_bit = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return Image.fromarray(eight_bit)
    if image.mode == "F":
        raise ValueError("floating-point values of unknown range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
    return image


def read_rgb(path: Path | str) -> np.ndarray:
    """Reads any picture as 8-bit RGB.

    The EXIF orientation is applied, transparency is composited over white, 16-bit gray is scaled and rounded to 8 bits,
    and of an animation or a file of several pages the first picture is taken.

    Args:
        path: A PNG, JPEG, WebP, BMP, TIFF or GIF file, whatever its suffix says.

    Returns:
        uint8 `(H, W, 3)` in [0, 255].

    Raises:
        UserError: There is no such file, or it is not a picture, damaged, truncated or absurdly large.
    """
    with _opened(path) as (_, image):
        image = _decoded(image)
        if image.mode in ("LA", "RGBA"):
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.array(image.convert("RGB"))


def write(path: Path | str, pixels: ArrayLike) -> None:
    """Writes a picture in the format that the suffix of `path` names; the folder is made if need be.

    PNG, WebP (lossless), TIFF (deflate) and BMP keep every value; JPEG is written with quality 95 and 4:4:4. The file
    is written atomically.

    Args:
        path: Where to.
        pixels: uint8 RGB `(H, W, 3)`.

    Raises:
        UserError: The format is unknown or cannot hold so many pixels; or the file cannot be written.
        ValueError: The pixels are not uint8 `(H, W, 3)`.
    """
    path, pixels = Path(path), np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 (H, W, 3). Received: {pixels.dtype} {pixels.shape}")
    kind = kind_of(path)
    check_side(path, kind, *pixels.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    with atomic_file(path) as partial, open(partial, "xb") as file:
        image.save(file, format=kind, **_ENCODING.get(kind, {}))


def probe(path: Path | str) -> tuple[int, int]:
    """The size of a picture and whether its file is whole, without decoding it.

    Of a JPEG the end-of-image marker, of a PNG the chain of chunks up to IEND, of a BMP the rows, of a TIFF the strips
    or tiles and of a GIF the blocks of the first frame must be there. A WebP that is truncated Pillow does not open.

    Args:
        path: A PNG, JPEG, WebP, BMP, TIFF or GIF file, whatever its suffix says.

    Returns:
        `(height, width)` in pixels, the EXIF orientation applied: what `read_rgb` will give.

    Raises:
        UserError: There is no such file, or it is not a picture or truncated; `reason` says which.
    """
    with _opened(path) as (file, image):
        width, height = image.size
        getexif = type(image).getexif
        if image.format in ("JPEG", "MPO"):
            complete = truncation.jpeg_is_complete(file)
        elif image.format == "PNG":
            complete, late_metadata = truncation.png_is_complete(file)
            if not late_metadata:
                getexif = Image.Image.getexif  # PNG's own decodes the picture to look behind it
        elif image.format == "TIFF":
            complete = truncation.tiff_is_complete(file, image)
            # Newer Pillows have swapped `size` already.
            width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
        elif image.format == "BMP":
            complete = truncation.bmp_is_complete(file, image)
        else:
            complete = image.format != "GIF" or truncation.gif_is_complete(file, image)
        if not complete:
            raise PictureError(path, "truncated: its end is missing")
        rotated = _orientation(image, getexif) in (5, 6, 7, 8)
        return (width, height) if rotated else (height, width)


def is_gray(path: Path | str) -> bool:
    """Whether the file holds one channel of gray, with or without transparency; R = G = B and palettes do not count.

    Args:
        path: As of `read_rgb`.

    Raises:
        UserError: There is no such file, or it is not a picture.
    """
    with _opened(path) as (_, image):
        return Image.getmodebase(image.mode) == "L"
