"""Super-resolution from the image's own patches in NumPy, after SelfExSR (Huang, Singh and Ahuja, CVPR 2015).

A detail of an image often occurs again nearby, a little larger. So the image is upscaled in steps of about 1.26, and at
each step:

1. The image before the step is blurred as upscaling blurs: downscaled by the step and upscaled again.
2. Every 5x5 patch of the upscaled image is compared with the blurred patches around the same place, all less their
   means.
3. It becomes its mean plus the average of the unblurred patches there, less their means; similar ones weigh more.
4. Overlapping patches are averaged, and back-projection (Irani and Peleg 1991) makes the image agree with LR.

Steps, means and back-projection are the paper's. The paper takes, for each patch, the most similar one that PatchMatch
finds anywhere, rotated, stretched and in perspective. The average over a window is more accurate on Set5, not random,
and costs a tenth; patches rotated by right angles and mirrored add 0.01 dB at most, for six times the work. Only Y is
upscaled so; colours are bicubic's.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from srgan_tf.imaging.color import LUMA_OF_UNIT_RGB
from srgan_tf.imaging.resize import imresize, upscale_bicubic

_PATCH_RADIUS = 2
_SIDE = 2 * _PATCH_RADIUS + 1
_AREA = _SIDE**2
_STEPS_PER_OCTAVE = 3
# Side of the square of patches that share a window. With a larger one BLAS would start threads besides the pool's.
_TILE = 4
_REACH = 8  # width of the window around the tile, pixels of the source
_SIMILARITY_SIGMA = 0.03  # RMS difference below which patches count as equal; values in [-1, 1]
_BACK_PROJECTIONS = 8
_CHUNK = 32  # tiles at a time, so that they fit into the processor's cache


def upscale(image, scale=4):
    """Upscales an image by its own patches: about 170,000 output pixels per second on one core.

    Args:
        image: `(H, W, 3)` RGB in [-1, 1], floating point.
        scale: Scale factor, a whole number.

    Returns:
        `(scale H, scale W, 3)` float32, which may leave [-1, 1] a little.
    """
    image = np.asarray(image, np.float32)
    bicubic = upscale_bicubic(image, scale)
    # A change of Y at constant Cb and Cr is the same change of R, G and B.
    change = upscale_plane(image @ LUMA_OF_UNIT_RGB, scale) - bicubic @ LUMA_OF_UNIT_RGB
    return np.float32(bicubic + change[..., None])


def upscale_plane(lr, scale=4):
    """`upscale` of one channel: `(H, W)` in [-1, 1] to `(scale H, scale W)`."""
    steps = max(1, round(_STEPS_PER_OCTAVE * np.log2(scale)))
    sizes = [[max(1, round(side * scale ** (step / steps))) for side in lr.shape] for step in range(-1, steps + 1)]
    larger = lr
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for smaller, size in zip(sizes, sizes[2:]):
            larger = _back_project(_step(larger, smaller, size, pool), lr)
    return larger


def _resize(image, height, width):
    return np.float32(imresize(image, height, width))


def _back_project(sr, lr):
    """Corrects SR repeatedly by the difference between LR and downscaled SR."""
    for _ in range(_BACK_PROJECTIONS):
        sr = sr + _resize(lr - _resize(sr, *lr.shape), *sr.shape)
    return sr


def _step(before, smaller, size, pool):
    """Upscales an image to `size` by its own patches; it is blurred by resizing to the size `smaller` and back."""
    height, width = size
    source = _Source(before, smaller, size)
    rows, columns = len(source.tops), len(source.lefts)
    # The last tiles extend beyond the borders.
    beyond = (0, rows * _TILE - height), (0, columns * _TILE - width)
    targets = _patches(np.pad(_resize(before, height, width), beyond, mode="edge"))
    votes = np.empty((_AREA + 1, rows * _TILE, columns * _TILE), np.float32)

    def vote(place):
        row, start = place
        chunk = slice(start, min(start + _CHUNK, columns))
        inside = np.s_[..., row * _TILE : (row + 1) * _TILE, start * _TILE : chunk.stop * _TILE]
        tiles = targets[inside].reshape(_AREA, _TILE, -1, _TILE).transpose(2, 1, 3, 0)
        found = source.votes(tiles.reshape(-1, _TILE**2, _AREA), row, chunk)
        found = found.reshape(-1, _TILE, _TILE, _AREA + 1).transpose(3, 1, 0, 2)
        votes[inside] = found.reshape(_AREA + 1, _TILE, -1)

    list(pool.map(vote, ((row, start) for row in range(rows) for start in range(0, columns, _CHUNK))))
    *values, weights = votes[:, :height, :width]
    padded = np.zeros((2, height + 2 * _PATCH_RADIUS, width + 2 * _PATCH_RADIUS), np.float32)
    for value, (down, right) in zip(values, np.ndindex(_SIDE, _SIDE)):
        place = padded[:, down : down + height, right : right + width]
        place += value, weights
    total, weight = padded[:, _PATCH_RADIUS:-_PATCH_RADIUS, _PATCH_RADIUS:-_PATCH_RADIUS]
    return total / weight


def _patches(image):
    """The patch around every pixel, `(5, 5, H, W)`, a view."""
    return sliding_window_view(np.pad(image, _PATCH_RADIUS, mode="edge"), image.shape)


class _Source:
    """The patches of an image and of its blurred copy, with a window of them for every tile of an image of `size`.

    Attributes:
        tops: First row of the window for each row of tiles.
        lefts: First column of the window for each column of tiles.
    """

    def __init__(self, image, smaller, size):
        blurred = _resize(_resize(image, *smaller), *image.shape)
        keys = _patches(blurred).reshape(_AREA, *image.shape)
        means = keys.mean(axis=0)
        keys = keys - means
        values = _patches(image).reshape(keys.shape) - means
        window = [min(2 * _REACH + _TILE, side) for side in image.shape]
        # |a - b|^2 = |a|^2 + |b|^2 - 2 a b, so the keys get |b|^2 as a last plane; the values get ones, which sum up
        # the weights.
        self._keys, self._values = (
            sliding_window_view(np.concatenate([planes, last[None]]), window, axis=(1, 2)).transpose(1, 2, 0, 3, 4)
            for planes, last in ((keys, np.square(keys).sum(axis=0)), (values, np.ones_like(means)))
        )
        self.tops, self.lefts = (
            np.clip(np.rint((np.arange(0, new, _TILE) + _TILE / 2) * old / new - span / 2).astype(int), 0, old - span)
            for new, old, span in zip(size, image.shape, window)
        )

    def votes(self, patches, row, chunk):
        """The new values of patches, times their weight, and the weight.

        Args:
            patches: `(N, 16, 25)`, the patches of N tiles.
            row: Row of the tiles.
            chunk: Slice of their columns.

        Returns:
            `(N, 16, 26)`.
        """
        keys, values = (
            windows[self.tops[row], self.lefts[chunk]].reshape(len(patches), _AREA + 1, -1)
            for windows in (self._keys, self._values)
        )
        means = patches.mean(axis=2, keepdims=True)
        patches = patches - means
        errors = np.concatenate([-2 * patches, np.ones_like(means)], axis=2) @ keys
        least = errors.min(axis=2, keepdims=True)
        errors -= least
        least = np.maximum(least + np.square(patches).sum(axis=2, keepdims=True), 0) / _AREA
        # Twice the least error has e^-1/2 times the weight; an error below sigma counts as sigma.
        errors *= -0.5 / _AREA / np.maximum(least, _SIMILARITY_SIGMA**2)
        found = np.exp(errors, out=errors) @ values.swapaxes(1, 2)
        found /= found[..., -1:]
        found[..., :-1] += means
        found *= np.exp(least / (-2 * _SIMILARITY_SIGMA**2)) + np.float32(1e-3)
        return found
