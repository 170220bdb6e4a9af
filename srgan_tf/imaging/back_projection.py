"""Changes SR as little as possible so that MATLAB's bicubic of it, rounded, is LR again.

With B, the two matrices of `resize.resize_matrix`, the least change that makes the bicubic of `x` equal `y` is
`B^T m`, `m = (B B^T)^-1 (y - B x)`, the minimum-norm solution. On each axis B B^T has seven diagonals and a condition
number of 2.06, so that its inverse falls by a factor of 3 from one LR pixel to the next and a picture can be solved
strip by strip. What rounding and clipping then leave is taken off by further steps of `m`: with
`x = clip(sr + B^T m)` they ascend the dual of "the nearest picture within the range".

Not every LR has such a picture: one-pixel lines of black on white would need values beyond the range. Where the steps
do not come near, SR stays as it is.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from srgan_tf.imaging.resize import resize_matrix

MAX_LEVELS = 1  # of 8 bits, that a value of LR may differ by
MAX_SHARE = 0.001  # of the values of LR that may differ, in 16 bits by more than half a level of 8 bits
_BLOCK_SHARE = MAX_SHARE / 2  # in a block, whose last rows count with the next one's
_MAX_STEPS = 18
_PATIENCE = 5  # steps after which SR is left as it is where it does not come nearer
_REACH = 2  # LR pixels that the kernel sees on either side of an LR pixel's own
_LOOKAHEAD = 12  # LR rows whose solution waits for the rows below, whose residual reaches them divided by 3^12
_BLOCK_ROWS = 32  # LR rows that are finished at once
_CHUNK = 1024  # columns times colors that are composed at once, within a core's cache
_LEAST_FREE = 1 / 16  # of the kernel's energy that a step counts on where SR is clipped
_UNTOUCHED = 3  # LR pixels around one that has no solution whose SR stays, too


@dataclasses.dataclass
class Residual:
    """How far SR, reduced again, is from LR, in levels of the picture's type.

    Attributes:
        unit: A level of 8 bits: 1, or 257 of 16 bits, where the last levels beside clipped pixels come slowly.
        values: Number of the values of LR: pixels times colors.
        before: Sum of squares of the residual of SR as it came, before rounding.
        after: Sum of squares of the residual of the result.
        differing: Number of the values that differ by half a unit or more.
        largest: The largest difference.
        steps: Of the rows that took most of them.
    """

    unit: int = 1
    values: int = 0
    before: float = 0.0
    after: float = 0.0
    differing: int = 0
    largest: int = 0
    steps: int = 0

    @property
    def is_faithful(self) -> bool:
        """Whether no value differs by more than `MAX_LEVELS` units, and at most `MAX_SHARE` of them differ."""
        return self.largest <= MAX_LEVELS * self.unit and self.differing <= MAX_SHARE * self.values

    def __str__(self) -> str:
        before, after = (math.sqrt(each / max(self.values, 1)) for each in (self.before, self.after))
        more = f" by more than {self.unit // 2}" if self.unit > 1 else ""
        most = f", by {self.largest} at most" if self.differing else ""
        steps = f"{self.steps} iteration{'' if self.steps == 1 else 's'}"
        return (
            f"{steps}, residual {before:.2f} to {after:.3f} levels (RMS),"
            f" {self.differing / max(self.values, 1):.3%} of the LR values differ{more}{most}"
        )


class BackProjection:
    """Makes the SR of one picture faithful to its LR, of `height` and `width`, from top to bottom.

    Alpha, the last of 2 or 4 bands, stays as it is. Colors that it hides wholly are not aimed at, since the network was
    shown others in their place, see `transparency.fill_hidden`.

    Attributes:
        residual: The `Residual` of the rows that are done.
    """

    def __init__(self, height: int, width: int, scale: int, bands: int, dtype: DTypeLike):
        self.scale, self._height, self._colors = scale, height, _colors(bands)
        self._limit = int(np.iinfo(dtype).max)
        self.residual = Residual(self._limit // 255)
        kind = _float(dtype)
        self._vertical = resize_matrix(scale * height, height).astype(kind)
        self._columns = _Columns(resize_matrix(scale * width, width), kind)
        # What is not done, and what it depends on: LR and m from `_first_row` on, SR from `_top` on, and above that the
        # rows of the result that the kernel sees.
        self._top = 0
        self._lr = np.empty((0, width, bands), dtype)
        self._multipliers = np.empty((width, self._colors, 0), kind)
        self._sr = np.empty((0, scale * width, bands), dtype)
        self._above = np.empty((0, scale * width, bands), dtype)

    def push(self, lr: np.ndarray, sr: np.ndarray) -> Iterator[np.ndarray]:
        """Takes the next rows of LR `(h, width, bands)` and SR `(scale h, scale width, bands)`. The result does not
        depend on how many come at a time.

        Yields:
            The next rows of the result, `(h', scale width, bands)`; with the last rows all that are left.
        """
        for start in range(0, len(lr), _BLOCK_ROWS):
            self._lr = np.concatenate([self._lr, lr[start : start + _BLOCK_ROWS]])
            rows = sr[self.scale * start : self.scale * (start + _BLOCK_ROWS)]
            self._sr = np.concatenate([self._sr, rows])
            while self._top < self._height:
                stop = min(self._top + _BLOCK_ROWS + _LOOKAHEAD, self._height)
                if self.scale * (stop - self._top) > len(self._sr):
                    break
                yield self._solve(stop, stop if stop == self._height else stop - _LOOKAHEAD)

    @property
    def _first_row(self):
        """The first row of LR that SR from `_top` on has a part in."""
        return max(self._top - _REACH, 0)

    def _solve(self, stop, done):
        """Solves the rows before `stop` and returns those before `done`; both of LR."""
        first, last = self._first_row, stop if stop == self._height else stop - _REACH
        above = self.scale * self._top - len(self._above)
        lr = self._lr[: last - first]
        hidden = lr[..., self._colors :].min(axis=2, initial=1) == 0
        window = _Window(
            self._vertical[first:last, above : self.scale * stop],
            self._columns,
            lr[..., : self._colors],
            hidden.T[:, None],
            self._above[..., : self._colors],
            self._sr[: self.scale * (stop - self._top), :, : self._colors],
            self._multipliers,
            self._limit,
        )
        levels, steps = window.solve()
        self._count(levels[..., : (done if done == self._height else done - _REACH) - first], steps)
        self.residual.before += window.squares_before

        result = self._sr[: self.scale * (done - self._top)].copy()
        result[..., : self._colors] = window.sr[: len(result)].reshape(*result.shape[:2], self._colors)
        self._above = np.concatenate([self._above, result])[-2 * _REACH * self.scale :]
        self._sr = self._sr[len(result) :]
        self._top = done
        kept = self._first_row - first
        self._lr = self._lr[kept:]
        self._multipliers = window.multipliers[..., kept:]
        return result

    def _count(self, levels, steps):
        total = self.residual
        total.values += levels.size
        total.after += float(np.square(levels, dtype=np.float64).sum())
        total.differing += int(np.count_nonzero(levels > total.unit / 2))
        total.largest = max(total.largest, int(levels.max(initial=0)))
        total.steps = max(total.steps, steps)


def working_bytes(width: int, scale: int, bands: int, dtype: DTypeLike) -> int:
    """The memory that a `BackProjection` takes besides the rows that it is given, whatever the height; see there."""
    rows, size, held = _BLOCK_ROWS + _LOOKAHEAD + 2 * _REACH, np.dtype(dtype).itemsize, _float(dtype).itemsize
    sr = 4 * rows * scale**2 * bands * size
    between = 4 * rows * scale * _colors(bands) * held
    lr = 12 * rows * _colors(bands) * held
    return width * (sr + between + lr) + 6 * rows * scale * _CHUNK * held


def _colors(bands):
    return bands - (bands % 2 == 0)


def _float(dtype):
    # Products of 8 bits and weights, multiples of 1/4096 at a scale of 4, and their sums are exact in float32.
    return np.dtype(np.float32 if np.iinfo(dtype).max == 255 else np.float64)


class _Columns:
    """B of the horizontal axis, applied to the first axis of an array.

    Attributes:
        reduce: B, `(width, scale width)`.
        energy: The squares of its weights.
        spread: B^T.
    """

    def __init__(self, matrix, kind):
        from scipy import linalg  # here, since networks upscale without it

        self.reduce = matrix.astype(kind)
        self.energy = self.reduce.multiply(self.reduce).tocsr()
        self.spread = self.reduce.T.tocsr()
        gram = matrix @ matrix.T
        width = gram.shape[0]
        diagonals = np.zeros((min(2 * _REACH, width), width))
        for offset, diagonal in enumerate(diagonals):
            diagonal[: width - offset] = gram.diagonal(-offset)
        self._factor = linalg.cholesky_banded(diagonals, lower=True).astype(kind)

    def solve(self, values):
        """(B B^T)^-1 of `(width, ...)`."""
        from scipy import linalg

        return linalg.cho_solve_banded((self._factor, True), values, check_finite=False)


class _Window:
    """The rows of SR that are not done, and the rows of LR that these have a part in.

    Arrays of LR are `(width, colors, rows)`, so that both axes are resized without a copy; those of SR are
    `(rows, scale width * colors)`.

    Args:
        vertical: B of the rows, from those of `above` and `sr` to those of `lr`.
        columns: `_Columns`.
        lr: `(rows, width, colors)`.
        hidden: Which pixels of LR are not aimed at, `(width, 1, rows)`.
        above: Rows of the result before `sr`, `(rows, scale width, colors)`.
        sr: `(rows, scale width, colors)`.
        multipliers: m of the first rows, of earlier windows.
        limit: The largest value.

    Attributes:
        multipliers: m.
        sr: The result.
        squares_before: Sum of squares of the residual of the rows without m, before the first step.
    """

    def __init__(self, vertical, columns, lr, hidden, above, sr, multipliers, limit):
        kind = vertical.dtype
        self._vertical, self._columns, self._limit = vertical, columns, limit
        self._spread = vertical[:, len(above) :].T.tocsr()
        self._inverse = np.linalg.inv((vertical @ vertical.T).toarray().astype(np.float64)).astype(kind)
        self._lr = np.ascontiguousarray(np.moveaxis(lr, 0, 2), kind)
        self._hidden = hidden
        self._above = above.reshape(len(above), math.prod(sr.shape[1:])).astype(kind)
        self._sr = sr.reshape(len(sr), -1)
        self.sr = self._sr.copy()
        self._old = multipliers.shape[2]
        new = np.zeros((*multipliers.shape[:2], len(lr) - self._old), kind)
        self.multipliers = np.concatenate([multipliers, new], axis=2)
        self.squares_before = 0.0

    def solve(self):
        """Finds m.

        Returns:
            `(levels, steps)`: how far each value of LR is from the reduced result, and the number of steps.
        """
        residual = np.where(self._hidden, 0, self._residual(rounded=False))
        self.squares_before = float(np.square(residual[..., self._old :], dtype=np.float64).sum())
        residual[..., : self._old] = 0  # solved already; rounding it anew would undo later steps
        self._step(residual)
        unit = self._limit // 255
        given_up = np.broadcast_to(self._hidden, residual.shape).copy()
        self.multipliers[given_up] = 0
        free = None
        for steps in range(1, _MAX_STEPS + 1):
            residual = self._residual()
            levels = np.where(self._hidden, 0, np.abs(np.ceil(residual - 0.5)))  # halves are rounded up
            if steps % _PATIENCE == 0:  # what has a solution is halved in two steps
                given_up |= _surroundings(levels > unit * 2 ** ((_MAX_STEPS - steps) / 2))
            wanted = np.where(given_up, 0, levels)
            is_clipped, share = wanted.max() > MAX_LEVELS * unit, np.mean(wanted > unit / 2)
            if steps == _MAX_STEPS or not is_clipped and share <= _BLOCK_SHARE and steps % _PATIENCE:
                break
            residual[wanted == 0] = 0
            if is_clipped:
                if free is None or steps % 2:
                    free = self._free_share()
                residual /= free
            self._step(residual)
            self.multipliers[given_up] = 0
        return levels, steps

    def _step(self, residual):
        width, _, rows = residual.shape
        solved = self._columns.solve(residual.reshape(width, -1)).reshape(-1, rows) @ self._inverse
        self.multipliers += solved.reshape(residual.shape)

    def _compose(self):
        """Yields parts of `sr + B^T m`, each after the slice of its columns."""
        width, _, rows = self.multipliers.shape
        spread = (self._columns.spread @ self.multipliers.reshape(width, -1)).reshape(-1, rows)
        for start in range(0, len(spread), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield part, self._spread @ np.ascontiguousarray(spread[part].T) + self._sr[:, part]

    def _residual(self, rounded=True):
        """LR less the reduced result, which is clipped and not rounded.

        Args:
            rounded: Whether the result is rounded, and set as `sr`, and reduced as MATLAB does, rounding between the
                axes.
        """
        reduced = np.empty((self.multipliers.shape[2], self._sr.shape[1]), self._vertical.dtype)
        for part, values in self._compose():
            np.clip(values, 0, self._limit, out=values)
            if rounded:
                np.rint(values, out=values)
                self.sr[:, part] = values
            reduced[:, part] = self._vertical @ np.concatenate([self._above[:, part], values])
        if rounded:
            np.floor(reduced + 0.5, out=reduced)
            np.clip(reduced, 0, self._limit, out=reduced)
        reduced = self._reduce_columns(self._columns.reduce, reduced)
        return self._lr - np.clip(reduced, 0, self._limit, out=reduced)

    def _free_share(self):
        """For each value of LR, the share of the kernel's energy that lies where SR is not clipped."""
        energy = self._vertical.multiply(self._vertical).tocsr()
        free = np.empty((self.multipliers.shape[2], self._sr.shape[1]), self._vertical.dtype)
        for part, values in self._compose():
            inside = ((values > 0) & (values < self._limit)).astype(values.dtype)
            free[:, part] = energy[:, len(self._above) :] @ inside
        free = self._reduce_columns(self._columns.energy, free)
        whole = self._columns.energy.sum(axis=1)[:, None, None] * energy.sum(axis=1)
        return np.maximum(free / whole, _LEAST_FREE)

    def _reduce_columns(self, matrix, values):
        """Reduces `(rows, scale width * colors)` to `(width, colors, rows)`."""
        _, colors, rows = self.multipliers.shape
        turned = np.ascontiguousarray(values.T).reshape(-1, colors * rows)
        return (matrix @ turned).reshape(self.multipliers.shape)


def _surroundings(marked):
    """The pixels `_UNTOUCHED` or fewer from a marked one, in all colors alike; `(width, colors, rows)`."""
    from scipy import ndimage

    size = 2 * _UNTOUCHED + 1
    return ndimage.maximum_filter(marked.any(axis=1, keepdims=True), (size, 1, size))
