"""Whether the file of a picture is complete, from its structure, without decoding it."""

import itertools
import os
from typing import BinaryIO

from PIL import ExifTags, ImageFile, TiffImagePlugin

_TAIL = 1 << 16  # bytes


def jpeg_is_complete(file: BinaryIO) -> bool:
    """Whether FFD9 follows the start of the scan, which Pillow must have found.

    Mostly it ends the file. Phones append a second picture or a video, so that else the tail is searched and then
    everything, from the scan on: compressed data cannot hold FFD9, but a thumbnail in the header does.
    """
    file.seek(-2, os.SEEK_END)
    if file.read() == b"\xff\xd9":
        return True
    file.seek(2)
    while (head := file.read(2)) != b"\xff\xda":
        if len(head) < 2:
            return False
        if head[0] != 0xFF or head[1] in (0x00, 0xFF):  # padding
            file.seek(-1, os.SEEK_CUR)
        elif not 0xD0 <= head[1] <= 0xD9:
            length = int.from_bytes(file.read(2).rjust(2, b"\xff"), "big")  # at the end of the file: beyond it
            file.seek(length - 2, os.SEEK_CUR)
    scan = file.tell()
    file.seek(max(scan, file.seek(0, os.SEEK_END) - _TAIL))
    if b"\xff\xd9" in file.read():
        return True
    file.seek(scan)
    last = b""
    while block := file.read(_TAIL):
        if b"\xff\xd9" in last + block:
            return True
        last = block[-1:]
    return False


def png_is_complete(file: BinaryIO) -> tuple[bool, bool]:
    """Whether the chunks reach IEND; and whether metadata follows the pixels, as exiftool writes it."""
    size = file.seek(0, os.SEEK_END)
    position, pixels, late_metadata = 8, False, False
    while position + 12 <= size:
        file.seek(position)
        head = file.read(40)
        kind, data = head[4:8], head[8:]
        if kind == b"IEND":
            return True, late_metadata
        pixels = pixels or kind == b"IDAT"
        if pixels and (kind == b"eXIf" or data.startswith((b"Raw profile type exif", b"XML:com.adobe.xmp"))):
            late_metadata = True
        position += 12 + int.from_bytes(head[:4], "big")
    return False, late_metadata


def gif_is_complete(file: BinaryIO, image: ImageFile.ImageFile) -> bool:
    """Whether the blocks of the first frame reach their terminator.

    Args:
        file: The open file.
        image: Its `PIL.Image.Image`, not yet decoded.
    """
    file.seek(image.tile[0][2])
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False


def bmp_is_complete(file: BinaryIO, image) -> bool:
    """Whether all rows are there; the size in the header is not used, since many programs state it wrongly.

    Args:
        file: The open file.
        image: Its `PIL.Image.Image`, not yet decoded.
    """
    codec, (_, _, _, height), start, options = image.tile[0]
    if codec == "raw":
        length = options[1] * height  # bytes of a row, with its padding
    else:  # run lengths, whose extent only the header knows
        file.seek(34)
        length = int.from_bytes(file.read(4), "little")
    return start + length <= file.seek(0, os.SEEK_END)


def tiff_is_complete(file: BinaryIO, image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether all strips or tiles of the first page lie in the file.

    Args:
        file: The open file.
        image: Its `PIL.Image.Image`, not yet decoded.
    """
    size, tags = file.seek(0, os.SEEK_END), image.tag_v2
    offsets = (*tags.get(ExifTags.Base.StripOffsets, ()), *tags.get(ExifTags.Base.TileOffsets, ()))
    lengths = (*tags.get(ExifTags.Base.StripByteCounts, ()), *tags.get(ExifTags.Base.TileByteCounts, ()))
    return all(start + length <= size for start, length in itertools.zip_longest(offsets, lengths, fillvalue=0))
