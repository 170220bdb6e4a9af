"""XMP packets, edited as text: what speaks of the size of a picture or of what lies behind it in its file.

A property is an attribute or an element of RDF; those here are always written with the prefixes of their standards.
"""

import re

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)([1-8])")
_RDF = re.compile(rb"<rdf:RDF\b[^>]*>(.*)</rdf:RDF>", re.DOTALL)
_GUID_BYTES = 32


def orientation(packet: bytes | None) -> int | None:
    """1 to 8, or None if the packet does not say."""
    found = _ORIENTATION.search(packet or b"")
    return int(found[2]) if found else None


def upright(packet: bytes) -> bytes:
    """The packet of the picture that has been turned upright."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def joined(packet: bytes | None, more: list[bytes]) -> bytes | None:
    """A JPEG's packet with what did not fit into its segment (XMP, part 3, section 1.1.3.1).

    Args:
        packet: The packet, or None.
        more: The other segments, each a digest, the length of all, its own place, and content.
    """
    if packet is None or not more:
        return packet
    name = re.search(rb"HasExtendedXMP(?:\s*=\s*[\"']|>)\s*([0-9A-F]{32})", packet)
    parts = {
        int.from_bytes(part[_GUID_BYTES + 4 : _GUID_BYTES + 8], "big"): part[_GUID_BYTES + 8 :]
        for part in more
        if name and part.startswith(name[1])
    }
    extension = _RDF.search(b"".join(parts[place] for place in sorted(parts)))
    main = _RDF.search(packet)
    if not extension or not main:
        return packet
    packet = packet[: main.end(1)] + extension[1] + packet[main.end(1) :]
    return re.sub(
        rb"\s*xmpNote:HasExtendedXMP\s*=\s*([\"']).*?\1|<xmpNote:HasExtendedXMP>.*?</xmpNote:\w+>", b"", packet
    )


def _removed(packet, prefix, names):
    """The packet without some properties, attributes or elements.

    Args:
        packet: The packet.
        prefix: Of the names.
        names: Regular expression.
    """
    name = rf"{prefix}:(?:{names})"
    pattern = rf"""\s+{name}\s*=\s*(?:"[^"]*"|'[^']*')|<({name})\b[^>]*(?:/>|(?<!/)>.*?</\1\s*>)"""
    return re.sub(pattern.encode(), b"", packet, flags=re.DOTALL)
