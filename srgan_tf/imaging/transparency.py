"""Colors under transparency, which must not be seen at its rim when a picture is enlarged."""

import numpy as np

_RADII = 1, 3, 7, 15  # of the windows, pixels
REACH = _RADII[-1]  # pixels that a filled color depends on, to each side


def fill_hidden(pixels: np.ndarray) -> np.ndarray:
    """The colors of pictures, those that alpha hides wholly replaced by the mean of visible ones beside them.

    The mean is weighted by alpha, over the smallest square window that holds something visible, up to `REACH`; a color
    further away stays. A network that enlarges the result sees no edge where the visible part ends. Integer arithmetic
    makes it the same in a part of a picture, but for `REACH` pixels at the part's border.

    Args:
        pixels: uint8 or uint16 `(N, H, W, bands)`, the last band alpha.

    Returns:
        `(N, H, W, bands - 1)` of the same type.
    """
    colors, alpha = pixels[..., :-1], pixels[..., -1:]
    left = alpha[..., 0] == 0
    if not left.any() or left.all():
        return colors
    filled = colors.copy()
    weighted = np.concatenate([colors * alpha.astype(np.int64), alpha], axis=-1)
    for radius in _RADII:
        sums = _window_sums(_window_sums(weighted, radius, 1), radius, 2)[left]
        seen = sums[:, -1] > 0
        places = tuple(axis[seen] for axis in np.nonzero(left))
        filled[places] = (sums[seen, :-1] + sums[seen, -1:] // 2) // sums[seen, -1:]
        left[places] = False
    return filled


def _window_sums(values, radius, axis):
    """Sums over `2 radius + 1` values along an axis, fewer at its ends."""
    sums = np.insert(np.cumsum(values, axis=axis), 0, 0, axis=axis)
    places = np.arange(values.shape[axis])
    last = len(places)
    after, before = np.minimum(places + radius + 1, last), np.maximum(places - radius, 0)
    return sums.take(after, axis=axis) - sums.take(before, axis=axis)
