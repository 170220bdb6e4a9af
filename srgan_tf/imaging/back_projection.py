"""Changes SR as little as possible so that MATLAB's bicubic of it, rounded, is LR again.

Let B be MATLAB's bicubic downscaling, the matrices of `resize.resize_matrix` on both axes. The smallest change of SR
`x` after which its bicubic equals LR `y` is `B^T m`, with the multipliers `m = (B B^T)^-1 (y - B x)`: the minimum-norm
solution. On each axis B B^T has seven diagonals and a condition number of 2.06, so that its inverse decays by a factor
of 3 from one LR pixel to the next, and an image can be solved strip by strip. Rounding and clipping leave a residual,
which further steps of `m` reduce: with `x = clip(sr + B^T m)` they are dual ascent on "the nearest image within the
range".

Such an image does not exist for every LR: one-pixel lines of black on white would need values beyond the range. Where
the steps do not converge, SR stays as it is.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from srgan_tf.imaging.resize import resize_matrix
from srgan_tf.system.terminal import counted

MAX_LEVELS = 1  # by which a value of LR may differ, of 8 bits
MAX_SHARE = 0.001  # of the LR values, which may differ; in 16 bits, by more than half a level of 8 bits
_BLOCK_SHARE = MAX_SHARE / 2  # the same for a block, whose last rows count with the next block
_MAX_STEPS = 18
_PATIENCE = 5  # every so many steps, pixels that do not converge are given up
_REACH = 2  # LR pixels that the kernel reaches to each side
_LOOKAHEAD = 12  # LR rows below a block that are solved with it; rows further below matter less than 3^-12
_BLOCK_ROWS = 32  # LR rows that are finished at once
_CHUNK = 1024  # columns times colors that are composed at once, to fit into a core's cache
_LEAST_FREE = 1 / 16  # lower bound of the share of the kernel's energy on pixels that are not clipped
_UNTOUCHED = 3  # LR pixels around a given-up pixel whose SR stays, too


@dataclasses.dataclass
class Residual:
    """The difference between LR and downscaled SR, in levels of the image's type.

    Attributes:
        unit: A level of 8 bits: 1, or 257 for 16 bits, where the last levels beside clipped pixels converge slowly.
        values: Number of LR values: pixels times colors.
        before: Sum of squares of the residual of the original SR, before rounding.
        after: Sum of squares of the residual of the result.
        differing: Number of LR values that differ by more than half a unit.
        largest: The largest difference.
        steps: The largest number of steps of any block.
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
        steps = counted(self.steps, "iteration")
        return (
            f"{steps}, residual {before:.2f} to {after:.3f} levels (RMS),"
            f" {self.differing / max(self.values, 1):.3%} of the LR values differ{more}{most}"
        )


class BackProjection:
    """Makes the SR of one image faithful to its LR, of `height` and `width`, from top to bottom.

    Alpha, the last of 2 or 4 bands, stays as it is. The colors of fully transparent pixels are ignored, since the
    network saw others in their place, see `transparency.fill_hidden`.

    Attributes:
        residual: The `Residual` of the finished rows.
    """

    def __init__(self, height: int, width: int, scale: int, bands: int, dtype: DTypeLike):
        self.scale, self._height, self._colors = scale, height, _colors(bands)
        self._limit = int(np.iinfo(dtype).max)
        self.residual = Residual(self._limit // 255)
        kind = _float(dtype)
        self._vertical = resize_matrix(scale * height, height).astype(kind)
        self._columns = _Columns(resize_matrix(scale * width, width), kind)
        # The unfinished rows: LR and m from `_first_row` on, SR from `_top` on; and the finished rows of the result
        # above, as far as the kernel reaches.
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
        """The first row of LR that depends on SR from `_top` on."""
        return max(self._top - _REACH, 0)

    def _solve(self, stop, done):
        """Solves the rows before LR row `stop`, and returns those before LR row `done`."""
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
    """The memory that a `BackProjection` takes for an image of any height, besides the rows that it is given."""
    rows, size, held = _BLOCK_ROWS + _LOOKAHEAD + 2 * _REACH, np.dtype(dtype).itemsize, _float(dtype).itemsize
    sr = 4 * rows * scale**2 * bands * size
    between = 4 * rows * scale * _colors(bands) * held
    lr = 12 * rows * _colors(bands) * held
    return width * (sr + between + lr) + 6 * rows * scale * _CHUNK * held


def _colors(bands):
    return bands - (bands % 2 == 0)


def _float(dtype):
    # With 8 bits, float32 is exact at a scale of 4: the weights are multiples of 1/4096.
    return np.dtype(np.float32 if np.iinfo(dtype).max == 255 else np.float64)


class _Columns:
    """B of the horizontal axis, which is applied to the first axis of an array.

    Attributes:
        reduce: B, `(width, scale width)`.
        energy: B with its weights squared.
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
        """Multiplies `(width, ...)` by (B B^T)^-1."""
        from scipy import linalg

        return linalg.cho_solve_banded((self._factor, True), values, check_finite=False)


class _Window:
    """The unfinished rows of SR, and the rows of LR that depend on them.

    Arrays of LR are `(width, colors, rows)`, so that both axes are resized without a copy; those of SR are
    `(rows, scale width * colors)`.

    Args:
        vertical: B of the vertical axis, from the rows of `above` and `sr` to those of `lr`.
        columns: `_Columns`.
        lr: `(rows, width, colors)`.
        hidden: Whether a pixel of LR is ignored, `(width, 1, rows)`.
        above: Finished rows of the result before `sr`, `(rows, scale width, colors)`.
        sr: `(rows, scale width, colors)`.
        multipliers: m of the first rows, from earlier windows.
        limit: The largest value.

    Attributes:
        multipliers: m.
        sr: The result.
        squares_before: Sum of squares of the residual before the first step, of the rows that had no m yet.
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
            `(levels, steps)`: the difference of each LR value from the downscaled result, and the number of steps.
        """
        residual = np.where(self._hidden, 0, self._residual(rounded=False))
        self.squares_before = float(np.square(residual[..., self._old :], dtype=np.float64).sum())
        residual[..., : self._old] = 0  # m of these rows has taken later steps, which this would undo
        self._step(residual)
        unit = self._limit // 255
        given_up = np.broadcast_to(self._hidden, residual.shape).copy()
        self.multipliers[given_up] = 0
        free = None
        for steps in range(1, _MAX_STEPS + 1):
            residual = self._residual()
            levels = np.where(self._hidden, 0, np.abs(np.ceil(residual - 0.5)))  # halves are rounded up
            if steps % _PATIENCE == 0:  # where a solution exists, two steps halve the residual
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
        """Yields `(columns, values)`: parts of `sr + B^T m`, each with the slice of its columns."""
        width, _, rows = self.multipliers.shape
        spread = (self._columns.spread @ self.multipliers.reshape(width, -1)).reshape(-1, rows)
        for start in range(0, len(spread), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield part, self._spread @ np.ascontiguousarray(spread[part].T) + self._sr[:, part]

    def _residual(self, rounded=True):
        """LR less the clipped and downscaled result.

        Args:
            rounded: Whether to round the result, store it as `sr`, and round between the two axes of downscaling as
                MATLAB does.
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
        """For each LR value, the share of the kernel's energy on SR values that are not clipped."""
        energy = self._vertical.multiply(self._vertical).tocsr()
        free = np.empty((self.multipliers.shape[2], self._sr.shape[1]), self._vertical.dtype)
        for part, values in self._compose():
            inside = ((values > 0) & (values < self._limit)).astype(values.dtype)
            free[:, part] = energy[:, len(self._above) :] @ inside
        free = self._reduce_columns(self._columns.energy, free)
        whole = self._columns.energy.sum(axis=1)[:, None, None] * energy.sum(axis=1)
        return np.maximum(free / whole, _LEAST_FREE)

    def _reduce_columns(self, matrix, values):
        """Downscales `(rows, scale width * colors)` to `(width, colors, rows)`."""
        _, colors, rows = self.multipliers.shape
        turned = np.ascontiguousarray(values.T).reshape(-1, colors * rows)
        return (matrix @ turned).reshape(self.multipliers.shape)


def _surroundings(marked):
    """Whether a pixel is within `_UNTOUCHED` of one that is marked in any color: `(width, 1, rows)` of bool, from
    `(width, colors, rows)`."""
    from scipy import ndimage

    size = 2 * _UNTOUCHED + 1
    return ndimage.maximum_filter(marked.any(axis=1, keepdims=True), (size, 1, size))
