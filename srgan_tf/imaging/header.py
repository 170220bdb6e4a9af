"""Reads the header of an image file, without decoding its pixels: kind, size, pages, orientation, metadata, and whether
the file is complete."""

import dataclasses
import functools
import itertools
import os
import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile

from srgan_tf.imaging import xmp
from srgan_tf.imaging.errors import UnsupportedPicture
from srgan_tf.imaging.exif import IFD_ERRORS, Exif, Room, first_integer, integers, read_exif, read_ifd, read_layout
from srgan_tf.imaging.formats import RAW, SIGNATURE_BYTES, detect
from srgan_tf.imaging.png_text import XMP_MARK, hidden, keyword_of

MAX_PIXELS = 256_000_000  # larger images are refused as decompression bombs
BY_PILLOW: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "bmp": BmpImagePlugin.BmpImageFile,  # libvips does not read it
    "gif": GifImagePlugin.GifImageFile,
}
# Chunks that say how a PNG's values are to be shown, and texts (PNG 3rd edition, section 11.3).
_PNG_COLOR = b"cICP", b"mDCV", b"cLLI", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT"
_PNG_CHANNELS = {0: 2, 4: 2, 2: 4}  # of each color type, with alpha
PNG_TEXT = b"tEXt", b"zTXt", b"iTXt"
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"acTL", b"eXIf", b"IEND", *_PNG_COLOR, *PNG_TEXT}
_JPEG_FRAMES = {0xC0 + number for number in range(16)} - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # in compressed data FF is followed by 00 or D0 to D7
_MAX_JPEG_SEGMENTS = 1000  # from the first scan on; encoders make some ten scans, each with a few tables
_JPEG_APP1, JPEG_EXIF = 0xE1, b"Exif\0\0"
JPEG_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_TIFF_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # channels of gray, RGB, a palette, CMYK and YCbCr
_MAX_METADATA_BYTES = 1 << 26  # in all; more is left out
_MAX_PAGES = 1 << 16
_MAX_SUB_IFDS = 100  # cameras have some
_MAX_PADDING = 1 << 16  # bytes between the segments of a JPEG's header
_TAIL = 1 << 16  # bytes


class TiffTag:
    """Tags of TIFF 6.0, Adobe's supplements and DNG."""

    SUBFILE_TYPE, OLD_SUBFILE_TYPE, WIDTH, HEIGHT, BITS, PHOTOMETRIC = 254, 255, 256, 257, 258, 262
    STRIP_OFFSETS, SAMPLES, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 273, 277, 279, 324, 325
    PLANES, SUB_IFDS, EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, DNG_VERSION = 284, 330, 338, 339, 700, 50706


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of an image file.

    Attributes:
        kind: A key of `formats.KINDS`, or "gif".
        height: Pixels, as stored: before the orientation is applied.
        width: Pixels, as stored.
        complete: Whether the (first) image is complete, by the structure of the file.
        pixel_bytes: Bytes of a decoded pixel.
        gray: Whether there is one channel besides alpha, and no palette.
        frames: Number of images in the file, without thumbnails and masks; of a GIF always 1, since only decoding
            shows more.
        page: Index of the first image among all pages of a TIFF.
        channels: Of a JPEG, as stored: 1 gray, 3 color, 4 CMYK. Of a TIFF with an unspecified last channel, the number
            before it. Else 0.
        progressive: Whether the image is stored in several passes, which decoders hold as a whole: interlaced PNG,
            progressive JPEG.
        exif: An `Exif`, or None.
        xmp: XMP packet, or None.
        chunks: The `(kind, data)` of a PNG's chunks that say how its values are to be shown, and of its texts.
    """

    kind: str
    height: int
    width: int
    complete: bool
    pixel_bytes: int
    gray: bool
    frames: int = 1
    page: int = 0
    channels: int = 0
    progressive: bool = False
    exif: Exif | None = None
    xmp: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def orientation(self) -> int:
        """1 (upright) to 8, from EXIF or else from XMP."""
        return self.exif and self.exif.orientation or xmp.orientation(self.xmp) or 1

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the upright image."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)

    @property
    def decoder_bytes(self) -> int:
        """Estimated memory for decoding; 0 if a few rows at a time are enough.

        Measured as VmHWM for 36 megapixels: BMP 7.5 bytes a pixel, WebP 8.5, progressive JPEG 7.2 (4:4:4) and 4.3
        (4:2:0), interlaced PNG 3.4, turned JPEG and PNG 4.1 and 3.7, others 1.1 and less.
        """
        if self.kind == "webp" or self.kind in BY_PILLOW:
            per_pixel = 9
        else:
            coefficients = 2 if self.kind == "jpeg" else 1  # bytes of each channel
            per_pixel = coefficients * self.pixel_bytes + 1 if self.progressive else 0
            per_pixel += self.pixel_bytes + 1 if self.orientation > 2 else 0
        return per_pixel * self.height * self.width


def read_header(file: BinaryIO) -> Header:
    """Reads the header of an image of any kind from an open file, whatever its name says.

    Raises:
        UnsupportedPicture: It is of no supported kind, or so damaged that it has no size.
        Others: What `errors.picture_errors` makes a `PictureError`.
    """
    file.seek(0)
    kind = detect(file.read(SIGNATURE_BYTES))
    header = _READERS[kind](file)
    if header is None or header.height < 1 or header.width < 1:
        raise UnsupportedPicture("damaged or truncated (its size is missing)")
    return header


def check_header(header: Header, max_pixels: float | None = None, max_bytes: int | None = None) -> None:
    """Refuses an image that is too large or truncated.

    Args:
        header: Of the image.
        max_pixels: The largest number of pixels that the user allows by --max_megapixels. None: `MAX_PIXELS`.
        max_bytes: Memory that --max_memory leaves for decoding. None: no limit.

    Raises:
        UnsupportedPicture: It has more pixels, takes more memory, or its end is missing.
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    if header.height * header.width > limit:
        size = f"{header.width}x{header.height} pixels, more than {limit / 1e6:g} megapixels"
        advice = "" if max_pixels is None else ", or allow more with --max_megapixels"
        raise UnsupportedPicture(f"{size}, taken for a decompression bomb; cut it into smaller images{advice}")
    if max_bytes is not None and header.decoder_bytes > max(0, max_bytes):
        needed = f"{header.decoder_bytes >> 20:,} MiB of memory to be decoded, {max(0, max_bytes) >> 20:,} MiB are left"
        raise UnsupportedPicture(f"needs {needed}; allow more --max_memory, or save it as TIFF, which is read by rows")
    if not header.complete:
        raise UnsupportedPicture("truncated: its end is missing")


def _end(file):
    return file.seek(0, os.SEEK_END)


class _Room:
    """Limits the metadata that are read from a file, which could fill the memory."""

    def __init__(self):
        self._left = _MAX_METADATA_BYTES

    def read(self, file, length):
        """Reads `length` bytes of the file; none if they exceed the limit."""
        if length > self._left:
            return b""
        self._left -= length
        return file.read(length)


def _png(file):
    chunks = list(_png_chunks(file))
    first = dict(reversed(chunks))  # the first chunk of each kind
    if len(first.get(b"IHDR", b"")) < 13:
        return None
    width, height, depth, color_type, *_, interlace = struct.unpack(">IIBBBBB", first[b"IHDR"])
    if color_type == 3 and b"PLTE" not in first:
        raise UnsupportedPicture("damaged: its palette is missing")
    blocks: dict[str, bytes] = {}  # "exif" and "xmp" in texts, the first of each
    kept, read = [], set()
    for kind, data in chunks:
        if kind in PNG_TEXT and (keyword := keyword_of(data)):
            if keyword not in read:  # each may take as long as a whole image to decompress
                blocks.setdefault(*hidden(kind, data))
            read.add(keyword)
        elif kind in _PNG_COLOR or kind in PNG_TEXT and data:
            kept.append((kind, data))
    exif = first.get(b"eXIf") or blocks.get("exif")
    return Header(
        "png",
        height,
        width,
        b"IEND" in first,
        pixel_bytes=_PNG_CHANNELS.get(color_type, 4) * (2 if depth > 8 else 1),
        gray=color_type in (0, 4),
        frames=int.from_bytes(first.get(b"acTL", b"\0\0\0\1")[:4], "big"),
        progressive=interlace > 0,
        exif=read_exif(exif) if exif else None,
        xmp=blocks.get("xmp"),
        chunks=tuple(kept),
    )


def _png_chunks(file):
    """Yields the kind and the data of the chunks in `_PNG_CHUNKS`, up to the end of the image."""
    size, position, room = _end(file), 8, _Room()
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind in _PNG_CHUNKS:
            yield kind, room.read(file, length)
        if kind == b"IEND":
            return
        position += 12 + length


def _jpeg(file):
    """Reads the segments up to the first scan, then looks for the end of the image.

    Usually that is the end of the file. But phones append a second image or a video, so else the tail of the file is
    searched, and then everything from the scan on. Compressed data cannot contain FFD9; a thumbnail in the header does.
    """
    frame, exif, packet, more = None, None, None, []
    for marker, data in _jpeg_segments(file):
        if marker in _JPEG_FRAMES:
            frame = frame or (marker, data)
        elif data.startswith(JPEG_EXIF):
            exif = exif or data
        elif data.startswith(XMP_MARK):
            packet = packet or data.removeprefix(XMP_MARK)
        elif data.startswith(JPEG_MORE_XMP):
            more.append(data.removeprefix(JPEG_MORE_XMP))
    if frame is None or len(frame[1]) < 6:
        return None
    _, height, width, channels = struct.unpack(">BHHB", frame[1][:6])
    progressive = frame[0] in _JPEG_PROGRESSIVE
    return Header(
        "jpeg",
        height,
        width,
        (not progressive or _has_all_scans(file, frame[1][6::3])) and _jpeg_ends(file),
        pixel_bytes=channels,
        gray=channels == 1,
        channels=channels,
        progressive=progressive,
        exif=read_exif(exif) if exif else None,
        xmp=xmp.joined(packet, more),
    )


def _jpeg_segments(file):
    """Yields the marker and the data of APP1 and frame segments, up to the first scan."""
    room, padding = _Room(), 0
    file.seek(2)
    while (marker := file.read(2)) != b"\xff\xda" and len(marker) == 2 and padding < _MAX_PADDING:
        if marker[0] != 0xFF or marker[1] in (0x00, 0xFF):  # padding
            file.seek(-1, os.SEEK_CUR)
            padding += 1
        elif not 0xD0 <= marker[1] <= 0xD9:
            length = int.from_bytes(file.read(2).rjust(2, b"\xff"), "big") - 2  # at the file's end: beyond it
            end = file.tell() + length
            if marker[1] == _JPEG_APP1 or marker[1] in _JPEG_FRAMES:
                yield marker[1], room.read(file, max(0, length))
            file.seek(end)


def _has_all_scans(file, components):
    """Whether the scans of a progressive JPEG hold all bits of every coefficient of every component.

    Reads only the headers of the scans (ITU-T T.81, B.2.3 and G.1.1.1), up to the last scan that is needed.

    Args:
        file: Positioned after the marker of the first scan.
        components: Their identifiers in the frame, bytes.
    """
    # The lowest bit of each coefficient so far.
    lowest_bits: dict[int, list[int | None]] = {component: [None] * 64 for component in components}
    marker = _JPEG_SCAN
    for _ in range(_MAX_JPEG_SEGMENTS):
        segment = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
        if marker == _JPEG_SCAN and len(segment) >= 4:
            first, last, bits = segment[-3:]
            before, after = bits >> 4 or None, bits & 15  # the lowest bit so far and now; None: no scan so far
            for component in set(segment[1:-3:2]) & lowest_bits.keys():
                own = lowest_bits[component]
                own[first : last + 1] = [after if bit == before else bit for bit in own[first : last + 1]]
            if all(bit == 0 for own in lowest_bits.values() for bit in own):
                return True
        marker = _next_jpeg_marker(file)
        if marker in (None, _JPEG_END):
            return False
    return False


def _next_jpeg_marker(file):
    """The number of the next marker, with the file positioned after it; None at the end of the file."""
    position, data = file.tell(), b""
    while block := file.read(_TAIL):
        data += block
        if found := _JPEG_MARKER.search(data):
            file.seek(position + found.end())
            return found[1][0]
        position, data = position + len(data) - 1, data[-1:]
    return None


def _jpeg_ends(file):
    scan = file.tell()
    size = _end(file)
    for start in (size - 2, size - _TAIL):
        file.seek(max(scan, start))
        if b"\xff\xd9" in file.read():
            return True
    file.seek(scan)
    last = b""
    while block := file.read(_TAIL):
        if b"\xff\xd9" in last + block:
            return True
        last = block[-1:]
    return False


def _webp(file):
    size, room = _end(file), _Room()
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    width = height = frames = 0
    exif = packet = None
    position = 12
    while position + 8 <= min(end, size):
        file.seek(position)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"VP8X":
            data = file.read(10).ljust(10, b"\0")
            width, height = (1 + int.from_bytes(data[place : place + 3], "little") for place in (4, 7))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(file.read(5)[1:], "little")
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack("<HH", file.read(10)[6:].ljust(4, b"\0")))
        elif kind == b"EXIF":
            exif = room.read(file, length)
        elif kind == b"XMP ":
            packet = room.read(file, length)
        frames += kind == b"ANMF"
        position += 8 + length + length % 2
    exif = read_exif(exif) if exif else None
    return Header("webp", height, width, end <= size, 4, gray=False, frames=max(1, frames), exif=exif, xmp=packet)


def _tiff(file):
    try:
        layout, offset = read_layout(file)
        room = Room(file)
        pages = _tiff_pages(file, layout, offset, room)
    except IFD_ERRORS:
        return None
    everything = [entries for _, entries in pages]
    places = integers(pages[0][1], TiffTag.SUB_IFDS, layout)[:_MAX_SUB_IFDS]
    nested = [_tiff_or_nothing(file, layout, place, room) for place in places]

    def value(entries, tag, default=0):
        return first_integer(entries, tag, layout, default)

    def is_picture(entries):
        kind = value(entries, TiffTag.SUBFILE_TYPE)
        return not kind & 0b101 and value(entries, TiffTag.OLD_SUBFILE_TYPE) != 2  # neither thumbnail nor mask

    if (
        any(value(entries, TiffTag.PHOTOMETRIC) in (32803, 34892) for entries in (*everything, *nested))
        or TiffTag.DNG_VERSION in everything[0]
        or (nested and not is_picture(everything[0]))
    ):
        raise UnsupportedPicture(RAW)
    pictures = [number for number, entries in enumerate(everything) if is_picture(entries)] or [0]
    offset, entries = pages[pictures[0]]
    _check_tiff_values(entries, layout)
    size = _end(file)
    starts, lengths = (
        [number for tag in tags for number in integers(entries, tag, layout)]
        for tags in ((TiffTag.STRIP_OFFSETS, TiffTag.TILE_OFFSETS), (TiffTag.STRIP_BYTES, TiffTag.TILE_BYTES))
    )
    _, _, packet = entries.get(TiffTag.XMP, (0, 0, None))
    return Header(
        "tiff",
        value(entries, TiffTag.HEIGHT),
        value(entries, TiffTag.WIDTH),
        all(start + length <= size for start, length in itertools.zip_longest(starts, lengths, fillvalue=0)),
        pixel_bytes=value(entries, TiffTag.SAMPLES, 1) * (2 if value(entries, TiffTag.BITS, 1) > 8 else 1),
        gray=value(entries, TiffTag.PHOTOMETRIC) in (0, 1),
        frames=len(pictures),
        page=pictures[0],
        # TIFF 6.0 calls 0 "unspecified data"; where the tag is missing, programs mean transparency.
        channels=value(entries, TiffTag.SAMPLES, 1) - 1
        if integers(entries, TiffTag.EXTRA_SAMPLES, layout) == (0,)
        else 0,
        exif=read_exif(file, offset),
        xmp=packet,
    )


def _tiff_pages(file, layout, offset, room):
    """The offset and the IFD of each page, at least one."""
    pages, seen = [], set()
    while offset and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        try:
            entries, after = read_ifd(file, layout, offset, room)
        except IFD_ERRORS:
            break
        pages.append((offset, entries))
        offset = int.from_bytes(after, "little" if layout.order == "<" else "big")
    if not pages:
        raise ValueError("no page")
    return pages


def _tiff_or_nothing(file, layout, offset, room):
    try:
        return read_ifd(file, layout, offset, room)[0]
    except IFD_ERRORS:
        return {}


def _check_tiff_values(entries, layout):
    """Refuses values whose range is unknown, and channels that are neither gray nor RGB."""
    bits = max(integers(entries, TiffTag.BITS, layout), default=1)
    formats = set(integers(entries, TiffTag.SAMPLE_FORMAT, layout)) - {1, 4}  # unsigned, and not said
    photometric = first_integer(entries, TiffTag.PHOTOMETRIC, layout, 1)
    samples = first_integer(entries, TiffTag.SAMPLES, layout, 1)
    if bits > 16 and not formats & {3, 6}:
        reason = f"{bits}-bit values; save it with 8 or 16 bits"
    elif formats:
        values = "signed values" if formats == {2} else "floating-point values of unknown range"
        reason = f"{values}; save it with 8 or 16 bits"
    elif photometric in (8, 9, 10):
        reason = "L*a*b* colors; save it as RGB"
    elif samples - _TIFF_COLORS.get(photometric, samples) not in (0, 1):
        reason = f"{samples} channels that are neither gray nor RGB; save it as one of these"
    elif samples > 1 and integers(entries, TiffTag.PLANES, layout) == (2,) and TiffTag.TILE_OFFSETS in entries:
        reason = "tiles of separate planes; save it without tiles"
    else:
        return
    raise UnsupportedPicture(reason)


def _by_pillow(kind, is_complete, file):
    file.seek(0)
    image = BY_PILLOW[kind](file)
    width, height = image.size
    return Header(kind, height, width, is_complete(file, image), 4, gray=Image.getmodebase(image.mode) == "L")


def _gif_is_complete(file, image):
    """Whether the blocks of the first frame reach their terminator."""
    file.seek(image.tile[0][2])
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False


def _bmp_is_complete(file, image):
    """Whether all rows are there; the size in the header is ignored, since many programs state it wrongly."""
    codec, (_, _, _, height), start, options = image.tile[0]
    if codec == "raw":
        length = options[1] * height  # bytes of a row, with its padding
    else:  # run lengths, whose size only the header states
        file.seek(34)
        length = int.from_bytes(file.read(4), "little")
    return start + length <= _end(file)


_READERS: dict[str, Callable[[BinaryIO], Header | None]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "tiff": _tiff,
    "bmp": functools.partial(_by_pillow, "bmp", _bmp_is_complete),
    "gif": functools.partial(_by_pillow, "gif", _gif_is_complete),
}
