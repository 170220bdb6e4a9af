"""How much memory a picture may take, and the tiles that follow from it."""

import math

from srgan_tf.inference import tiling
from srgan_tf.system.errors import UserError
from srgan_tf.system.memory import free_host_bytes, resident_bytes

_SHARE = 0.5  # of the free memory that is taken where no limit is set
# What an allowed peak is undercut by: what Python and TensorFlow take besides what is counted.
_RESERVE = 96 * 2**20
# Of what is there for a picture, the share that its windows may take. TensorFlow keeps that, so the rest is for the
# strips of later pictures; and for the kernels that oneDNN keeps for each of the last few hundred sizes, 0.8 MB each.
_SHARE_OF_WINDOWS = 0.75


def find_tile(windows, extent, bands, dtype, side=None, max_memory=None, whole=None, held=0):
    """Finds how a picture is to be cut.

    Args:
        windows: The `TileRunner` that will compute it.
        extent: Its `tiling.Tiling`.
        bands: Of the picture.
        dtype: Of the picture.
        side: Of the largest tile, 0: the whole picture; None: what makes the least work within the memory.
        max_memory: Bytes that the process may have at its peak. None: half of what is free more, or the smallest tile
            where that is not enough.
        whole: Bytes that the caller holds the result in; None if it is made strip by strip.
        held: Bytes that the caller will take besides until the result is out.

    Returns:
        `(tile, most)`: its rows and columns, without the margin; and the LR pixels that the windows of several pictures
        together may have.

    Raises:
        UserError: `max_memory` does not suffice.
    """
    # Two strips, as the caller has one while the next is made.
    costs = windows.costs(bands, dtype, made=2 if whole is None else 0)
    if max_memory is None:
        limit = int(_SHARE * max(free_host_bytes() - held, 0))
    else:
        limit = max_memory - _RESERVE - resident_bytes() - held
    limit -= whole or 0
    least = math.prod(extent.window(*extent.smallest()))
    most = _most(windows, extent, costs, limit, least)
    if side is not None:
        sides = (extent.height, extent.width)
        tile = tuple(tiling.balanced(length, min(side or length, length)) for length in sides)
    else:
        tile = extent.choose(costs, limit, most)
        if tile is None and max_memory is not None and costs.spare >= least:
            limit += _RESERVE  # which earlier pictures have eaten into
            tile = extent.choose(costs, limit, costs.spare)
    if max_memory is not None and (tile is None or extent.needed(*tile, costs) > limit):
        raise UserError(_too_small(max_memory, extent, tile or extent.smallest(), costs, limit))
    return tile or extent.smallest(), most


def _most(windows, extent, costs, limit, least):
    kept = costs.spare * costs.window
    paid = (int(_SHARE_OF_WINDOWS * (limit + kept)) - kept) // costs.window
    within = max(paid, costs.spare, least)
    return min(within, max(windows.most, least), (tiling.LARGEST_SIDE + 2 * extent.margin) ** 2)


def _too_small(max_memory, extent, tile, costs, limit):
    needed = max_memory - limit + extent.needed(*tile, costs)
    return (
        f"max_memory of {max_memory >> 20:,} MiB does not suffice: {-(-needed >> 20):,} MiB are needed for tiles of"
        f" {tile[1]}x{tile[0]} in a picture of {extent.width}x{extent.height} pixels; allow more"
        + (" or smaller tiles" if tile > extent.smallest() else "")
    )
