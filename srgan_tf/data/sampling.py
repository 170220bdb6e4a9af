"""Draws the crops of a batch, as a pure function of the seed and the batch's number.

So a run that resumes from a checkpoint sees the same batches, and no state of the input need be saved.
"""

import dataclasses
import functools

import numpy as np

_CROPS, _EPOCHS = 1, 2  # streams of random numbers; that of epoch `e` is `_EPOCHS + e`
_MIN_BLOCK = 64  # samples, at least, whose crops are interleaved
_PHILOX_WORDS = 4  # random numbers that Philox generates at once


@dataclasses.dataclass(frozen=True)
class Samples:
    """Consecutive samples: images that are decoded once for `k = crops_per_image` crops each.

    Attributes:
        pictures: int `(n,)`, indices of images.
        corners: int `(n, k, 2)`, rows and columns of the crops' top left corners in HR, multiples of the scale.
        flips: int32 `(n, k)` in [0, 8), the flips and rotations: transposed if bit 0 is set, then flipped top to bottom
            if bit 1 is, then left to right if bit 2 is.
    """

    pictures: np.ndarray
    corners: np.ndarray
    flips: np.ndarray


class Sampler:
    """Draws image, corner, and flips and rotations of every crop of a run.

    Images are sampled without replacement: each once an epoch, in a new order each epoch. `crops_per_image` crops of
    each sample are drawn at uniform positions on the grid of LR pixels, in one of eight orientations.

    The crops of a sample go to different batches: in a block of samples, crop 0 of all samples comes before crop 1 of
    all, and so on. No batch has two crops of one image, also between two epochs, if there are three times as many
    images as samples in a block; with fewer images, their crops are kept apart as far as possible.

    Args:
        sizes: The images' `(height, width)`, each at least `crop_size`.
        crop_size: Side of the HR crop, pixels, a multiple of `scale`.
        batch_size: Crops in a batch.
        scale: Factor between HR and LR.
        seed: In [0, 2**32).
        crops_per_image: Crops of one sample.

    Attributes:
        block: Samples in a block, a multiple of `batch_size`; a block has `crops_per_image` times as many crops.
    """

    def __init__(self, sizes, *, crop_size: int, batch_size: int, scale: int, seed: int, crops_per_image: int = 1):
        self._grids = np.asarray(sizes, np.int64) // scale - crop_size // scale + 1  # positions of a crop, per axis
        self.crop_size, self.batch_size, self.scale = crop_size, batch_size, scale
        self.crops_per_image, self._seed = crops_per_image, seed
        count = len(self._grids)
        batches = 1
        if crops_per_image > 1:
            batches = max(1, min(-(-_MIN_BLOCK // batch_size), count // (3 * batch_size)))
        self.block = batches * batch_size
        self._min_gap = min(self.block, count // 3)
        self._order = functools.lru_cache(maxsize=8)(self._make_order)

    def samples(self, first: int, count: int) -> Samples:
        """Samples number `first` to `first + count - 1` of the run."""
        epochs, positions = np.divmod(np.arange(first, first + count), len(self._grids))
        pictures = np.empty(count, np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            now = epochs == epoch
            pictures[now] = self._order(epoch)[positions[now]]
        numbers = 3 * self.crops_per_image  # row, column and flips of each crop
        words = -(-numbers // _PHILOX_WORDS)
        drawn = self._random(_CROPS, count * words * _PHILOX_WORDS, first * words)
        drawn = drawn.reshape(count, -1)[:, :numbers].reshape(count, self.crops_per_image, 3)
        grids = self._grids[pictures][:, None].astype(np.uint64)
        corners = (drawn[..., :2] % grids).astype(np.int64) * self.scale
        return Samples(pictures, corners, (drawn[..., 2] % np.uint64(8)).astype(np.int32))

    def _random(self, stream, count, position=0):
        """uint64 `(count,)`. NumPy never changes the raw numbers of a bit generator, but may change distributions."""
        return np.random.Philox(key=self._seed | stream << 64, counter=position).random_raw(count)

    def _shuffled(self, epoch):
        return self._random(_EPOCHS + epoch, len(self._grids)).argsort(kind="stable")

    def _make_order(self, epoch):
        """The images in the order of an epoch, which does not start with those that ended the epoch before."""
        order = self._shuffled(epoch)
        if epoch == 0 or not self._min_gap:
            return order
        # Only the first two thirds of an epoch may be reordered, so its end is known without its order.
        head, rest = np.split(order, [2 * self._min_gap])
        recent = np.isin(head, self._shuffled(epoch - 1)[-self._min_gap :])
        return np.concatenate([head[~recent], head[recent], rest])
