"""Edits XMP packets as text: properties about the size of an image, or about data appended to its file.

A property is an attribute or an element of RDF; those here are always written with the prefixes of their standards.
A packet may come from anywhere and be as long as a file, so all of this takes time in proportion to its length: no
regular expression starts with whitespace that could be at many places of a run of it, as at a packet's end.
"""

import contextlib
import functools
import re
from xml.parsers import expat

# Properties that count pixels along rows and along columns, by the usual prefix of their namespace.
_ACROSS = {
    "GPano": r"(?:CroppedAreaImageWidth|FullPanoWidth|CroppedAreaLeft)Pixels|LargestValidInteriorRect(?:Width|Left)"
}
_DOWN = {
    "GPano": r"(?:CroppedAreaImageHeight|FullPanoHeight|CroppedAreaTop)Pixels|LargestValidInteriorRect(?:Height|Top)"
}
_ACROSS["stDim"], _DOWN["stDim"] = "w", "h"
# Properties about the stored size, or about a video, gain map, depth map or thumbnail, which are not copied.
_GONE = {
    "G?Camera": r"(?:MicroVideo|MotionPhoto)\w*",
    "G?Container": r"Directory",
    "hdrgm": r"\w+",
    "HDRGainMap": r"\w+",
    "apdi": r"\w+",
    "GDepth": r"\w+",
    "GImage": r"\w+",
    "xmp": r"Thumbnails",
    "tiff": r"ImageWidth|ImageLength",
    "exif": r"PixelXDimension|PixelYDimension",
}
_VALUE = r"(?:\s*=\s*[\"']|\s*>)\s*"  # what comes between a property's name and its value
_ORIENTATION = re.compile(rf"(tiff:Orientation{_VALUE})([1-8])".encode())
_GUID_BYTES = 32


def orientation(packet: bytes | None) -> int | None:
    """The orientation, 1 to 8; None if the packet does not state it."""
    found = _ORIENTATION.search(packet or b"")
    return int(found[2]) if found else None


def upright(packet: bytes, turned: bool) -> bytes:
    """The packet for the upright image, without properties that do not apply to another file; if it was `turned` by 90
    degrees, also without those of a panorama."""
    gone = _GONE | ({"GPano": r"\w+"} if turned else {})
    packet = _removed(packet, "|".join(f"{prefix}:(?:{names})" for prefix, names in gone.items()))
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def resized(packet: bytes, down: float, across: float) -> bytes:
    """The packet for an image with `down` times the rows and `across` times the columns."""
    for factor, properties in ((across, _ACROSS), (down, _DOWN)):
        for prefix, names in properties.items():
            pattern = rf"(\b{prefix}:(?:{names}){_VALUE})(\d{{1,9}}(?:\.\d+)?)".encode()
            packet = re.sub(pattern, functools.partial(_multiplied, factor), packet)
    return packet


def _multiplied(factor, found):
    return found[1] + b"%d" % round(float(found[2]) * factor)


def pointer(digest: bytes) -> bytes:
    """The packet of a JPEG whose properties are all in extension segments with this MD5."""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/>'
        b"</rdf:RDF></x:xmpmeta>" % digest
    )


def joined(packet: bytes | None, more: list[bytes]) -> bytes | None:
    """A JPEG's packet together with its extension segments, each of which has a digest, the length of all, its offset,
    and content (XMP, part 3, section 1.1.3.1)."""
    if packet is None or not more:
        return packet
    name = re.search(rf"HasExtendedXMP{_VALUE}([0-9A-F]{{32}})".encode(), packet)
    parts = {
        int.from_bytes(part[_GUID_BYTES + 4 : _GUID_BYTES + 8], "big"): part[_GUID_BYTES + 8 :]
        for part in more
        if name and part.startswith(name[1])
    }
    extension = b"".join(parts[place] for place in sorted(parts))
    added, main = _rdf(extension), _rdf(packet)
    if not added or not main:
        return packet
    packet = packet[: main.stop] + extension[added] + packet[main.stop :]
    return re.sub(
        rb"(?<!\s)\s*xmpNote:HasExtendedXMP\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')"
        rb"|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>",
        b"",
        packet,
    )


def _rdf(packet):
    """The slice of what the element rdf:RDF of a packet holds; None without one."""
    start = packet.find(b">", packet.find(b"<rdf:RDF")) + 1
    stop = packet.rfind(b"</rdf:RDF>")
    return slice(start, stop) if b"<rdf:RDF" in packet and 0 < start <= stop else None


def _removed(packet, names):
    """The packet without the properties, attributes or elements, whose names match a regular expression."""
    packet = re.sub(rf"""(?<!\s)\s+(?:{names})\s*=\s*(?:"[^"]*"|'[^']*')""".encode(), b"", packet)
    if not re.search(rf"<(?:{names})[\s/>]".encode(), packet):  # parsing takes ten times as long
        return packet
    parser, opened, found = expat.ParserCreate(), [], []

    def start(name, attributes):
        opened.append(parser.CurrentByteIndex)

    def end(name):
        begin, stop = opened.pop(), parser.CurrentByteIndex  # start of its end tag, or end of an empty element
        if re.fullmatch(names, name):
            tag = f"</{name}".encode()
            after = packet.find(b">", stop) + 1
            is_its_own = packet.startswith(tag, stop) and not packet[stop + len(tag) : after - 1].strip()
            found.append((begin, after if is_its_own else stop))

    def refuse(*_):
        raise ValueError("entities, which could multiply its length")

    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, refuse
    with contextlib.suppress(expat.ExpatError, ValueError):
        parser.Parse(packet, True)
    kept, position = [], 0
    for begin, stop in sorted(found):
        if begin >= position:  # not within the one before
            kept.append(packet[position:begin])
            position = stop
    return b"".join([*kept, packet[position:]])
