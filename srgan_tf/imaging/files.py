"""Reads any image as upright 8-bit RGB, and writes such images."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from srgan_tf.imaging.errors import picture_errors
from srgan_tf.imaging.formats import check_side, kind_of
from srgan_tf.imaging.header import check_header, read_header
from srgan_tf.imaging.raster import open_raster
from srgan_tf.system.atomic import atomic_file

_STRIP_BYTES = 1 << 22  # decoded at once, approximately
# WebP is lossless because lossy WebP always halves the color resolution.
_ENCODING: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95, "subsampling": "4:4:4"},
    "webp": {"lossless": True},
    "tiff": {"compression": "tiff_adobe_deflate"},
}


def read_rgb(path: Path | str) -> np.ndarray:
    """Reads any picture, whatever its suffix says, as 8-bit RGB: uint8 `(H, W, 3)`; see `raster.open_raster`.

    Transparency is composited over white, then 16 bits are scaled and rounded to 8; of an animation or a file of
    several pages the first picture is taken.

    Raises:
        UserError: There is no such file, or it is not a picture, damaged, truncated or absurdly large.
    """
    with open_raster(path, first=True, whole=True) as raster:
        pixels = np.empty((raster.height, raster.width, 3), np.uint8)
        step = max(1, _STRIP_BYTES // (raster.width * raster.bands * raster.dtype.itemsize))
        for top in range(0, raster.height, step):
            bottom = min(top + step, raster.height)
            pixels[top:bottom] = _on_white(raster.rows(top, bottom), raster.alpha)
    return pixels


def _on_white(values, alpha):
    """Composites gray or color of 8 or 16 bits, `(H, W, bands)`, over white: uint8; gray stays one band."""
    most = np.iinfo(values.dtype).max
    if most == 255 and not alpha:
        return values
    values = values.astype(np.uint32 if most == 255 else np.uint64)
    if alpha:
        values = values[..., :-1] * values[..., -1:] + most * (most - values[..., -1:])
        most *= most
    return ((values * 255 + most // 2) // most).astype(np.uint8)


def write(path: Path | str, pixels: ArrayLike) -> None:
    """Writes a picture, uint8 RGB `(H, W, 3)`, in the format that the suffix of `path` names; makes its folder.

    PNG, WebP (lossless), TIFF (deflate) and BMP keep every value; JPEG is written with quality 95 and 4:4:4. The file
    is written atomically.

    Raises:
        UserError: The format is unknown or cannot hold so many pixels; or the file cannot be written.
        ValueError: The pixels are something else.
    """
    path, pixels = Path(path), np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 (H, W, 3). Received: {pixels.dtype} {pixels.shape}")
    kind = kind_of(path)
    check_side(path, kind, *pixels.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    with atomic_file(path, durable=False) as partial, open(partial, "xb") as file:
        image.save(file, format=kind, **_ENCODING.get(kind, {}))


def probe(path: Path | str) -> tuple[int, int]:
    """The `(height, width)` of a picture, upright as of `read_rgb`, without decoding it; see `header.read_header`.

    The file must be whole: of a JPEG the end-of-image marker and, if it is progressive, every scan, of a PNG the chain
    of chunks up to IEND, of a WebP the length that it states, of a BMP the rows, of a TIFF the strips or tiles and of a
    GIF the blocks of the first frame must be there.

    Raises:
        UserError: There is no such file, or it is not a picture or truncated; `reason` says which.
    """
    with picture_errors(path), open(path, "rb") as file:
        header = read_header(file)
        check_header(header)
        return header.size


def is_gray(path: Path | str) -> bool:
    """Whether the file holds one channel of gray, with or without transparency; R = G = B and palettes do not count.

    Raises:
        UserError: There is no such file, or it is not a picture.
    """
    with picture_errors(path), open(path, "rb") as file:
        return read_header(file).gray
