"""Plans the memory for an image, and the size of its tiles."""

import math

from srgan_tf.inference import tiling
from srgan_tf.system.errors import UserError
from srgan_tf.system.memory import free_host_bytes, resident_bytes

_FREE_SHARE = 0.5  # of the free memory to take if no limit is set
_RESERVE = 96 * 2**20  # bytes below an allowed peak for what Python and TensorFlow take besides what is counted
# The share of an image's memory that a padded tile may take. TensorFlow keeps it, so the rest is for the strips of
# later images, and for the kernels that oneDNN keeps for each of the last few hundred sizes, 0.8 MB each.
_TILE_SHARE = 0.75


def bytes_left(max_memory: int | None) -> int | None:
    """The memory that the process may still take below an allowed peak; None if there is no limit."""
    return None if max_memory is None else max_memory - _RESERVE - resident_bytes()


def plan_tiles(runner, picture, bands, dtype, *, side=None, max_memory=None, result_bytes=None, reserve=0):
    """Finds the size of the tiles of an image.

    Args:
        runner: The `TileRunner` that will compute the image.
        picture: The `tiling.Tiling` of the image.
        bands: Bands of the image.
        dtype: Type of the image.
        side: Side of the largest tile; 0: the whole image; None: the least work within the memory.
        max_memory: Memory that the process may have at its peak. None: half of the free memory more, or the smallest
            tile if that is not enough.
        result_bytes: Memory in which the caller holds the whole result; None if it is made strip by strip.
        reserve: Memory that the caller will take besides until the result is complete.

    Returns:
        `(tile, max_pixels)`: the height and width of a tile, without the margin; and the LR pixels that the padded
        tiles of several images together may have.

    Raises:
        UserError: `max_memory` does not suffice.
    """
    # Two strips, since the caller has one while the next is made.
    costs = runner.costs(bands, dtype, strips=2 if result_bytes is None else 0)
    left = bytes_left(max_memory)
    budget = int(_FREE_SHARE * max(free_host_bytes() - reserve, 0)) if left is None else left - reserve
    budget -= result_bytes or 0
    smallest = picture.smallest_tile()
    min_pixels = math.prod(picture.padded_size(smallest))
    max_pixels = _max_pixels(runner, picture.margin, costs, budget, min_pixels)
    if side is not None:
        tile = tuple(tiling.largest_part(length, side or length) for length in (picture.height, picture.width))
    else:
        tile = picture.choose_tile(costs, budget, max_pixels)
        if tile is None and max_memory is not None and costs.allocated >= min_pixels:
            budget += _RESERVE  # earlier images have used up a part of it
            tile = picture.choose_tile(costs, budget, costs.allocated)
    if max_memory is not None and (tile is None or picture.bytes_needed(tile, costs) > budget):
        tile = tile or smallest
        needed = max_memory - budget + picture.bytes_needed(tile, costs)
        raise UserError(
            f"max_memory of {max_memory >> 20:,} MiB does not suffice: {-(-needed >> 20):,} MiB are needed for tiles of"
            f" {tile[1]}x{tile[0]} in an image of {picture.width}x{picture.height} pixels; allow more"
            + (" or smaller tiles" if tile > smallest else "")
        )
    return tile or smallest, max_pixels


def _max_pixels(runner, margin, costs, budget, min_pixels):
    allocated_bytes = costs.allocated * costs.features
    affordable = (int(_TILE_SHARE * (budget + allocated_bytes)) - allocated_bytes) // costs.features
    within_budget = max(affordable, costs.allocated, min_pixels)
    return min(within_budget, max(runner.max_pixels, min_pixels), (tiling.LARGEST_SIDE + 2 * margin) ** 2)
