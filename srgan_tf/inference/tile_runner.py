"""Runs a network on the tiles of an image one at a time; where the memory runs out, on smaller tiles."""

import dataclasses
import math
import os
import sys
import threading

import numpy as np
import tensorflow as tf

from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.imaging.transparency import REACH, fill_hidden
from srgan_tf.inference import tiling
from srgan_tf.inference.networks import traced
from srgan_tf.inference.precision import NotFiniteError

# Host memory of a padded tile: bytes for each output pixel and channel of G, and for each output pixel. Measured on a
# CPU as VmHWM of new processes, less the memory before, with padded tiles of 64x64 to 512x512, 1 and 16 blocks, scales
# 4 and 8. Bytes for each output pixel, and in brackets this estimate: 324 to 334 with 64 channels (363), 255 with 32
# (276), 194 with 16 (233), 157 with 8 (212); at scale 2, 272 (363).
_BYTES_PER_CHANNEL = 2.7
_BYTES_PER_PIXEL = 190
_ALPHA_BYTES = 40  # float64 between the two axes of the resizing
_ALPHA_MARGIN = 2  # LR pixels that bicubic upscaling sees beyond the one that a pixel lies in

_lock = threading.Lock()  # one tile at a time in the whole process, since the memory is the process's
_process: int | None = None  # that made the first Upscaler


def refuse_fork() -> None:
    """Raises a `RuntimeError` in a process that was forked from one that had called this: TensorFlow would hang."""
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise RuntimeError(
            "TensorFlow hangs in a process that is forked after it was used; take multiprocessing.get_context('spawn'),"
            " or make the first Upscaler after the fork"
        )


@dataclasses.dataclass(frozen=True)
class Strip:
    """Rows of N images of one size, and of their results.

    Attributes:
        picture: `tiling.Tiling` of a whole image.
        padded_size: `(height, width)` of a tile with its margin. All are equally large, also at the borders, since
            TensorFlow's memory pool grows with each tile that is a little larger than those before.
        rows: uint8 or uint16 `(N, h, W, bands)`, the last of 2 or 4 bands being alpha: the rows to compute, with
            `row_reach` and the margin on both sides, as far as the image goes.
        first: Row of the image at which `rows` begins.
        result: `(N, scale h', scale W, bands)`, to be filled.
        top: Row of the image at which `result` begins.
    """

    picture: tiling.Tiling
    padded_size: tuple[int, int]
    rows: np.ndarray
    first: int
    result: np.ndarray
    top: int

    def padded_tile(self, tile, margin, size=(0, 0)):
        """`(values, position)`: the values of a tile with a margin on each side, at least `size` large; and where the
        tile lies in them, `(top, bottom, left, right)`."""
        top, bottom, left, right = tile
        window = self._window(tile, margin, size)
        first_row, _, first_column, _ = window
        position = top - first_row, bottom - first_row, left - first_column, right - first_column
        return self._values(window), position

    def filled_tile(self, tile, margin, size=(0, 0)):
        """The colors of `padded_tile`, with those of fully transparent pixels filled."""
        first_row, last_row, first_column, last_column = self._window(tile, margin, size)
        up, to_left = min(REACH, first_row), min(REACH, first_column)
        wide = first_row - up, last_row + REACH, first_column - to_left, last_column + REACH
        filled = fill_hidden(self._values(wide))
        return filled[:, up : up + last_row - first_row, to_left : to_left + last_column - first_column]

    def _window(self, tile, margin, size):
        top, bottom, left, right = tile
        rows = tiling.padded(top, bottom, margin, self.picture.height, size[0])
        return *rows, *tiling.padded(left, right, margin, self.picture.width, size[1])

    def _values(self, window):
        top, bottom, left, right = window
        return self.rows[:, top - self.first : bottom - self.first, left:right]


class TileRunner:
    """Computes tiles by a network, see `networks`; safe to use from several threads, one tile at a time (a lock).

    Attributes:
        scale: The scale factor.
        margin: LR pixels around a tile that its values depend on.
        max_pixels: Pixels that the padded tiles of N images may have: fewer than those with which memory ran out.
        allocated_bytes: Memory for the largest tile so far, an attribute of the class. TensorFlow keeps it, so that a
            tile that is no larger takes no more memory.
    """

    allocated_bytes = 0

    def __init__(self, network):
        self.scale = int(network.scale)
        self.margin = max(int(network.margin), _ALPHA_MARGIN)
        self.max_pixels = sys.maxsize
        channels = 0 if tf.config.list_logical_devices("GPU") else int(network.filters)
        self._feature_bytes = self.scale**2 * (_BYTES_PER_PIXEL + _BYTES_PER_CHANNEL * channels)
        self._generate = traced(network)  # without XLA, which recompiles for each size and is no faster
        self._graphs = {}

    def costs(self, bands, dtype, strips):
        """The `tiling.MemoryCosts` of an image; `strips` is the number of strips of the result in memory at once."""
        size = np.dtype(dtype).itemsize * bands
        features = int(self._feature_bytes + (_ALPHA_BYTES if _has_alpha(bands) else 0) * self.scale**2)
        return tiling.MemoryCosts(features, 2 * size, strips * size * self.scale**2, self.allocated_bytes // features)

    def warm_up(self, bands, dtype):
        """Traces and runs the graph for a kind of image, so that the memory for it is already allocated."""
        lr, sr = np.zeros((1, 1, 1, bands), dtype), np.empty((1, self.scale, self.scale, bands), dtype)
        strip = Strip(tiling.Tiling(1, 1, self.margin), (1, 1), lr, 0, sr, 0)
        self.run(strip, (0, 1, 0, 1))

    def run(self, strip, tile):
        """Computes a tile of a strip, `(top, bottom, left, right)` in LR pixels of the image, into its result.

        Raises:
            MemoryError: The memory does not suffice even for the smallest tile.
            NotFiniteError: The result has NaN.
        """
        bands = strip.rows.shape[3]
        colors = slice(0, bands)
        if _has_alpha(bands):
            self._place(strip, tile, self._alpha(strip, tile), slice(bands - 1, bands))
            colors = slice(0, bands - 1)
        waiting = [(tile, slice(0, len(strip.rows)))]
        while waiting:
            part, images = waiting[0]
            smaller = _halved(part, images)
            size = strip.padded_size if part == tile else (0, 0)
            values, position = strip.padded_tile(part, self.margin, size)
            count, height, width, _ = values[images].shape
            if count * height * width > self.max_pixels and len(smaller) > 1:
                waiting[:1] = smaller
                continue
            if _has_alpha(bands):
                values = strip.filled_tile(part, self.margin, size)
            sr = self._compute(values[images], position)
            if sr is not None:
                self._place(strip, part, sr, colors, images)
                del waiting[0]
            elif len(smaller) > 1:
                self.max_pixels = min(self.max_pixels, count * height * width - 1)
            else:
                raise MemoryError(
                    f"out of memory while upscaling {width}x{height} pixels at once, the least there is; free memory of"
                    " the device, or compute on the processor (CUDA_VISIBLE_DEVICES=-1)"
                )

    def _place(self, strip, tile, values, bands, images=slice(None)):
        top, bottom, left, right = (self.scale * edge for edge in tile)
        first = self.scale * strip.top
        strip.result[images, top - first : bottom - first, left:right, bands] = values

    def _alpha(self, strip, tile):
        values, position = strip.padded_tile(tile, _ALPHA_MARGIN)
        top, bottom, left, right = (self.scale * edge for edge in position)
        alpha = upscale_bicubic(np.moveaxis(values[..., -1], 0, 2), self.scale)  # the N images as bands of one
        return np.moveaxis(alpha[top:bottom, left:right], 2, 0)[..., None]

    def _compute(self, values, position):
        """Computes padded tiles, and cuts the result to `position`; None if the memory did not suffice."""
        refuse_fork()
        with _lock:
            try:
                sr, is_finite = self._graph(values.dtype.name, values.shape[3])(values, position)
                sr, is_finite = sr.numpy(), bool(is_finite)
            except tf.errors.ResourceExhaustedError:
                return None
            needed = int(math.prod(values.shape[:3]) * self._feature_bytes)
            TileRunner.allocated_bytes = max(TileRunner.allocated_bytes, needed)
        if not is_finite:
            raise NotFiniteError(
                "the network's values are too large for its number format (NaN); take --precision=float32, or other"
                " weights"
            )
        return sr

    def _graph(self, dtype, bands):
        """The `tf.function` for a kind of image, built at its first use."""
        key = dtype, bands
        if key not in self._graphs:
            self._graphs[key] = self._integer_graph(*key)
        return self._graphs[key]

    def _integer_graph(self, dtype, bands):
        scale, middle = self.scale, np.float32(np.iinfo(dtype).max / 2)
        # A table, because TensorFlow turns a division by a constant into a multiplication, which rounds differently:
        # one output value of 7,000 was a level off.
        levels = np.arange(np.iinfo(dtype).max + 1, dtype=np.float32) / middle - np.float32(1)

        @tf.function(
            input_signature=[tf.TensorSpec((None, None, None, bands), dtype), tf.TensorSpec((4,), tf.int32)],
            autograph=False,
        )
        def compute(values, position):
            top, bottom, left, right = tf.unstack(scale * position)
            lr = tf.gather(levels, tf.cast(values, tf.int32))
            if bands == 1:
                lr = tf.repeat(lr, 3, axis=-1)
            sr = self._generate(lr)[:, top:bottom, left:right]
            if bands == 1:
                sr = tf.reduce_mean(sr, axis=-1, keepdims=True)
            is_finite = tf.reduce_all(tf.math.is_finite(sr))
            return tf.cast(tf.clip_by_value(tf.round((sr + 1.0) * middle), 0.0, 2.0 * middle), dtype), is_finite

        return compute


def _halved(tile, images):
    """A tile of N images, `(tile, slice of the images)`, in parts: half of the images each, or `quarters` of one."""
    middle = (images.start + images.stop) // 2
    if middle > images.start:
        return [(tile, slice(images.start, middle)), (tile, slice(middle, images.stop))]
    return [(part, images) for part in tiling.quarters(tile)]


def _has_alpha(bands):
    return bands in (2, 4)


def row_reach(bands):
    """Rows beyond a padded tile that its values depend on."""
    return REACH if _has_alpha(bands) else 0
