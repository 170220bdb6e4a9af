"""Texts in a PNG file (PNG 3rd edition, section 11.3.3), and the EXIF and XMP that ImageMagick and others put there."""

import contextlib
import re
import zlib

XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"  # before a packet in a JPEG file
_MAX_BYTES = 1 << 24  # of a decompressed text; longer ones are left out
_XMP, _PROFILES = b"XML:com.adobe.xmp", (b"Raw profile type exif", b"Raw profile type APP1", b"Raw profile type xmp")


def keyword_of(data: bytes) -> bytes | None:
    """The keyword of a tEXt, zTXt or iTXt chunk, if there is EXIF or XMP under it; None for a normal text."""
    keyword = data.partition(b"\0")[0]
    return keyword if keyword in (_XMP, *_PROFILES) else None


def hidden(kind: bytes, data: bytes) -> tuple[str, bytes]:
    """EXIF or XMP in a chunk that has a `keyword_of`.

    Returns:
        "exif" or "xmp", and the block as in JPEG, empty if it is damaged.
    """
    keyword = data.partition(b"\0")[0]
    if keyword == _XMP:
        return "xmp", _text(kind, data)
    block = _raw_profile(_text(kind, data))
    if block.startswith(XMP_MARK) or keyword.endswith(b"xmp"):
        return "xmp", block.removeprefix(XMP_MARK)
    return "exif", block


def _text(kind, data):
    """The text as stored, decompressed; nothing if it is damaged or endless."""
    text, compressed = data.partition(b"\0")[2], kind == b"zTXt"
    if kind == b"iTXt":
        compressed, text = text[:1] == b"\1", text[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif compressed:
        text = text[1:]
    if not compressed:
        return text
    with contextlib.suppress(zlib.error):
        inflate = zlib.decompressobj()
        text = inflate.decompress(text, _MAX_BYTES)
        return text if inflate.eof else b""
    return b""


def _raw_profile(text):
    """The block in a text "Raw profile type ...": its name, its length and its bytes in hexadecimal."""
    match = re.fullmatch(rb"\s*\w+\s+\d+\s([0-9a-fA-F\s]*)", text)
    with contextlib.suppress(ValueError):
        return bytes.fromhex(match[1].decode()) if match else b""
    return b""
