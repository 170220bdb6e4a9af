"""An ICC profile for the colors that a PNG states by other chunks, for formats that have only profiles.

PNG 3rd edition, section 4.3, defines the order: cICP, else iCCP, else sRGB, else gAMA and cHRM. ICC.1:2022 describes
profiles, ITU-T H.273 the numbers of cICP.
"""

import struct
from collections.abc import Sequence

import numpy as np

_SRGB = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), (0.3127, 0.329))  # x, y of red, green, blue and white
_PRIMARIES = {
    1: _SRGB,
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), (0.3127, 0.329)),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), (0.3127, 0.329)),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), (0.3127, 0.329)),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329)),
}
# Parametric curves: (g,), or (g, a, b, c, d) for (a x + b)^g from x = d on and c x below.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES = {1: _BT709_CURVE, 4: (2.2,), 5: (2.8,), 6: _BT709_CURVE, 8: (1.0,), 13: _SRGB_CURVE}
_CURVES |= {14: _BT709_CURVE, 15: _BT709_CURVE}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def png_profile(chunks: dict[bytes, bytes], gray: bool) -> bytes | None:
    """An ICC profile for the colors that a PNG's chunks state.

    Args:
        chunks: A dict from kind to data.
        gray: Whether the image is gray.

    Returns:
        None if the chunks state nothing or sRGB, or hold a profile themselves.

    Raises:
        ValueError: A profile of this simple kind cannot describe the colors, such as HDR.
    """
    primaries: Sequence
    curve: tuple[float, ...]
    primaries, curve = _SRGB, _SRGB_CURVE
    if b"cICP" in chunks:
        first, transfer, matrix, full = chunks[b"cICP"].ljust(4, b"\0")[:4]
        if first not in _PRIMARIES or transfer not in _CURVES or matrix or not full:
            raise ValueError(f"cICP {first}-{transfer}-{matrix}-{full}")
        primaries, curve = _PRIMARIES[first], _CURVES[transfer]
    elif chunks.keys() & {b"iCCP", b"sRGB"} or not chunks.keys() & {b"gAMA", b"cHRM"}:
        return None
    else:
        if len(chunks.get(b"cHRM", b"")) == 32:
            x_y = [number / 100_000 for number in struct.unpack(">8I", chunks[b"cHRM"])]
            white, *others = zip(x_y[::2], x_y[1::2])
            primaries = (*others, white)
        if any(chunks.get(b"gAMA", b"")):
            curve = (100_000 / int.from_bytes(chunks[b"gAMA"], "big"),)
    if (primaries, curve) == (_SRGB, _SRGB_CURVE):
        return None
    return _profile(np.array(primaries, float), curve, gray)


def _profile(primaries, curve, gray):
    if not (primaries[:, 1] > 0).all() or abs(np.linalg.det(_xyz(primaries[:3]))) < 1e-6 or curve[0] > 100:
        raise ValueError("impossible colors")
    white = _xyz(primaries[3:])[:, 0]
    colors = _xyz(primaries[:3])
    colors = colors * np.linalg.solve(colors, white)
    cones = np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white))
    colors = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ colors
    trc = b"para" + struct.pack(">IHH", 0, 3 if len(curve) > 1 else 0, 0) + _fixed(*curve)
    tags = {b"desc": _text("Colors of a PNG"), b"cprt": _text("No copyright, use freely"), b"wtpt": _xyz_tag(_D50)}
    if gray:
        tags[b"kTRC"] = trc
    else:
        for letter, color in zip((b"r", b"g", b"b"), colors.T):
            tags |= {letter + b"XYZ": _xyz_tag(color), letter + b"TRC": trc}
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    space = b"GRAY" if gray else b"RGB "
    head = struct.pack(">I4sI4s4s4s", start + len(data), bytes(4), 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + table + data


def _xyz(places):
    """XYZ, in columns, of chromaticities x, y at Y = 1."""
    x, y = places.T
    return np.array([x / y, np.ones_like(x), (1 - x - y) / y])


def _fixed(*numbers):
    try:
        return struct.pack(f">{len(numbers)}i", *(round(65536 * number) for number in numbers))
    except (OverflowError, struct.error):
        raise ValueError("impossible colors") from None


def _xyz_tag(color):
    return b"XYZ " + bytes(4) + _fixed(*color)


def _text(text):
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(encoded), 28) + encoded
