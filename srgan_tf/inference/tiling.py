"""The geometry of tiles: where they lie in an image, and how large they may be. All lengths are LR pixels.

A padded tile is a tile with a margin on every side, as far as the image goes; it is the input of the network.
"""

import dataclasses
import math

LARGEST_SIDE = 512  # larger tiles would hardly save work in the margins
SMALLEST_SIDE = 16  # smaller tiles would hardly save memory, since they are nearly all margin


def split(length, side):
    """Splits an axis into the fewest parts no longer than `side`, as equal as possible: a list of `(start, stop)`."""
    count = -(-length // side)
    edges = [length * number // count for number in range(count + 1)]
    return list(zip(edges[:-1], edges[1:]))


def largest_part(length, side):
    """The length of the largest part that `split` makes."""
    return -(-length // -(-length // side))


def padded(start, stop, margin, length, size=0):
    """`(start, stop)` of a part of an axis with a margin on both sides, clipped at the image's borders; at least `size`
    long, as far as the image goes."""
    first = max(min(start - margin, length - size), 0)
    return first, min(max(stop + margin, first + size), length)


def quarters(tile):
    """Halves the sides of a tile, `(top, bottom, left, right)`, unless they are `SMALLEST_SIDE` or less: a list of one,
    two or four tiles."""
    top, bottom, left, right = tile

    def halves(start, stop):
        side = max(-(-(stop - start) // 2), SMALLEST_SIDE)
        return [(start + first, start + last) for first, last in split(stop - start, side)]

    return [(*rows, *columns) for rows in halves(top, bottom) for columns in halves(left, right)]


@dataclasses.dataclass(frozen=True)
class MemoryCosts:
    """The memory for computing an image strip by strip, and each strip tile by tile.

    Attributes:
        features: Bytes for each pixel of a padded tile, for the network's features.
        input: Bytes for each pixel of a strip with its margin, for the rows of the image.
        output: Bytes for each LR pixel of a strip, for the rows of the result.
        allocated: A padded tile of up to so many pixels takes no more than the process has already allocated.
    """

    features: int
    input: int = 0
    output: int = 0
    allocated: int = 0


@dataclasses.dataclass(frozen=True)
class Tiling:
    """An image that is computed in tiles. A tile's size is `(height, width)`, without the margin on every side."""

    height: int
    width: int
    margin: int

    def padded_size(self, tile):
        """The size of all padded tiles: `(height, width)`."""
        height, width = tile
        return min(height + 2 * self.margin, self.height), min(width + 2 * self.margin, self.width)

    def pixels_computed(self, tile):
        """The number of pixels of all padded tiles together."""
        return -(-self.height // tile[0]) * -(-self.width // tile[1]) * math.prod(self.padded_size(tile))

    def _strip_bytes(self, height, costs):
        padded_height, _ = self.padded_size((height, 0))
        return self.width * (padded_height * costs.input + min(height, self.height) * costs.output)

    def bytes_needed(self, tile, costs):
        """The memory that tiles of this size take."""
        pixels = math.prod(self.padded_size(tile))
        return self._strip_bytes(tile[0], costs) + (pixels * costs.features if pixels > costs.allocated else 0)

    def smallest_tile(self):
        """The smallest size that is chosen."""
        return min(self.height, SMALLEST_SIDE), min(self.width, SMALLEST_SIDE)

    def choose_tile(self, costs, max_bytes, max_pixels):
        """The tile size with the least work and, among those, with the least memory; None if none fits.

        Args:
            costs: `MemoryCosts`.
            max_bytes: Memory that may be taken.
            max_pixels: Pixels that a padded tile may have.
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
