"""The EXIF of a photograph, as a block or in a TIFF file, where libvips neither reads nor writes it.

Both are the same structure (EXIF 2.32, section 4.5; TIFF 6.0, section 2): image file directories (IFDs) of tags, each
with a type, a count and a value. Classic TIFF has offsets of 4 bytes, BigTIFF of 8.
"""

import dataclasses
import io
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL.ExifTags import TAGS

_HEADER = b"Exif\0\0"  # before the block in a JPEG file
_DESCRIPTION, _ORIENTATION, _EXIF_IFD, _GPS_IFD = 0x010E, 0x0112, 0x8769, 0x8825
# Tags of the first IFD that describe the photograph and not how its pixels are stored: ImageDescription, Make,
# Model, Software, DateTime, Artist, HostComputer, Rating, RatingPercent, Copyright, and five of Windows.
_KEPT_TAGS = {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}
# The stored width and height and the compatibility IFD; places and resolutions that are counted in stored pixels.
_DROPPED_TAGS = {0xA002, 0xA003, 0xA005, 0x9214, 0xA20E, 0xA20F, 0xA210, 0xA214}
_FOR_SOFTWARE = (b"{", b"<?xml", b"ImageJ=")  # descriptions by which programs find the pixels, wrong for larger ones
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SHORT, _LONG, _LONG8 = 3, 4, 16
_RATIONALS = (5, 10)  # types of two numbers of 4 bytes
_MAX_ENTRIES, _MAX_VALUE_BYTES = 1 << 16, 1 << 24  # of an IFD; more means damage
IFD_ERRORS = ValueError, OverflowError, OSError, struct.error  # raised for a damaged IFD


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a TIFF structure is stored: its byte order, as `struct` writes it, and whether it is a BigTIFF."""

    order: str
    big: bool = False

    @property
    def offset(self):
        return self.order + ("Q" if self.big else "I")

    @property
    def number(self):
        """Format of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self):
        """Format of an entry: tag, type, count, and the value or, if that is longer, its offset."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def inline(self):
        return struct.calcsize(self.offset)


@dataclasses.dataclass(frozen=True)
class Exif:
    """The part of EXIF that is kept; an IFD is `{tag: (type, count, value as stored)}`.

    Attributes:
        layout: How the values are stored.
        orientation: 1 (upright) to 8; None if it is not stated.
        tags: Entries of the first IFD that describe the photograph.
        sub_ifds: `{tag: IFD}`, the IFDs of the camera's settings and of GPS.
    """

    layout: _Layout
    orientation: int | None
    tags: dict
    sub_ifds: dict

    def block(self) -> bytes:
        """The block that PNG, JPEG and WebP files hold, upright and without a thumbnail."""
        layout = _Layout(self.layout.order)
        upright = _SHORT, 1, struct.pack(layout.order + "HH", 1, 0)
        structure = _nested_ifd_bytes(self.tags | {_ORIENTATION: upright}, self.sub_ifds, layout, 8, bytes(4))
        head = b"II*\0" if layout.order == "<" else b"MM\0*"
        return _HEADER + head + struct.pack(layout.offset, 8) + structure

    def shortened(self, most: int) -> tuple["Exif", list[str]]:
        """Removes the longest values until the block fits into `most` bytes; returns the rest and the names removed."""
        tags, sub_ifds = dict(self.tags), {tag: dict(entries) for tag, entries in self.sub_ifds.items()}
        exif, names = dataclasses.replace(self, tags=tags, sub_ifds=sub_ifds), []
        excess = len(exif.block()) - most
        places = [(ifd, tag) for ifd in (tags, *sub_ifds.values()) for tag in ifd]
        for ifd, tag in sorted(places, key=lambda place: -len(place[0][place[1]][2])):
            if excess <= 0:
                break
            length = len(ifd.pop(tag)[2])
            excess -= struct.calcsize(_Layout("<").entry) + (length + length % 2 if length > 4 else 0)
            names.append(TAGS.get(tag, hex(tag)))
        return exif, names

    def add_to_tiff(self, path: Path | str) -> None:
        """Adds all but the orientation to a TIFF file of one page, by appending a new first IFD."""
        with open(path, "r+b") as file:
            layout, first = read_layout(file)
            stored, after = read_ifd(file, layout, first)
            tags = _byte_swapped(self.tags, self.layout, layout) | stored
            sub_ifds = {tag: _byte_swapped(entries, self.layout, layout) for tag, entries in self.sub_ifds.items()}
            end = file.seek(0, os.SEEK_END)
            end += file.write(bytes(end % 2))
            file.write(_nested_ifd_bytes(tags, sub_ifds, layout, end, after))
            file.seek(8 if layout.big else 4)
            file.write(struct.pack(layout.offset, end))


def read_exif(source: bytes | BinaryIO, first: int | None = None) -> Exif | None:
    """Reads an EXIF block, or the IFD at offset `first` of an open TIFF file; None if it is damaged."""
    file = io.BytesIO(source.removeprefix(_HEADER)) if isinstance(source, bytes) else source
    try:
        layout, begin = read_layout(file)
        main, _ = read_ifd(file, layout, begin if first is None else first)
        sub_ifds = {
            tag: read_ifd(file, layout, integers(main, tag, layout)[0])[0]
            for tag in (_EXIF_IFD, _GPS_IFD)
            if integers(main, tag, layout)
        }
    except IFD_ERRORS:
        return None
    orientation = first_integer(main, _ORIENTATION, layout, None)
    tags = {tag: entry for tag, entry in main.items() if tag in _KEPT_TAGS}
    if tags.get(_DESCRIPTION, (2, 0, b""))[2].startswith(_FOR_SOFTWARE):
        del tags[_DESCRIPTION]
    for entries in sub_ifds.values():
        for tag in _DROPPED_TAGS & entries.keys():
            del entries[tag]
    sub_ifds = {tag: entries for tag, entries in sub_ifds.items() if entries}
    return Exif(layout, orientation if orientation in (None, *range(1, 9)) else 1, tags, sub_ifds)


def integers(entries: dict, tag: int, layout: _Layout) -> tuple[int, ...]:
    """The values of an entry of integers in an IFD; none if there is no such entry."""
    kind, count, value = entries.get(tag, (_SHORT, 0, b""))
    letter = _INTEGERS.get(kind)
    return struct.unpack(f"{layout.order}{count}{letter}", value) if letter else ()


def first_integer(entries: dict, tag: int, layout: _Layout, default: Any = 0) -> Any:
    """The first of `integers`, or `default`."""
    values = integers(entries, tag, layout)
    return values[0] if values else default


def read_layout(file: BinaryIO) -> tuple[_Layout, int]:
    """The layout of a TIFF structure and the offset of its first IFD.

    Raises:
        One of `IFD_ERRORS`: There is none.
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] in (b"II*\0", b"MM\0*"):
        layout, place = _Layout("<" if head[:1] == b"I" else ">"), 4
    elif head[:4] in (b"II+\0", b"MM\0+"):
        layout, place = _Layout("<" if head[:1] == b"I" else ">", big=True), 8
    else:
        raise ValueError("no TIFF structure")
    return layout, struct.unpack_from(layout.offset, head, place)[0]


class Room:
    """The bytes that the IFDs of a file may have in all, twice the file's. Those of a sound file hardly overlap; but a
    file can be made of which each page has all of the file as a value."""

    def __init__(self, file: BinaryIO):
        self.left = 2 * file.seek(0, os.SEEK_END) + 2**20


def read_ifd(file: BinaryIO, layout: _Layout, offset: int, total: Room | None = None) -> tuple[dict, bytes]:
    """The IFD at `offset`, without damaged entries; and the bytes that point to the next one.

    Args:
        file: The file.
        layout: Of the file.
        offset: Of the IFD.
        total: The `Room` of all IFDs of a file of which many are read.

    Raises:
        One of `IFD_ERRORS`: There is none, or `total` does not suffice.
    """
    total = total or Room(file)
    room = min(_MAX_VALUE_BYTES, file.seek(0, os.SEEK_END))  # many entries may share one long value
    file.seek(offset)
    (number,) = struct.unpack(layout.number, file.read(struct.calcsize(layout.number)))
    length = struct.calcsize(layout.entry)
    body = file.read(min(number, _MAX_ENTRIES) * length)
    after = file.read(layout.inline)
    total.left -= len(body) + room
    if total.left < 0:
        raise ValueError("more than the file can hold")
    entries = {}
    for tag, kind, count, value in struct.iter_unpack(layout.entry, body[: len(body) // length * length]):
        size = _TYPE_BYTES.get(kind, 0) * count
        if layout.inline < size <= room:
            room -= size
            file.seek(*struct.unpack(layout.offset, value))
            value = file.read(size)
        if 0 < size <= len(value):
            entries[tag] = kind, count, value[:size]
    total.left += room  # which was not used
    return entries, after


def _ifd_bytes(entries, layout, offset, after):
    """The bytes of an IFD to be written at `offset`: its entries, `after`, and the long values."""
    head = struct.pack(layout.number, len(entries))
    values_at = offset + len(head) + len(entries) * struct.calcsize(layout.entry) + len(after)
    parts, values, length = [head], [], 0
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > layout.inline:
            place = struct.pack(layout.offset, values_at + length)
            values.append(value + bytes(len(value) % 2))
            length += len(values[-1])
        else:
            place = value
        parts.append(struct.pack(layout.entry, tag, kind, count, place))
    return b"".join([*parts, after, *values])


def _nested_ifd_bytes(main, sub_ifds, layout, offset, after):
    """The bytes of an IFD to be written at `offset`, followed by the IFDs that it points to."""
    kind, none = (_LONG8 if layout.big else _LONG), bytes(layout.inline)
    pointers = {tag: (kind, 1, none) for tag in sub_ifds}
    place = offset + len(_ifd_bytes(main | pointers, layout, offset, after))
    behind = b""
    for tag, entries in sub_ifds.items():
        pointers[tag] = kind, 1, struct.pack(layout.offset, place + len(behind))
        behind += _ifd_bytes(entries, layout, place + len(behind), none)
    return _ifd_bytes(main | pointers, layout, offset, after) + behind


def _byte_swapped(entries, source, target):
    """The entries with their values in the byte order of the target."""
    if source.order == target.order:
        return entries
    swapped = {}
    for tag, (kind, count, value) in entries.items():
        word = 4 if kind in _RATIONALS else _TYPE_BYTES[kind]
        swapped[tag] = kind, count, np.frombuffer(value, f"u{word}").byteswap().tobytes()
    return swapped
