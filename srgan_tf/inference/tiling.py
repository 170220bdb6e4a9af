"""The geometry of tiles: where they lie in a picture, and how large they may be. All lengths are LR pixels.

A padded tile is a tile with a margin on every side, as far as the picture goes: what the network computes it from.
"""

import dataclasses
import math

LARGEST_SIDE = 512  # that is chosen: larger tiles save little more of the margins' work
SMALLEST_SIDE = 16  # that is chosen: a smaller tile needs hardly less memory, since it is nearly all margin


def split(length, side):
    """Splits an axis into as few parts as `side` allows, as equal as they can be: a list of `(start, stop)`."""
    count = -(-length // side)
    edges = [length * number // count for number in range(count + 1)]
    return list(zip(edges[:-1], edges[1:]))


def largest_part(length, side):
    """The length of the largest part that `split` makes."""
    return -(-length // -(-length // side))


def padded(start, stop, margin, length, size=0):
    """The `(start, stop)` of a part of an axis with a margin on both sides, clipped at the picture's borders; it is
    `size` long at least, as far as the picture goes."""
    first = max(min(start - margin, length - size), 0)
    return first, min(max(stop + margin, first + size), length)


def quarters(tile):
    """The tiles, one, two or four, of half the sides that make up a tile, `(top, bottom, left, right)`; sides of
    `SMALLEST_SIDE` or less stay whole."""
    top, bottom, left, right = tile

    def halves(start, stop):
        side = max(-(-(stop - start) // 2), SMALLEST_SIDE)
        return [(start + first, start + last) for first, last in split(stop - start, side)]

    return [(*rows, *columns) for rows in halves(top, bottom) for columns in halves(left, right)]


@dataclasses.dataclass(frozen=True)
class MemoryCosts:
    """What the memory goes to while a picture is computed strip by strip, and each strip tile by tile.

    Attributes:
        features: Bytes for each pixel of a padded tile: the network's features.
        input: Bytes for each pixel of a strip with its margin: the rows of the picture.
        output: Bytes for each LR pixel of a strip: the rows of the result.
        allocated: Pixels up to which a padded tile takes nothing more than the process has allocated.
    """

    features: int
    input: int = 0
    output: int = 0
    allocated: int = 0


@dataclasses.dataclass(frozen=True)
class Tiling:
    """A picture that is computed in tiles. A tile's size is `(height, width)`, without the margin on every side."""

    height: int
    width: int
    margin: int

    def padded_size(self, tile):
        """The size of all padded tiles: `(height, width)`."""
        height, width = tile
        return min(height + 2 * self.margin, self.height), min(width + 2 * self.margin, self.width)

    def pixels_computed(self, tile):
        """The pixels of all padded tiles together."""
        return -(-self.height // tile[0]) * -(-self.width // tile[1]) * math.prod(self.padded_size(tile))

    def _strip_bytes(self, height, costs):
        padded_height, _ = self.padded_size((height, 0))
        return self.width * (padded_height * costs.input + min(height, self.height) * costs.output)

    def bytes_needed(self, tile, costs):
        """The memory that tiles of a size take."""
        pixels = math.prod(self.padded_size(tile))
        return self._strip_bytes(tile[0], costs) + (pixels * costs.features if pixels > costs.allocated else 0)

    def smallest_tile(self):
        """The smallest size that is chosen."""
        return min(self.height, SMALLEST_SIDE), min(self.width, SMALLEST_SIDE)

    def choose_tile(self, costs, max_bytes, max_pixels):
        """The size that makes the least work, or of those the one that takes the least memory; None if none fits.

        Args:
            costs: `MemoryCosts`.
            max_bytes: That may be taken.
            max_pixels: That a padded tile may have.
        """
        lowest, narrowest = self.smallest_tile()
        candidates = []
        for height in {largest_part(self.height, side) for side in range(lowest, LARGEST_SIDE + 1)}:
            left = max_bytes - self._strip_bytes(height, costs)
            if left < 0:
                continue
            columns = min(max(left // costs.features, costs.allocated), max_pixels) // self.padded_size((height, 0))[0]
            width = self.width if columns >= self.width else columns - 2 * self.margin
            if width >= narrowest:
                tile = height, largest_part(self.width, width)
                candidates.append((self.pixels_computed(tile), self.bytes_needed(tile, costs), tile))
        return min(candidates)[-1] if candidates else None
