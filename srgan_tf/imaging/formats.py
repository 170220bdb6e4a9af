"""Image formats: those that are read and written, and those that are detected and refused."""

import codecs
import contextlib
import re
import zlib
from pathlib import Path

from srgan_tf.imaging.errors import PictureError, UnsupportedPicture

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF", "bmp": "BMP"}  # and their names in messages
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
}  # of `suffix.lower()`
READABLE_SUFFIXES = frozenset({*SUFFIXES, ".gif"})
SIGNATURE_BYTES = 1024  # of a file that say what it is
RAW = "a camera's raw file; develop it first, to PNG or TIFF"
_SIGNATURES = {  # only decoders of these kinds are ever called
    "png": rb"\x89PNG\r\n\x1a\n",
    "jpeg": rb"\xff\xd8\xff",
    "webp": rb"RIFF....WEBP",
    "tiff": rb"II[*+]\0(?!.{4}(CR|IIII))|MM\0[*+]",
    "bmp": rb"BM",
    "gif": rb"GIF8[79]a",
}
_REFUSED = {
    "AVIF; convert it to PNG first": rb"....ftyp(avi[fs]|(mif1|msf1).{4,40}avi[fs])",
    "HEIC; convert it to PNG or JPEG first": rb"....ftyp(he[iv][cfmsx]|mif1|msf1)",
    "JPEG XL; convert it to PNG first": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000; convert it to PNG first": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "a Photoshop file; save it as PNG or TIFF": rb"8BPS",
    "an SVG drawing; render it as PNG first": (
        rb"(\xef\xbb\xbf)?\s*(?=<)(?!<!doctype html|<html)[^\0]*?<(!DOCTYPE\s+)?(\w+:)?svg[\s/>]"
    ),
    # CR2, IIQ; CR3, ORF, RW2, RAF, X3F, CRW, MRW; other raw files are TIFF and found by their tags.
    RAW: rb"II\*\0.{4}(CR|IIII)|....ftypcrx |IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|II.{4}HEAPCCDR|\0MRM",
}
_NOT_A_PICTURE = "not an image (PNG, JPEG, WebP, BMP, TIFF, GIF)"
_MAX_SIDE = {"jpeg": 65500, "webp": 16383}  # pixels, limits of the encoders


def detect(head: bytes) -> str:
    """The kind of a file by its first `SIGNATURE_BYTES`, whatever its name: a key of `KINDS`, or "gif".

    Raises:
        UnsupportedPicture: It is of another kind; the reason says which.
    """
    for kind, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return kind
    for name, signature in _REFUSED.items():
        if re.match(signature, _plain(head), re.DOTALL):
            raise UnsupportedPicture(name)
    raise UnsupportedPicture(_NOT_A_PICTURE if head else "the file is empty")


def _plain(head):
    """The head of a file; if it is gzip or UTF-16, as SVG may be, decoded."""
    if head.startswith(b"\x1f\x8b"):
        with contextlib.suppress(zlib.error):
            head = zlib.decompressobj(wbits=31).decompress(head, SIGNATURE_BYTES)
    return head[2:].replace(b"\0", b"") if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else head


def kind_of(path: Path | str) -> str:
    """The key of `KINDS` for a file's suffix.

    Raises:
        PictureError: The suffix is unknown.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        known = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise PictureError(path, f"cannot be written as {suffix or 'a file without suffix'}; take one of {known}")
    return SUFFIXES[suffix.lower()]


def check_side(path: Path | str, kind: str, height: int, width: int) -> None:
    """Refuses an image that is too large for its format.

    Raises:
        PictureError: A side, in pixels, is longer than the format allows.
    """
    longest = max(height, width)
    if longest > _MAX_SIDE.get(kind, longest):
        raise PictureError(path, f"{KINDS[kind]} cannot hold a side of {longest} pixels; write it as .png or .tif")
