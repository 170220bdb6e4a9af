"""Which crops make up a batch: a pure function of the seed and the batch's number.

A run that resumes from a checkpoint sees what it would have seen, and nothing of the input need be saved.
"""

import dataclasses
import functools

import numpy as np

_CROPS, _EPOCHS = 1, 2  # streams of random numbers; that of epoch `e` is `_EPOCHS + e`
_MIN_BLOCK = 64  # samples, at least, whose crops are interleaved
_PHILOX_WORDS = 4  # random numbers that Philox generates at once


@dataclasses.dataclass(frozen=True)
class Samples:
    """Consecutive samples: pictures that are decoded once and give `k = crops_per_image` crops each.

    Attributes:
        pictures: int `(n,)`, indices.
        corners: int `(n, k, 2)`, rows and columns of the crops' top left corners in HR, multiples of the scale.
        flips: int32 `(n, k)` in [0, 8), the flips and rotations: transposed if bit 0 is set, then flipped top to bottom
            if bit 1 is, then left to right if bit 2 is.
    """

    pictures: np.ndarray
    corners: np.ndarray
    flips: np.ndarray


class Sampler:
    """Draws the pictures, the corners and the flips and rotations of every crop of a run.

    Pictures are sampled without replacement: each once an epoch, in an order of that epoch's own. From each sample
    `crops_per_image` crops are drawn at uniform positions on the grid of LR pixels, in one of eight orientations.

    The crops of a sample go to different batches: those of a block of samples are interleaved, crop 0 of all samples
    before crop 1 of all and so on. No batch has two crops of one picture, also where two epochs meet, if there are
    three times as many pictures as a block has samples; with fewer they are kept apart as far as can be.

    Args:
        sizes: The pictures' `(height, width)`, each at least `crop_size`.
        crop_size: Side of the HR crop, pixels, a multiple of `scale`.
        batch_size: Crops a batch.
        scale: Factor between HR and LR.
        seed: In [0, 2**32).
        crops_per_image: Crops of one sample.

    Attributes:
        block: Samples of a block, a multiple of `batch_size`; it gives `crops_per_image` times as many crops.
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
        """uint64 `(count,)`. NumPy keeps a bit generator's raw numbers as they are, other than its distributions."""
        return np.random.Philox(key=self._seed | stream << 64, counter=position).random_raw(count)

    def _shuffled(self, epoch):
        return self._random(_EPOCHS + epoch, len(self._grids)).argsort(kind="stable")

    def _make_order(self, epoch):
        """The pictures in the order of an epoch: those that ended the epoch before do not begin this one."""
        order = self._shuffled(epoch)
        if epoch == 0 or not self._min_gap:
            return order
        # An epoch ends as it was shuffled, because at most its first two thirds are moved.
        head, rest = np.split(order, [2 * self._min_gap])
        recent = np.isin(head, self._shuffled(epoch - 1)[-self._min_gap :])
        return np.concatenate([head[~recent], head[recent], rest])
