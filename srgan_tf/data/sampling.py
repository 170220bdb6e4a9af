"""Which crops make up a batch: a pure function of the seed and the batch's number.

A run that goes on from a checkpoint sees what it would have seen, and nothing of the input need be saved.
"""

import dataclasses
import functools

import numpy as np

_DRAWS, _ORDERS = 1, 2  # streams of random numbers; that of epoch `e` is `_ORDERS + e`
_BLOCK = 64  # visits, at least, whose crops are dealt out together
_WORDS = 4  # that Philox gives at once


@dataclasses.dataclass(frozen=True)
class Visits:
    """Consecutive visits to pictures, each of which gives `k = crops_per_image` crops.

    Attributes:
        pictures: int `(n,)`, indices.
        corners: int `(n, k, 2)`, rows and columns of the crops' top left corners in HR, multiples of the scale.
        turns: int32 `(n, k)` in [0, 8): to be transposed if bit 0 is set, then mirrored top to bottom if bit 1 is, then
            left to right if bit 2 is.
    """

    pictures: np.ndarray
    corners: np.ndarray
    turns: np.ndarray


class Sampler:
    """Picks the pictures, the places and the turns of every crop of a run.

    Pictures are visited in a random order, each once an epoch, and every epoch has an order of its own. At a visit
    `crops_per_image` crops are drawn at random places, on the grid of LR pixels, each turned to one of eight ways.

    The crops of a visit go to different batches: a block of visits is dealt out in `crops_per_image` rounds, each of
    whole batches. No batch has two crops of one picture, also where two epochs meet, if there are three times as many
    pictures as a block has visits; with fewer they are kept apart as far as can be.

    Args:
        sizes: The pictures' `(height, width)`, each at least `crop_size`.
        crop_size: Side of the HR crop, pixels, a multiple of `scale`.
        batch_size: Crops a batch.
        scale: Factor between HR and LR.
        seed: In [0, 2**32).
        crops_per_image: Crops of one visit.

    Attributes:
        block: Visits of a block, a multiple of `batch_size`; it gives `crops_per_image` times as many crops.
    """

    def __init__(self, sizes, *, crop_size, batch_size, scale, seed, crops_per_image=1):
        self._cells = np.asarray(sizes, np.int64) // scale - crop_size // scale + 1  # places for a crop, per axis
        self._scale, self._seed, self._rounds = scale, seed, crops_per_image
        count = len(self._cells)
        batches = 1
        if crops_per_image > 1:
            batches = max(1, min(-(-_BLOCK // batch_size), count // (3 * batch_size)))
        self.block = batches * batch_size
        self._apart = min(self.block, count // 3)
        self._order = functools.lru_cache(maxsize=8)(self._make_order)

    def visits(self, first, count):
        """What visits number `first` to `first + count - 1` of the run give, as `Visits`."""
        epochs, positions = np.divmod(np.arange(first, first + count), len(self._cells))
        pictures = np.empty(count, np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            now = epochs == epoch
            pictures[now] = self._order(epoch)[positions[now]]
        blocks = -(-3 * self._rounds // _WORDS)
        drawn = self._random(_DRAWS, count * blocks * _WORDS, first * blocks)
        drawn = drawn.reshape(count, -1)[:, : 3 * self._rounds].reshape(count, self._rounds, 3)
        cells = self._cells[pictures][:, None].astype(np.uint64)
        corners = (drawn[..., :2] % cells).astype(np.int64) * self._scale
        return Visits(pictures, corners, (drawn[..., 2] % np.uint64(8)).astype(np.int32))

    def _random(self, stream, count, block=0):
        """uint64 `(count,)`. NumPy keeps a bit generator's raw numbers as they are, other than its distributions."""
        return np.random.Philox(key=self._seed | stream << 64, counter=block).random_raw(count)

    def _shuffled(self, epoch):
        return self._random(_ORDERS + epoch, len(self._cells)).argsort(kind="stable")

    def _make_order(self, epoch):
        """The pictures in the order of an epoch: those that ended the epoch before do not begin this one."""
        order = self._shuffled(epoch)
        if epoch == 0 or not self._apart:
            return order
        # An epoch ends as it was shuffled, because at most its first two thirds are moved.
        head, rest = np.split(order, [2 * self._apart])
        recent = np.isin(head, self._shuffled(epoch - 1)[-self._apart :])
        return np.concatenate([head[~recent], head[recent], rest])
