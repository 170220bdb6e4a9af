"""Adds metadata to files of libvips, which leaves out long metadata and PNG's own chunks."""

import hashlib
import os
import struct
import zlib

from srgan_tf.imaging import xmp
from srgan_tf.imaging.exif import Exif
from srgan_tf.imaging.header import JPEG_EXIF, JPEG_MORE_XMP, PNG_TEXT
from srgan_tf.imaging.png_text import XMP_MARK

_SEGMENT_BYTES = 65533  # of a JPEG
_BLOCK = 1 << 24  # bytes moved at once


def embed_png(path, metadata, exif: Exif | None, packet: bytes | None, bands: int) -> None:
    """Adds the chunks of the original PNG, EXIF and XMP to a PNG."""
    chunks = [
        (kind, data)
        for kind, data in metadata.chunks
        if kind != b"iCCP" and (kind != b"sBIT" or len(data) == bands)  # libvips writes the profile
    ]
    if exif:
        chunks.append((b"eXIf", exif.block()[len(JPEG_EXIF) :]))
    if packet:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    chunks.sort(key=lambda chunk: chunk[0] in PNG_TEXT)  # colors first
    data = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    with open(path, "r+b") as file:
        _insert(file, 33, b"".join(data))  # behind IHDR


def embed_jpeg(path, resolution: tuple[float, float], exif: Exif | None, packet: bytes | None) -> list[str]:
    """Adds JFIF's resolution, EXIF and XMP to a JPEG; returns the names of tags that had to be left out."""
    dots = (min(65535, max(1, round(25.4 * each))) for each in resolution)
    data = [_segment(0xE0, b"JFIF\0\1\1\1" + struct.pack(">HHBB", *dots, 0, 0))]
    left_out: list[str] = []
    if exif:
        exif, left_out = exif.shortened(_SEGMENT_BYTES)
        data.append(_segment(0xE1, exif.block()))
    if packet and len(XMP_MARK + packet) <= _SEGMENT_BYTES:
        data.append(_segment(0xE1, XMP_MARK + packet))
    elif packet:  # XMP, part 3, section 1.1.3.1
        digest = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
        data.append(_segment(0xE1, XMP_MARK + xmp.pointer(digest)))
        step = _SEGMENT_BYTES - 100
        for place in range(0, len(packet), step):
            head = JPEG_MORE_XMP + digest + struct.pack(">II", len(packet), place)
            data.append(_segment(0xE1, head + packet[place : place + step]))
    with open(path, "r+b") as file:
        _insert(file, 2, b"".join(data))
    return left_out


def embed_webp(path, exif: Exif | None, packet: bytes | None, height: int, width: int, alpha: bool) -> None:
    """Adds EXIF and XMP to a WebP."""
    if not exif and not packet:
        return
    behind = _webp_chunk(b"EXIF", exif.block()[len(JPEG_EXIF) :]) if exif else b""
    behind += _webp_chunk(b"XMP ", packet) if packet else b""
    with open(path, "r+b") as file:
        file.seek(12)
        if file.read(4) != b"VP8X":
            head = struct.pack("<I", 0x10 if alpha else 0)
            sides = (struct.pack("<I", side - 1)[:3] for side in (width, height))
            _insert(file, 12, _webp_chunk(b"VP8X", head + b"".join(sides)))
        file.seek(20)
        flags = file.read(1)[0] | (0x08 if exif else 0) | (0x04 if packet else 0)
        file.seek(20)
        file.write(bytes([flags]))
        file.seek(0, os.SEEK_END)
        file.write(behind)
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def _segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


def _webp_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _insert(file, place, data):
    """Inserts bytes into a file; moves the bytes after `place` block by block, the last block first."""
    end = file.seek(0, os.SEEK_END)
    while data and end > place:
        start = max(place, end - _BLOCK)
        file.seek(start)
        block = file.read(end - start)
        file.seek(start + len(data))
        file.write(block)
        end = start
    file.seek(place)
    file.write(data)
