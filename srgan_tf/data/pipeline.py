"""Training crops by tf.data: pick, decode, crop, degrade, turn, batch.

Batch number `step` is a pure function of the seed and `step`: pictures are picked by a stateless shuffle and crops by
stateless random numbers. So a run that goes on from a checkpoint sees what it would have seen, and no iterator need be
saved.
"""

import contextlib
import threading

import numpy as np
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, resize_matrix


class PhotographStore:
    """Windows of photographs; decoded ones are kept in memory while there is room.

    Args:
        pictures: Of a `data.folders.Scan`.
        scale: The pictures are cut to multiples of it.
        cache_bytes: How much may be kept. Photographs are never dropped again, so that with too little room a part of
            them is always in memory, which a least-recently-used rule would not give under shuffling.

    """

    def __init__(self, pictures, scale, cache_bytes):
        self._error = None
        self._paths = [picture.path for picture in pictures]
        self._scale = scale
        self._room = cache_bytes
        self._kept = {}
        self._lock = threading.Lock()

    def _photograph(self, index):
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        pixels = crop_to_multiple(files.read_rgb(self._paths[index]), self._scale)
        with self._lock:
            if index not in self._kept and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._kept[index] = np.ascontiguousarray(pixels)
        return pixels

    @contextlib.contextmanager
    def plain_errors(self):
        """Raises the `UserError` of a `window` as it is, where tf.data has wrapped it in an error of its own."""
        try:
            yield
        except Exception:
            if self._error:
                raise self._error from None
            raise

    def window(self, index, top, left, side):
        """A square of a photograph; what lies outside repeats its border.

        Args:
            index: Number of the photograph.
            top: First row, may be negative.
            left: First column, may be negative.
            side: Rows and columns.

        Returns:
            `(side, side, 3)` uint8.

        Raises:
            UserError: The file cannot be read any more.
        """
        try:
            photograph = self._photograph(int(index))
        except UserError as error:
            self._error = error
            raise
        rows = np.clip(np.arange(top, top + side), 0, photograph.shape[0] - 1)
        columns = np.clip(np.arange(left, left + side), 0, photograph.shape[1] - 1)
        inner = photograph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return inner[(rows - rows[0])[:, None], columns - columns[0]]


def degrade(window, crop_size, scale):
    """MATLAB's bicubic on a crop: the LR crop that the whole photograph's LR would have there, pixel for pixel.

    Args:
        window: `(crop_size + 4 scale, crop_size + 4 scale, 3)` uint8 tensor: the HR crop with a margin of `2 scale`,
            which is how far the kernel reaches.
        crop_size: Side of the HR crop, a multiple of `scale`.
        scale: Factor.

    Returns:
        `(crop_size / scale, crop_size / scale, 3)` uint8 tensor.
    """
    side = crop_size + 4 * scale
    matrix = resize_matrix(side, side // scale).toarray()[2:-2]  # the outermost rows see beyond the margin
    weights = tf.constant(matrix, tf.float32)
    # The weights are multiples of 1/4096 at a scale of 4, so float32 holds every sum exactly.
    for equation in ("ij,jkc->ikc", "ij,kjc->kic"):
        resized = tf.einsum(equation, weights, tf.cast(window, tf.float32))
        window = tf.clip_by_value(tf.floor(resized + 0.5), 0, 255)
    return tf.cast(window, tf.uint8)


def crops(store, sizes, *, crop_size, batch_size, scale, seed, start, stop, workers):
    """The batches number `start` to `stop - 1` of a run.

    Every photograph comes once before any comes twice; the crop lies anywhere on the grid of LR pixels; the pair is
    turned and mirrored to one of eight ways.

    Args:
        store: A `PhotographStore`.
        sizes: Its pictures' `(height, width)`, each at least `crop_size`.
        crop_size: Side of the HR crop, pixels, a multiple of `scale`.
        batch_size: Crops a batch.
        scale: Factor between HR and LR.
        seed: Of everything that is random here.
        start: Number of the first batch.
        stop: Number after that of the last batch.
        workers: Crops made at the same time.

    Returns:
        A `tf.data.Dataset` of `(lr, hr)`: uint8 `(batch_size, crop_size / scale, crop_size / scale, 3)` and uint8
        `(batch_size, crop_size, crop_size, 3)`.
    """
    cells = tf.constant(np.asarray(sizes, np.int64) // scale - crop_size // scale + 1)  # places for a crop, per axis
    count = len(sizes)
    key = tf.constant(seed, tf.int64)
    margin = 2 * scale
    side = crop_size + 2 * margin

    def load(number):
        epoch, position = number // count, number % count
        index = tf.random.experimental.index_shuffle(position, seed=[key, epoch], max_index=count - 1)
        draw = tf.random.stateless_uniform([3], [key, number], 0, 2**30, tf.int64)
        corner = draw[:2] % cells[index] * scale
        window = tf.numpy_function(
            store.window, [index, corner[0] - margin, corner[1] - margin, side], tf.uint8, stateful=False
        )
        window.set_shape([side, side, 3])
        hr = window[margin:-margin, margin:-margin]
        return _turn(degrade(window, crop_size, scale), draw[2]), _turn(hr, draw[2])

    numbers = tf.data.Dataset.range(start * batch_size, stop * batch_size)
    loaded = numbers.map(load, num_parallel_calls=workers, deterministic=True)
    return loaded.batch(batch_size, drop_remainder=True).prefetch(2)


def _turn(square, draw):
    """One of the eight ways to lay a square down, by the lowest three bits of `draw`."""
    square = tf.cond(draw & 1 > 0, lambda: tf.transpose(square, [1, 0, 2]), lambda: square)
    square = tf.cond(draw & 2 > 0, lambda: square[::-1], lambda: square)
    return tf.cond(draw & 4 > 0, lambda: square[:, ::-1], lambda: square)
