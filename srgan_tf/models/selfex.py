"""The core of SelfExSR (Huang, Singh and Ahuja, CVPR 2015) in NumPy: super-resolution from the picture's own patches.

What is small in one place of a picture is often large in another. The picture is upscaled in steps of about 1.6. At
each, every 5x5 patch of the upscaled and therefore blurred picture is matched in the picture before it, blurred in the
same way (reduced by the step and upscaled again); what that picture has there beyond its blurred self is the
detail of the patch. The search is PatchMatch over positions and affine maps (Barnes et al. 2010). The details of
overlapping patches are averaged, and back-projection (Irani and Peleg 1991) makes the result agree with LR.

The paper has perspective besides, from the vanishing points of planes. Y alone is upscaled; colours are bicubic's.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from srgan_tf.imaging.color import LUMA_OF_UNIT_RGB
from srgan_tf.imaging.resize import imresize, upscale_bicubic

_PATCH_RADIUS = 2  # 5x5
_AREA = (2 * _PATCH_RADIUS + 1) ** 2
_STEPS_PER_OCTAVE = 1.5
_ROUNDS = 6  # of random search and propagation
# Of the random search, pixels of the source; the first is around the patch's own place.
_RADII = (64, 24, 8, 3, 1, 0.5, 0.25)
_STRIDES = (4, 2, 1)  # between a patch and the neighbours whose maps it tries
# Deviations of random maps: radians, and the share of a length; they hold in full from this radius on.
_ROTATION, _STRETCH, _FULL_RADIUS = 0.6, 0.05, 8
_SIZES = (0.8, 1.25)  # that a map may give a patch in any direction
_SIMILARITY_SIGMA = 0.11  # deviation between patches that halves a vote, about; in [-1, 1]
_BACK_PROJECTIONS = 8
_SEED = 0  # of the random search
_CHUNK = 1 << 14  # patches at a time, which the processor's cache holds


def upscale(image, scale=4):
    """Upscales a picture by its own patches. Slow: about 10,000 pixels of the result a second on two cores.

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
    random = np.random.default_rng(_SEED)
    height, width = lr.shape
    steps = max(1, round(_STEPS_PER_OCTAVE * np.log2(scale)))
    larger = lr
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number in range(1, steps + 1):
            factor = scale ** (number / steps)
            size = round(height * factor), round(width * factor)
            larger = _back_project(_step(larger, size, scale ** (1 / steps), random, pool), lr)
    return larger


def _resize(image, height, width):
    return np.float32(imresize(image, max(1, height), max(1, width)))


def _back_project(sr, lr):
    """SR with LR's differences from it, reduced, added until there are few."""
    for _ in range(_BACK_PROJECTIONS):
        sr = sr + _resize(lr - _resize(sr, *lr.shape), *sr.shape)
    return sr


def _step(before, size, factor, random, pool):
    """A picture upscaled to `size`, `factor` times, with details from itself."""
    height, width = size
    blurred = _resize(before, height, width)
    patches = _patches(blurred)
    source = _Source(before, factor)
    maps, errors = _search(patches, source, size, random, pool)
    votes = np.exp(-errors / (2 * _SIMILARITY_SIGMA**2)) + np.float32(1e-3)
    details = np.empty_like(patches)

    def find(chunk):
        details[chunk] = source.details(maps[:, chunk]) * votes[chunk, None]

    list(pool.map(find, _chunks(len(patches))))
    padded = np.zeros((2, height + 2 * _PATCH_RADIUS, width + 2 * _PATCH_RADIUS), np.float32)
    for number, (down, right) in enumerate(np.ndindex(2 * _PATCH_RADIUS + 1, 2 * _PATCH_RADIUS + 1)):
        place = padded[:, down : down + height, right : right + width]
        place += details[:, number].reshape(size), votes.reshape(size)
    detail, weight = padded[:, _PATCH_RADIUS:-_PATCH_RADIUS, _PATCH_RADIUS:-_PATCH_RADIUS]
    return blurred + detail / weight


def _patches(image):
    """The patch around every pixel, `(H W, 25)`, less its mean."""
    padded = np.pad(image, _PATCH_RADIUS, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _PATCH_RADIUS + 1, 2 * _PATCH_RADIUS + 1))
    windows = windows.reshape(image.size, _AREA)
    return windows - windows.mean(axis=1, keepdims=True)


def _chunks(count):
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]


class _Source:
    """A picture beside its blurred self, to be read between the pixels.

    A map is where the middle of a patch lies and what it does to the patch, `(y, x, yy, yx, xy, xx)`: the pixel at
    (down, right) of the middle is taken from (y + yy down + yx right, x + xy down + xx right). Many are `(6, N)`.
    """

    def __init__(self, image, factor):
        self.height, self.width = image.shape
        blurred = _resize(_resize(image, round(self.height / factor), round(self.width / factor)), *image.shape)
        # One more row and column, so that every place has four neighbours.
        self._blurred, self._detail = (
            np.pad(plane, ((0, 1), (0, 1)), mode="edge").ravel() for plane in (blurred, image - blurred)
        )
        self._down, self._right = np.mgrid[
            -_PATCH_RADIUS : _PATCH_RADIUS + 1, -_PATCH_RADIUS : _PATCH_RADIUS + 1
        ].reshape(2, 1, _AREA)

    def details(self, maps):
        """The detail at the patches of maps, `(N, 25)`."""
        return self._read(self._detail, maps)

    def errors(self, maps, patches):
        """The mean squared differences of blurred patches less their means from others, `(N,)`."""
        found = self._read(self._blurred, maps)
        found -= found.mean(axis=1, keepdims=True)
        found -= patches
        return np.einsum("nk,nk->n", found, found) / np.float32(_AREA)

    def _read(self, plane, maps):
        """Bilinear interpolation; beyond the borders the outermost pixels."""
        y, x, yy, yx, xy, xx = maps[:, :, None]
        y = np.clip(y + yy * self._down + yx * self._right, 0, self.height - 1, dtype=np.float32)
        x = np.clip(x + xy * self._down + xx * self._right, 0, self.width - 1, dtype=np.float32)
        row, column = y.astype(np.int32), x.astype(np.int32)
        y -= row
        x -= column
        at, below = row * (self.width + 1) + column, self.width + 1
        upper, lower = plane[at], plane[at + below]
        upper += x * (plane[at + 1] - upper)
        lower += x * (plane[at + below + 1] - lower)
        return upper + y * (lower - upper)


def _search(patches, source, size, random, pool):
    """The maps to the most similar patches of the source that PatchMatch finds.

    Args:
        patches: Of `_patches`.
        source: A `_Source`.
        size: Height and width of the picture whose patches they are.
        random: A NumPy generator.
        pool: For the chunks.

    Returns:
        `(maps, errors)`, `(6, N)` and `(N,)`, float32.
    """
    count, (height, width) = len(patches), size
    rows, columns = np.divmod(np.arange(count), width)
    home = np.stack([(rows + 0.5) * source.height / height - 0.5, (columns + 0.5) * source.width / width - 0.5])
    maps = np.repeat(np.float32([[0, 0, 1, 0, 0, 1]]).T, count, axis=1)
    maps[:2] = home
    errors = np.full(count, np.inf, np.float32)

    def consider(others):
        np.clip(others[0], 0, source.height - 1, out=others[0])
        np.clip(others[1], 0, source.width - 1, out=others[1])
        allowed = _allowed(others[2:])

        def compare(chunk):
            found = source.errors(others[:, chunk], patches[chunk])
            better = np.flatnonzero((found < errors[chunk]) & allowed[chunk]) + chunk.start
            errors[better] = found[better - chunk.start]
            maps[:, better] = others[:, better]

        list(pool.map(compare, _chunks(count)))

    consider(maps.copy())
    for _ in range(_ROUNDS):
        for radius in _RADII:
            others = maps.copy()
            if radius == _RADII[0]:
                others[:2] = home
            others[:2] += random.uniform(-radius, radius, (2, count))
            others[2:] = _perturbed(others[2:], min(1, radius / _FULL_RADIUS), random)
            consider(others)
        for stride in _STRIDES:
            for down, right in ((stride, 0), (-stride, 0), (0, stride), (0, -stride)):
                there = np.clip(rows - down, 0, height - 1) * width + np.clip(columns - right, 0, width - 1)
                others = maps[:, there]
                down, right = rows - rows[there], columns - columns[there]
                others[0] += others[2] * down + others[3] * right
                others[1] += others[4] * down + others[5] * right
                consider(others)
    return maps, errors


def _perturbed(matrices, share, random):
    """Matrices `(4, N)` rotated and stretched at random."""
    angle = random.normal(0, _ROTATION * share, matrices.shape[1])
    cos, sin = np.cos(angle), np.sin(angle)
    stretch = random.normal(0, _STRETCH * share, matrices.shape)
    stretch[[0, 3]] += 1
    moved = np.stack([cos, sin, -sin, cos]).reshape(2, 2, -1)
    product = np.einsum("ijn,jkn,kln->iln", matrices.reshape(2, 2, -1), moved, stretch.reshape(2, 2, -1))
    return product.reshape(matrices.shape)


def _allowed(matrices):
    """Whether both singular values of matrices `(4, N)` lie within `_SIZES`."""
    half, determinant = (matrices**2).sum(axis=0) / 2, matrices[0] * matrices[3] - matrices[1] * matrices[2]
    root = np.sqrt(np.maximum(half**2 - determinant**2, 0))
    slack = 1e-5  # of float32
    return (half - root >= _SIZES[0] ** 2 - slack) & (half + root <= _SIZES[1] ** 2 + slack)
