"""Writes images of any size strip by strip."""

import concurrent.futures
import math
import os
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pyvips
import tifffile

from srgan_tf.imaging import xmp
from srgan_tf.imaging.embedding import embed_jpeg, embed_png, embed_webp
from srgan_tf.imaging.errors import PictureError, vips_reason
from srgan_tf.imaging.formats import KINDS, check_side, kind_of
from srgan_tf.imaging.header import PNG_TEXT
from srgan_tf.imaging.icc import png_profile
from srgan_tf.imaging.raster import vips_image, with_interpretation
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.disk import free_bytes, lack_of_room
from srgan_tf.system.errors import user_errors

_EIGHT_BITS = ("jpeg", "webp", "bmp")
_WITHOUT_ALPHA = ("jpeg", "bmp")
_LARGEST_BMP = (1 << 32) - 1  # bytes, the most that its header can state
_BMP_ROWS = 64  # at once
_LARGEST_CLASSIC_TIFF = 4_000_000_000  # bytes before compression, a little below the limit of its offsets
_MAX_BUFFER_BYTES = 1 << 28  # larger images are collected in a file instead of in memory
_WEBP_BYTES = 36  # memory of libwebp for each pixel; it encodes the image as a whole
_ENCODER_BYTES = 2048  # memory of libvips for each column
# About 100 MB/s on one core. On upscaled photographs PNG's level 6 makes files 5 % smaller in twice the time.
_ENCODING = {
    "png": {"compression": 3, "filter": "up"},
    "jpeg": {"Q": 95, "subsample_mode": "off"},
    "webp": {"lossless": True, "exact": True},  # `exact` keeps the color under transparency
    "tiff": {"compression": "deflate", "level": 3, "predictor": "horizontal", "resunit": "inch"},
}


def check_target(target, kind, height, width, raster, size=None, buffer_bytes=None):
    """Checks before long work whether `write_raster` can write the image; returns the kind that will be written.

    Raises:
        UserError: The format is unknown, or cannot hold transparency or so many pixels; or the disk is too full.
    """
    kind = kind or kind_of(target)
    if raster.alpha and not raster.opaque and kind in _WITHOUT_ALPHA:
        reason = f"{KINDS[kind]} cannot hold the image's transparency; write it as .png or .webp"
        raise PictureError(_name(target), reason)
    try:
        _profile(raster, kind)
    except ValueError as error:
        reason = f"{KINDS[kind]} cannot hold the image's colors ({error}); write it as .png"
        raise PictureError(_name(target), reason) from None
    rows, columns = size or (height, width)
    check_side(_name(target), kind, rows, columns)
    bands = _bands(raster, kind)
    if kind == "bmp" and len(_bmp_head(1, 1, bands)) + rows * _bmp_stride(columns, bands) > _LARGEST_BMP:
        raise PictureError(_name(target), "BMP cannot hold more than 4 GiB; write it as .png or .tif")
    needed = _size(raster, kind, height, width)
    folder = tempfile.gettempdir() if _is_stream(target) else Path(target).parent
    if needed > _buffer_limit(buffer_bytes) and needed > (free := free_bytes(folder)):
        raise PictureError(_name(target), f"{lack_of_room(needed, free)} in {folder} while it is written")
    return kind


def writer_bytes(raster, kind, height, width, buffer_bytes=None):
    """Memory that `write_raster` takes for an image of this size, besides the strip that it is given."""
    if kind == "webp":
        return _WEBP_BYTES * height * width
    size = _size(raster, kind, height, width)
    return _ENCODER_BYTES * width + (size if size <= _buffer_limit(buffer_bytes) else 0)


def _size(raster, kind, height, width):
    return height * width * _bands(raster, kind) * _dtype(raster, kind).itemsize


def _bands(raster, kind):
    """The bands of the file: without alpha if the format cannot hold it, which must be opaque then."""
    return raster.bands - 1 if raster.alpha and kind in _WITHOUT_ALPHA else raster.bands


def _buffer_limit(buffer_bytes):
    return _MAX_BUFFER_BYTES if buffer_bytes is None else min(_MAX_BUFFER_BYTES, buffer_bytes)


def write_raster(target, raster, strips, shape, *, size=None, kind=None, quality=None, buffer_bytes=None):
    """Writes an image that comes in strips, with the metadata of the image that it is made from.

    PNG, TIFF (deflate; BigTIFF from 4 GB on), BMP and WebP are lossless; for JPEG, WebP and BMP, 16 bits are rounded to
    8. The file is written atomically, or sent to a stream when it is complete. More than 256 MB of pixels are collected
    in a temporary file beside it, of which only a few rows are in memory at a time; only WebP is encoded as a whole, in
    about 36 bytes of memory for each pixel.

    Args:
        target: A path, whose folder is made if need be; or a binary file open for writing, such as standard output.
        raster: The `Raster` with the number of bands, the type, and the metadata.
        strips: Iterable of arrays `(rows, width, raster.bands)` of `raster.dtype`, from top to bottom.
        shape: `(height, width)` of all strips together, pixels.
        size: `(height, width)` of the file, not larger than `shape`. The image is downscaled by an antialiasing bicubic
            kernel (that of MATLAB's imresize), colors weighted by alpha. None: `shape`.
        kind: One of `KINDS`; None: by the suffix of `target`, a path.
        quality: 1 to 100, for JPEG and lossy WebP. None: JPEG of quality 95 with full color resolution, lossless WebP.
        buffer_bytes: Memory in which strips may be collected, at most and by default 256 MB; larger images go into a
            temporary file.

    Returns:
        A list of lines to show, on metadata that had to be left out.

    Raises:
        UserError: The format is unknown or cannot hold the image, or the file cannot be written.
        ValueError: The strips do not fit `raster` or `shape`.
    """
    kind = check_target(target, kind, *shape, raster, size, buffer_bytes)

    def write(path):
        raw = path.with_suffix(".raw")
        try:
            image = _buffered(strips, raster, shape, kind, raw, _buffer_limit(buffer_bytes))
            if size is not None:
                image = _resized(image, *size)
            if kind == "bmp":
                _write_bmp(path, image, raster.metadata)
                left_out = []
            else:
                _encode(path, kind, image, raster, quality)
                left_out = _embed(path, kind, image, raster)
        except pyvips.Error as error:
            raise PictureError(_name(target), f"cannot be written ({vips_reason(error)[0]})") from None
        finally:
            raw.unlink(missing_ok=True)
        left_out += _without_room(kind, raster)
        return [f"left out, since {KINDS[kind]} has no room for it: {', '.join(left_out)}"] if left_out else []

    if not _is_stream(target):
        with atomic_file(target, suffix=f".{kind}", durable=False) as partial:
            return write(partial)
    with user_errors(_name(target), "cannot be written"):
        with tempfile.TemporaryDirectory(prefix="srgan_tf_") as folder:
            path = Path(folder, f"picture.{kind}")
            notes = write(path)
            with open(path, "rb") as file:
                shutil.copyfileobj(file, target)
        target.flush()
    return notes


def _is_stream(target):
    return hasattr(target, "write")


def _name(target):
    return "standard output" if _is_stream(target) else target


def _dtype(raster, kind):
    return np.dtype(np.uint8) if kind in _EIGHT_BITS else raster.dtype


def _buffered(strips, raster, shape, kind, raw, buffer_bytes):
    """The strips as a `pyvips.Image` in memory or, if they are larger than `buffer_bytes`, in the file `raw`."""
    dtype, bands = _dtype(raster, kind), _bands(raster, kind)
    placed = _checked_strips(strips, raster, (*shape, raster.bands), dtype)
    shape = *shape, bands
    if math.prod(shape) * dtype.itemsize <= buffer_bytes:
        pixels = np.empty(shape, dtype)
        for top, strip in placed:
            pixels[top : top + len(strip)] = strip[..., :bands]
        return vips_image(pixels)
    # An uncompressed TIFF, since libvips would map a file of bare pixels into memory as a whole.
    start = tifffile.memmap(
        raw,
        shape=shape if bands > 1 else shape[:2],
        dtype=dtype,
        bigtiff=True,
        metadata=None,
        photometric="minisblack" if raster.gray else "rgb",
        planarconfig="contig" if bands > 1 else None,
        extrasamples=["unassalpha"] if bands % 2 == 0 else None,
    ).offset
    with open(raw, "r+b") as file:
        file.seek(start)
        for _, strip in placed:
            file.write(np.ascontiguousarray(strip[..., :bands]))
    image = pyvips.Image.tiffload(os.fsencode(raw), access="sequential", fail_on="error", unlimited=True)
    return with_interpretation(image)


def _checked_strips(strips, raster, shape, dtype):
    """Yields `(top, strip)`, each strip in the type of the file."""
    top = 0
    for strip in strips:
        if strip.dtype != raster.dtype or strip.ndim != 3 or strip.shape[1:] != shape[1:]:
            wanted = f"{raster.dtype} (rows, {shape[1]}, {shape[2]})"
            raise ValueError(f"strips must be {wanted}. Received: {strip.dtype} {strip.shape}")
        if strip.dtype != dtype:
            strip = ((strip.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        yield top, strip
        top += len(strip)
    if top != shape[0]:
        raise ValueError(f"strips must have {shape[0]} rows in all. Received: {top}")


def _resized(image, height, width):
    stored = image.format
    if image.hasalpha():
        image = image.premultiply()
    # gap=0: no box filter before the kernel.
    reduced = image.resize(width / image.width, vscale=height / image.height, kernel="cubic", gap=0)
    if image.hasalpha():
        reduced = reduced.unpremultiply().rint()
    return with_interpretation(reduced.cast(stored))


def _encode(path, kind, image, raster, quality):
    """Writes a file other than BMP by libvips, with the metadata that libvips writes completely."""
    options = dict(_ENCODING[kind])
    if quality is not None and kind == "jpeg":
        options["Q"] = quality
    elif quality is not None and kind == "webp":
        options = {"Q": quality, "smart_subsample": True}
    elif kind == "tiff":
        pixel = image.bands * (2 if image.format == "ushort" else 1)
        options["bigtiff"] = image.height * image.width * pixel > _LARGEST_CLASSIC_TIFF
    metadata = raster.metadata
    blobs = {"iptc-data": metadata.iptc, "icc-profile-data": _profile(raster, kind)}
    if kind == "tiff":
        blobs["xmp-data"] = _packet(raster, image)
    image = image.copy(xres=metadata.resolution[0], yres=metadata.resolution[1])
    for field, blob in blobs.items():
        if blob is not None:
            image.set_type(pyvips.GValue.blob_type, field, blob)
    save = getattr(image, f"{kind}save")
    # In another thread, because a long call of C cannot be interrupted.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(save, os.fsencode(path), keep="xmp|iptc|icc", **options).result()
        except BaseException:
            image.set_kill(True)
            raise


def _embed(path, kind, image, raster):
    """Adds the metadata that libvips would truncate; returns the names of those left out."""
    exif, packet = raster.metadata.exif, _packet(raster, image)
    if kind == "jpeg":
        return embed_jpeg(path, raster.metadata.resolution, exif, packet)
    if kind == "png":
        embed_png(path, raster.metadata, exif, packet, image.bands)
    elif kind == "webp":
        embed_webp(path, exif, packet, image.height, image.width, image.hasalpha())
    elif exif:
        exif.add_to_tiff(path)
    return []


def _packet(raster, image):
    """The XMP packet for the file, or None."""
    packet = raster.metadata.xmp
    return packet and xmp.resized(packet, image.height / raster.height, image.width / raster.width)


def _profile(raster, kind):
    """The ICC profile that the file needs; PNG also has chunks for colors, which others need as a profile."""
    if kind == "png" or not raster.metadata.chunks:
        return raster.metadata.profile
    gray = raster.gray and kind != "webp"  # WebP has no gray
    return png_profile(dict(raster.metadata.chunks), gray) or raster.metadata.profile


def _without_room(kind, raster):
    """The names of the metadata that the format cannot hold at all."""
    metadata, profile, bmp = raster.metadata, _profile(raster, kind), kind == "bmp"
    found = {
        "color profile": profile and (bmp or kind == "webp" and profile[16:20] == b"GRAY"),
        "EXIF": bmp and metadata.exif,
        "XMP": bmp and metadata.xmp,
        "IPTC": kind not in ("jpeg", "tiff") and metadata.iptc,
        "texts": kind != "png" and any(chunk in PNG_TEXT for chunk, _ in metadata.chunks),
    }
    return [name for name, content in found.items() if content]


def _bmp_stride(width, bands):
    """Bytes of a row, padded to a multiple of four."""
    return -(-width * bands // 4) * 4


def _bmp_head(height, width, bands, resolution=(0, 0)):
    """Microsoft's BITMAPFILEHEADER, BITMAPINFOHEADER and, for gray, the palette."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256)) if bands == 1 else b""
    start = 14 + 40 + len(palette)
    length = height * _bmp_stride(width, bands)
    per_metre = (round(each * 1000) for each in resolution)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8 * bands, 0, length, *per_metre, len(palette) // 4, 0)
    return struct.pack("<2sIHHI", b"BM", start + length, 0, 0, start) + info + palette


def _write_bmp(path, image, metadata):
    """Writes BMP, whose rows are stored bottom up. libvips cannot write it, and Pillow only a whole image in memory."""
    region = pyvips.Region.new(image)
    length, stride = image.width * image.bands, _bmp_stride(image.width, image.bands)
    head = _bmp_head(image.height, image.width, image.bands, metadata.resolution)
    with open(path, "xb") as file:
        file.write(head)
        for top in range(0, image.height, _BMP_ROWS):
            bottom = min(top + _BMP_ROWS, image.height)
            pixels = np.frombuffer(region.fetch(0, top, image.width, bottom - top), np.uint8)
            rows = np.zeros((bottom - top, stride), np.uint8)
            rows[:, :length] = pixels.reshape(bottom - top, image.width, image.bands)[::-1, :, ::-1].reshape(-1, length)
            file.seek(len(head) + (image.height - bottom) * stride)
            file.write(rows)
