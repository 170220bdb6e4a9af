"""Computes the tiles of a picture one at a time, and smaller ones where the memory runs out."""

import dataclasses
import math
import sys
import threading

import numpy as np
import tensorflow as tf

from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference import tiling

# What a window takes of the host's memory, in bytes for each pixel of its result and each channel of G there, and for
# each pixel of its result besides. Measured as VmHWM of fresh processes on a CPU, less what they had before, with
# windows of 64x64 to 512x512, 1 and 16 blocks, scales 4 and 8: 324 to 334 with 64 channels, of which this makes 363;
# 255 with 32 (276), 194 with 16 (233), 157 with 8 (212). At scale 2 it is 272 (363).
_BYTES_PER_CHANNEL = 2.7
_BYTES_MADE = 190
_ALPHA_BYTES = 40  # float64 between the two axes of the resizing
_ALPHA_REACH = 2  # LR pixels that bicubic enlarging sees beyond its own

# One window at a time in the whole process, as the memory is the process's. TensorFlow keeps what a window took, so
# that one no larger takes nothing more.
_turn = threading.Lock()
_kept_bytes = 0


@dataclasses.dataclass(frozen=True)
class Strip:
    """Rows of N pictures of one size, and of their results.

    Attributes:
        extent: `tiling.Tiling` of a whole picture.
        window: Rows and columns that the windows of whole tiles have. All are equally large, at the borders too, since
            TensorFlow's pool of memory grows for each that is a little larger than those before.
        rows: uint8 or uint16 `(N, h, W, bands)`, of which the last is alpha if they are 2 or 4: the rows to compute,
            with their margins as far as the picture goes.
        first: The picture's row that `rows` begins with.
        result: `(N, scale h', scale W, bands)`, to be filled.
        top: The picture's row that `result` begins with.
    """

    extent: tiling.Tiling
    window: tuple[int, int]
    rows: np.ndarray
    first: int
    result: np.ndarray
    top: int

    def around(self, tile, margin, size=(0, 0)):
        """The values of a tile with its margin; and where in them the tile lies, `(top, bottom, left, right)`.

        Args:
            tile: `(top, bottom, left, right)` in the picture.
            margin: On each side.
            size: Rows and columns of the values, at least.
        """
        top, bottom, left, right = tile
        above, below = tiling.widened(top, bottom, margin, self.extent.height, size[0])
        before, behind = tiling.widened(left, right, margin, self.extent.width, size[1])
        values = self.rows[:, above - self.first : below - self.first, before:behind]
        return values, (top - above, bottom - above, left - before, right - before)


class TileRunner:
    """A network that fills tiles; safe to use from several threads, which take turns.

    Args:
        network: A `FusedGenerator`, or another function from float32 `(N, H, W, 3)` in [-1, 1] to
            `(N, scale H, scale W, 3)` with its attributes `scale`, `margin` and `filters`.

    Attributes:
        scale: The enlargement.
        margin: LR pixels around a tile that its values depend on.
        most: LR pixels that the windows of N pictures may have: fewer than those with which the memory ran out.
    """

    def __init__(self, network):
        self.scale = int(network.scale)
        self.margin = int(network.margin)
        self.most = sys.maxsize
        channels = 0 if tf.config.list_logical_devices("GPU") else int(network.filters)
        self._bytes = self.scale**2 * (_BYTES_MADE + _BYTES_PER_CHANNEL * channels)
        # One graph for all sizes: with XLA, which compiles each size anew, it is no faster.
        pixels = tf.TensorSpec((None, None, None, 3), tf.float32)
        self._generate = tf.function(lambda lr: network(lr), input_signature=[pixels], autograph=False)
        self._graphs = {}

    def costs(self, bands, dtype, made):
        """The `tiling.MemoryCosts` of a picture.

        Args:
            bands: Of the picture.
            dtype: Of the picture.
            made: How many strips of its result are held at once.
        """
        size = np.dtype(dtype).itemsize * bands
        window = int(self._bytes + (_ALPHA_BYTES if bands in (2, 4) else 0) * self.scale**2)
        return tiling.MemoryCosts(window, 2 * size, made * size * self.scale**2, _kept_bytes // window)

    def warm_up(self, bands, dtype):
        """Makes the graph for a kind of picture and runs it, so that what this takes counts as taken."""
        lr, sr = np.zeros((1, 1, 1, bands), dtype), np.empty((1, self.scale, self.scale, bands), dtype)
        strip = Strip(tiling.Tiling(1, 1, self.margin), (1, 1), lr, 0, sr, 0)
        self.fill(strip, (0, 1, 0, 1))

    def fill(self, strip, tile, rounded=True):
        """Computes a tile.

        Args:
            strip: A `Strip`.
            tile: `(top, bottom, left, right)` in LR pixels of the picture.
            rounded: Whether the result is of integers like the input, else float32 in [-1, 1], without alpha.

        Raises:
            MemoryError: The memory suffices not even for the smallest tile.
        """
        bands = strip.rows.shape[3]
        if bands in (2, 4) and rounded:
            self._place(strip, tile, self._alpha(strip, tile), slice(bands - 1, bands))
        colors = slice(0, bands - 1 if bands in (2, 4) else bands)
        waiting, whole = [tile], tile
        while waiting:
            tile, parts = waiting[0], tiling.quarters(waiting[0])
            values, place = strip.around(tile, self.margin, strip.window if tile == whole else (0, 0))
            count, height, width, _ = values.shape
            if count * height * width > self.most and len(parts) > 1:
                waiting[:1] = parts
                continue
            made = self._compute(values[..., colors], place, rounded)
            if made is not None:
                self._place(strip, tile, made, colors)
                del waiting[0]
            elif len(parts) > 1:
                self.most = min(self.most, count * height * width - 1)
            else:
                raise MemoryError(
                    f"out of memory while upscaling {width}x{height} pixels at once, the least there is; free memory of"
                    " the device, or compute on the processor (CUDA_VISIBLE_DEVICES=-1)"
                )

    def _place(self, strip, tile, values, bands):
        top, bottom, left, right = (self.scale * edge for edge in tile)
        first = self.scale * strip.top
        strip.result[:, top - first : bottom - first, left:right, bands] = values

    def _alpha(self, strip, tile):
        values, place = strip.around(tile, _ALPHA_REACH)
        top, bottom, left, right = (self.scale * edge for edge in place)
        alpha = upscale_bicubic(np.moveaxis(values[..., -1], 0, 2), self.scale)  # the pictures as bands of one
        return np.moveaxis(alpha[top:bottom, left:right], 2, 0)[..., None]

    def _compute(self, window, place, rounded):
        """The part of the windows' results that `place` names; None if the memory did not suffice."""
        global _kept_bytes
        with _turn:
            try:
                made = self._graph(window.dtype, window.shape[3], rounded)(window, place).numpy()
            except tf.errors.ResourceExhaustedError:
                return None
            _kept_bytes = max(_kept_bytes, int(math.prod(window.shape[:3]) * self._bytes))
        return made

    def _graph(self, dtype, bands, rounded):
        """The `tf.function` for a kind of picture, made when it is needed first."""
        key = np.dtype(dtype).name, bands, rounded
        if key not in self._graphs:
            self._graphs[key] = self._integer_graph(*key)
        return self._graphs[key]

    def _integer_graph(self, dtype, bands, rounded):
        scale, middle = self.scale, np.float32(np.iinfo(dtype).max / 2)
        # Looked up, because TensorFlow turns a division by a constant into a multiplication, which rounds otherwise:
        # one value of 7,000 came out a level off.
        levels = np.arange(np.iinfo(dtype).max + 1, dtype=np.float32) / middle - np.float32(1)
        window = tf.TensorSpec((None, None, None, bands), dtype)
        place = tf.TensorSpec((4,), tf.int32)

        @tf.function(input_signature=[window, place], autograph=False)
        def compute(window, place):
            top, bottom, left, right = tf.unstack(scale * place)
            lr = tf.gather(levels, tf.cast(window, tf.int32))
            if bands == 1:
                lr = tf.repeat(lr, 3, axis=-1)
            sr = self._generate(lr)[:, top:bottom, left:right]
            if bands == 1:
                sr = tf.reduce_mean(sr, axis=-1, keepdims=True)
            if not rounded:
                return sr
            return tf.cast(tf.clip_by_value(tf.round((sr + 1.0) * middle), 0.0, 2.0 * middle), dtype)

        return compute
