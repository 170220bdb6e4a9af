"""Colors and shares of the map of invention, see `invention`."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LOW, HIGH = 3.0, 10.0  # expected errors, levels of 255 in Y: below LOW little is invented, above HIGH much
MOST = 20.0  # level of the last color
LEGEND_ROWS, _FONT, _SMALLEST_FONT = 64, 14, 8  # pixels


@dataclasses.dataclass
class Invention:
    """How much of an image is invented.

    Attributes:
        pixels: Pixels of the upscaled image so far.
        high: Pixels with an expected error above `HIGH`.
        low: Pixels with an expected error below `LOW`.
    """

    pixels: int = 0
    high: int = 0
    low: int = 0

    @classmethod
    def of(cls, error: NDArray[np.float32]) -> "Invention":
        """Counts the pixels of a whole map."""
        invention = cls()
        invention.add(error)
        return invention

    def add(self, error):
        """Counts the pixels of a part of a map."""
        self.pixels += error.size
        self.high += int(np.count_nonzero(error > HIGH))
        self.low += int(np.count_nonzero(error < LOW))

    def _shares(self):
        return (f"{count / max(self.pixels, 1):.0%}".replace("%", " %") for count in (self.high, self.low))

    @property
    def legend(self):
        """The shares of the pixels in few words."""
        high, low = self._shares()
        return f"{high} high (above {HIGH:g}), {low} low (below {LOW:g})"

    def __str__(self):
        high, low = self._shares()
        return f"{high} of the pixels are high (expected error above {HIGH:g} of 255 levels), {low} low (below {LOW:g})"


def colored(error: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Levels `(H, W)` in the colors of viridis: RGB `(H, W, 3)`."""
    return _table()[np.rint(np.minimum(error / MOST, 1) * 255).astype(np.uint8)]


def _table():
    import matplotlib  # here, as it takes a while

    return np.rint(255 * matplotlib.colormaps["viridis"](np.arange(256))[:, :3]).astype(np.uint8)


def legend(width: int, text: str) -> NDArray[np.uint8]:
    """RGB `(LEGEND_ROWS, width, 3)`: the colors with their levels, and a text, cut off if it is too long."""
    sheet = Image.new("RGB", (width, LEGEND_ROWS), "white")
    draw, font, right = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT), max(min(width, 512) - 8, 9)
    fitting = (right - 8) / font.getlength(text)
    if fitting < 1:
        font = ImageFont.load_default(max(fitting * _FONT, _SMALLEST_FONT))
    colors = _table()[np.linspace(0, 255, right - 8).astype(int)]
    sheet.paste(Image.fromarray(np.broadcast_to(colors, (14, *colors.shape)).copy()), (8, 4))
    for level in (0, LOW, HIGH, MOST):
        x = 8 + round((right - 8) * level / MOST)
        label = f"{level:g}" if level < MOST else f"{level:g}{'+' if fitting < 1 else ' levels or more'}"
        draw.text((x, 20), label, "black", font, anchor="ra" if level == MOST else "la")
    draw.text((8, 42), text, "black", font)
    return np.asarray(sheet)
