"""The report's figures: strips of upscaled crops, and PSNR against LPIPS."""

import io
import math
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srgan_tf.evaluation.records import HR, LR, Score, by_set, strength_of, used_columns
from srgan_tf.imaging.color import luma

Layers = Mapping[str, NDArray[np.uint8]]  # by system, RGB (H, W, 3), all of one size
CROP = 64  # side of the region that a strip shows, pixels
PANEL = 256  # largest side of the upscaled region, pixels
_IN_A_ROW = 6
_IN_STRIPS = ("psnr", "paper_ssim", "lpips")  # scores below the panels
_GAP, _TEXT = 8, 40  # pixels between panels, and for the two lines below each
_FRAME = (255, 45, 85)
_MIN_FRAME = 3  # pixels
_FONT, _MARKER = 9, 5  # size of names, and radius of markers, in points
# Candidate positions of a name: distances of its edge from the marker's centre, in points, and directions, best first.
_DISTANCES = (7, 15, 25, 40, 60)
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def region(layers: Layers) -> tuple[int, int, int]:
    """The region in which systems differ most: the square with the greatest variance of Y among them.

    The original and nearest, which differs from all others at every edge, do not count, unless fewer than two remain.

    Returns:
        `(top, left, side)` in pixels; the side is `CROP`, or less in a smaller image. The centre if all are equal.
    """
    systems = [image for name, image in layers.items() if name not in (HR, LR, "nearest")]
    if len(systems) < 2:
        systems = list(layers.values())
    height, width = systems[0].shape[:2]
    side = min(CROP, height, width)
    total, squares = np.zeros((height, width)), np.zeros((height, width))
    first = luma(systems[0])  # subtracted, so that equal images give exactly 0
    for image in systems:
        difference = luma(image) - first
        total += difference
        squares += difference**2
    variance = squares / len(systems) - (total / len(systems)) ** 2
    if variance.max() <= 0:
        return (height - side) // 2, (width - side) // 2, side
    table = np.pad(variance, ((1, 0), (1, 0))).cumsum(0).cumsum(1)  # summed-area table
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), side


@cache
def font(size: int, weight: str = "regular") -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, for Pillow."""
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight))
    return ImageFont.truetype(path, size)


def strip(
    layers: Layers, place: tuple[int, int, int], title: str = "", scores: Mapping[str, Score] | None = None
) -> Image.Image:
    """An RGB image of panels, at most 6 in a row: the whole image with a region marked, then the region of each system,
    upscaled by nearest. The title and the systems' `scores`, if any, are below the panels."""
    top, left, side = place
    factor = max(1, PANEL // side)
    panel = side * factor
    whole = layers.get(HR, next(iter(layers.values())))
    scores = scores or {}
    columns = [column for column in used_columns(scores.values()) if column.key in _IN_STRIPS]
    panels = [(_overview(whole, place, panel), title, " / ".join(column.heading for column in columns))]
    for system, image in layers.items():
        crop = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
        score = scores.get(system)
        numbers = [column.text(score.values) or "–" for column in columns] if score else []
        panels.append((crop.resize((panel, panel), Image.Resampling.NEAREST), system, " / ".join(numbers)))

    width = max(panel, PANEL)  # wide enough for names also with a tiny image
    across = min(len(panels), _IN_A_ROW)
    down = math.ceil(len(panels) / across)
    sheet = Image.new("RGB", (across * (width + _GAP) + _GAP, down * (panel + _GAP + _TEXT) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (shown, name, caption) in enumerate(panels):
        x = _GAP + number % across * (width + _GAP)
        y = _GAP + number // across * (panel + _GAP + _TEXT)
        sheet.paste(shown, (x + (width - shown.width) // 2, y + (panel - shown.height) // 2))
        for line, (text, drawn) in enumerate(((name, font(14, "bold")), (caption, font(12)))):
            draw.text((x + width // 2, y + panel + 12 + 18 * line), _fitted(text, drawn, width), "black", drawn, "mm")
    return sheet


def _overview(picture, place, side):
    """The whole image, resized to fit into a square, with a frame around the region."""
    top, left, length = place
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
    corner = left * scale, top * scale
    far = [max(start + length * scale - 1, start + _MIN_FRAME) for start in corner]
    ImageDraw.Draw(small).rectangle((*corner, *far), outline=_FRAME, width=2)
    return small


def _fitted(text, font, width):
    """The text in one line; if it is too long, an ellipsis replaces its middle."""
    text = " ".join(text.split())
    kept = text
    while len(kept) > 3 and font.getlength(kept) > width:
        length = len(kept) - 2
        kept = text[: (length + 1) // 2] + "…" + text[len(text) - length // 2 :]
    return kept


def psnr_lpips(rows: Iterable[Score]) -> tuple[bytes | None, list[Score]]:
    """A figure of PSNR against LPIPS of all systems, with a panel for each set; better is up and to the right.

    Returns:
        `(png, left_out)`: the file as bytes, or None if nothing can be drawn; and the rows without a finite PSNR or
        LPIPS, which are not in it.
    """
    drawn = [row for row in rows if _finite(row["psnr"]) and _finite(row["lpips"])]
    left_out = [row for row in rows if row not in drawn]
    if not drawn:
        return None, left_out
    sets = by_set(drawn)
    across = min(3, len(sets))
    down = math.ceil(len(sets) / across)
    figure = Figure(figsize=(max(6.4, 4.8 * across), 4.2 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    systems = list(dict.fromkeys(row.system for row in drawn))
    for axis, (name, own) in zip(axes, sets.items()):
        axis.set_title(literal(name))
        axis.set(xlabel="PSNR, dB (higher is better)", ylabel="LPIPS (lower is better)")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        for row in own:
            color = f"C{systems.index(row.system) % 10}"
            axis.plot(
                row["psnr"],
                row["lpips"],
                "s" if row.published else "o",
                color=color,
                fillstyle="none" if row.published else "full",
                markersize=8,
            )
        for curve in _curves(own):
            axis.plot(*zip(*map(_place, curve)), color="0.6", linewidth=1, zorder=0)
        axis.margins(x=0.2, y=0.12)  # for the names
        axis.invert_yaxis()
    for axis in axes[len(sets) :]:
        axis.remove()
    figure.draw_without_rendering()  # lays it out
    for axis, own in zip(axes, sets.values()):
        _label(axis, own)
    return png(figure, dpi=150), left_out


def _curves(rows):
    """The systems of a dial, and their self-ensembles, each from strength 0 to 1."""
    dials = {}
    for row in rows:
        if strength_of(row.system):
            dials.setdefault(row.system.endswith("+"), []).append(row)
    return list(dials.values())


def _label(axis, rows):
    """Writes the name of each point where it hides the least, with a line to the point if it is not beside it."""
    names = {row.system: row.system for row in rows}
    names |= {row.system: strength_of(row.system) for curve in _curves(rows) for row in curve[1:]}
    in_points = 72 / axis.figure.dpi
    points = axis.transData.transform([_place(row) for row in rows]) * in_points
    edges = Bbox(axis.bbox.get_points() * in_points)
    boxes = [Bbox([point - _MARKER, point + _MARKER]) for point in points]
    lines = [Path(axis.transData.transform(list(map(_place, curve))) * in_points) for curve in _curves(rows)]
    for number, (row, point) in enumerate(zip(rows, points)):
        name = literal(names[row.system])
        half = TextPath((0, 0), name, size=_FONT).get_extents().size / 2 + 1
        offsets = [np.array(way) * (distance + half) for distance in _DISTANCES for way in _WAYS]
        found = [Bbox([point + offset - half, point + offset + half]) for offset in offsets]
        others = boxes[:number] + boxes[number + 1 :]
        hidden = [_hidden(box, Path([point, point + way]), others, lines, edges) for box, way in zip(found, offsets)]
        best = int(np.argmin(hidden))
        boxes.append(found[best])
        style = {"fontsize": _FONT, "ha": "center", "va": "center"}
        if best >= len(_WAYS):
            style["arrowprops"] = {"arrowstyle": "-", "color": "0.6", "lw": 0.6, "shrinkB": _MARKER}
        axis.annotate(name, _place(row), offsets[best], textcoords="offset points", **style).set_in_layout(False)


def _place(row):
    return row["psnr"], row["lpips"]


def _hidden(box, leader, others, lines, edges):
    """How much a name hides: other points, names and lines; and points and names that its line to its point crosses."""
    count = sum(2 * box.overlaps(other) + leader.intersects_bbox(other, filled=False) for other in others)
    count += sum(line.intersects_bbox(box, filled=False) for line in lines)
    inside = edges.contains(*box.min) and edges.contains(*box.max)
    return count if inside else count + 3 * len(others) + len(lines) + 1


def png(figure: Figure, dpi: int = 120) -> bytes:
    """The PNG file of a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def literal(text: str) -> str:
    """A name escaped for matplotlib."""
    text = text.encode(errors="backslashreplace").decode()  # a folder's name need not be text
    return text.replace("$", r"\$")  # which starts a formula


def _finite(value):
    return value is not None and math.isfinite(value)
