"""How a picture is cut into tiles: where they lie, and how large they may be. All lengths are LR pixels."""

import dataclasses
import math

LARGEST_SIDE = 512  # that is chosen: larger tiles save little more of the margins' work
SMALLEST_SIDE = 16  # that is chosen: a smaller tile needs hardly less memory, since it is nearly all margin


def cut(length, side):
    """Cuts an axis into as few parts as `side` allows, as equal as they can be.

    Args:
        length: Of the axis.
        side: Of the largest part.

    Returns:
        A list of `(start, stop)`.
    """
    count = -(-length // side)
    edges = [length * number // count for number in range(count + 1)]
    return list(zip(edges[:-1], edges[1:]))


def balanced(length, side):
    """The largest part that `cut` makes."""
    return -(-length // -(-length // side))


def widened(start, stop, margin, length, size=0):
    """A part of an axis with a margin on both sides, cut off at the picture's borders.

    Args:
        start: Of the part.
        stop: Of the part.
        margin: On both sides.
        length: Of the axis.
        size: Of the result, at least; as far as the picture goes.

    Returns:
        `(start, stop)`.
    """
    first = max(min(start - margin, length - size), 0)
    return first, min(max(stop + margin, first + size), length)


def quarters(tile):
    """The tiles with half its sides that fill a tile; one side, or both, stay where they are `SMALLEST_SIDE` or less.

    Args:
        tile: `(top, bottom, left, right)`.

    Returns:
        A list of one, two or four such tiles.
    """
    top, bottom, left, right = tile

    def halves(start, stop):
        side = max(-(-(stop - start) // 2), SMALLEST_SIDE)
        return [(start + first, start + last) for first, last in cut(stop - start, side)]

    return [(*rows, *columns) for rows in halves(top, bottom) for columns in halves(left, right)]


@dataclasses.dataclass(frozen=True)
class MemoryCosts:
    """What the memory goes to while a picture is computed strip by strip, and each strip tile by tile.

    Attributes:
        window: Bytes for each pixel of a tile with its margin: the network's features.
        read: Bytes for each pixel of a strip with its margin: the rows of the input.
        made: Bytes for each LR pixel of a strip: the rows of the result.
        spare: Pixels up to which a window takes nothing more than the process has.
    """

    window: int
    read: int = 0
    made: int = 0
    spare: int = 0


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The picture that is cut.

    Attributes:
        height: Rows.
        width: Columns.
        margin: What each tile is computed with on every side.
    """

    height: int
    width: int
    margin: int

    def window(self, tall, wide):
        """The size of all windows with tiles of `tall` x `wide`: `(rows, columns)`."""
        return min(tall + 2 * self.margin, self.height), min(wide + 2 * self.margin, self.width)

    def work(self, tall, wide):
        """Pixels of all windows together."""
        rows, columns = self.window(tall, wide)
        return -(-self.height // tall) * rows * -(-self.width // wide) * columns

    def _strip_bytes(self, tall, costs):
        rows, _ = self.window(tall, 0)
        return self.width * (rows * costs.read + min(tall, self.height) * costs.made)

    def needed(self, tall, wide, costs):
        """Bytes that tiles of `tall` x `wide` take."""
        pixels = math.prod(self.window(tall, wide))
        return self._strip_bytes(tall, costs) + (pixels * costs.window if pixels > costs.spare else 0)

    def smallest(self):
        """The smallest tile that is chosen: `(tall, wide)`."""
        return min(self.height, SMALLEST_SIDE), min(self.width, SMALLEST_SIDE)

    def choose(self, costs, limit, most):
        """The tile that makes the least work, or of those the one that takes the least memory.

        Args:
            costs: A `MemoryCosts`.
            limit: Bytes that may be taken.
            most: Pixels that a window may have.

        Returns:
            `(tall, wide)`; None if not even the smallest tile fits.
        """
        lowest, narrowest = self.smallest()
        found = []
        for tall in {balanced(self.height, side) for side in range(lowest, LARGEST_SIDE + 1)}:
            left = limit - self._strip_bytes(tall, costs)
            if left < 0:
                continue
            columns = min(max(left // costs.window, costs.spare), most) // self.window(tall, 0)[0]
            wide = self.width if columns >= self.width else columns - 2 * self.margin
            if wide >= narrowest:
                wide = balanced(self.width, wide)
                found.append((self.work(tall, wide), self.needed(tall, wide, costs), (tall, wide)))
        return min(found)[-1] if found else None
