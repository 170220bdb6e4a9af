"""Replaces colors under full transparency, which would show at the edges when an image is upscaled."""

import numpy as np

_RADII = 1, 3, 7, 15  # of the windows, pixels
REACH = _RADII[-1]  # a filled color depends on so many pixels to each side


def fill_hidden(pixels: np.ndarray) -> np.ndarray:
    """The colors of images, where fully transparent pixels get the mean color of visible pixels nearby.

    The mean is weighted by alpha, over the smallest square window with a visible pixel, up to `REACH`; a pixel further
    away keeps its color. So a network sees no edge where the visible part ends. The arithmetic is in integers, so that
    a part of an image gives the same result, except within `REACH` pixels of the part's border.

    Args:
        pixels: uint8 or uint16 `(N, H, W, bands)`, the last band alpha.

    Returns:
        `(N, H, W, bands - 1)` of the same type.
    """
    colors, alpha = pixels[..., :-1], pixels[..., -1:]
    remaining = alpha[..., 0] == 0
    if not remaining.any() or remaining.all():
        return colors
    filled = colors.copy()
    weighted = np.concatenate([colors * alpha.astype(np.int64), alpha], axis=-1)
    for radius in _RADII:
        sums = _window_sums(_window_sums(weighted, radius, 1), radius, 2)[remaining]
        seen = sums[:, -1] > 0
        places = tuple(axis[seen] for axis in np.nonzero(remaining))
        filled[places] = (sums[seen, :-1] + sums[seen, -1:] // 2) // sums[seen, -1:]
        remaining[places] = False
    return filled


def _window_sums(values, radius, axis):
    """Sums over windows of `2 radius + 1` values along an axis, cut off at its ends."""
    sums = np.insert(np.cumsum(values, axis=axis), 0, 0, axis=axis)
    places = np.arange(values.shape[axis])
    last = len(places)
    after, before = np.minimum(places + radius + 1, last), np.maximum(places - radius, 0)
    return sums.take(after, axis=axis) - sums.take(before, axis=axis)
