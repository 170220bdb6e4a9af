"""Training batches by tf.data: sample, decode, crop, degrade, flip.

Batch number `step` is a pure function of the seed and `step`, see `data.sampling`.
"""

import functools
import itertools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from srgan_tf.data.sampling import Sampler
from srgan_tf.data.store import JpegCrops, Store
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.resize import resize_matrix

_MAX_CROPS_PER_CALL = 16  # read by one call of Python


def batches(
    store: Store,
    sampler: Sampler,
    *,
    start: int,
    stop: int,
    workers: int,
    share: ArrayLike | None = None,
    xla: bool = True,
    on_device: bool = False,
    degradation: Degradation | None = None,
    lr_store: Store | None = None,
) -> Iterable:
    """Batches number `start` to `stop - 1` of a run, or a share of each.

    Args:
        store: A `data.store.Store`.
        sampler: A `data.sampling.Sampler` for the sizes of its images.
        start: Number of the first batch.
        stop: Number after the last batch.
        workers: Threads that read and decode.
        share: The positions in the batch of the crops to return, int `(n,)`, increasing. Each worker reads only its own
            share. None: all.
        xla: Whether to compile `make_pairs`, which is then some five times as fast.
        on_device: Whether to call `make_pairs` on the device that takes the batch, instead of in these threads on the
            CPU.
        degradation: Makes LR by a chain drawn for each crop, in these threads. None: MATLAB's bicubic.
        lr_store: The store of LR images, the partners of those in `store` in the same order; None: LR is made from HR.

    Returns:
        An iterable of `(lr, hr)`: uint8 `(n, crop_size / scale, crop_size / scale, 3)` and uint8
        `(n, crop_size, crop_size, 3)`. A `tf.data.Dataset`, but for `on_device`.
    """
    batch_size, k, scale = sampler.batch_size, sampler.crops_per_image, sampler.scale
    places = np.arange(batch_size) if share is None else np.asarray(share)
    count = _samples_per_call(places, k)
    side, lr_side = sampler.crop_size + 4 * scale, sampler.crop_size // scale
    rounds = sampler.block // batch_size  # batches that take one crop of every sample of a block
    firsts = np.add.outer(np.arange(rounds) * batch_size, places[::count]).ravel()  # first sample of each call
    first_block, skipped = divmod(start, rounds * k)
    blocks = -(-stop // (rounds * k))

    def crops(store, first, side, corners):
        """Crops `(count, k, side, side, 3)` and their flips `(count, k)`; `corners` maps those in HR to the store's."""
        types = (tf.uint8, tf.string, tf.int32, tf.int32, tf.int32, tf.int32)
        read = functools.partial(_read, store, sampler, count, side, corners)
        *loaded, flips = tf.numpy_function(read, [first], types, stateful=False)
        return tf.ensure_shape(_decode(*loaded), [count, k, side, side, 3]), tf.ensure_shape(flips, [count, k])

    # Without AutoGraph, which would take seconds at every start; nothing here branches on a tensor in Python.
    @tf.autograph.experimental.do_not_convert
    def load(number):
        block, call = number // len(firsts), number % len(firsts)
        first = block * sampler.block + tf.gather(firsts, call)
        padded, flips = crops(store, first, side, lambda corners: corners - 2 * scale)
        if lr_store is not None:
            lr, _ = crops(lr_store, first, lr_side, lambda corners: corners // scale)
            return padded, flips, lr
        if degradation is None:
            return padded, flips
        lr = tf.numpy_function(functools.partial(_degrade, degradation, sampler), [first, padded], tf.uint8)
        return padded, flips, tf.ensure_shape(lr, [count, k, lr_side, lr_side, 3])

    @tf.autograph.experimental.do_not_convert
    def interleave(*values):
        return tuple(_interleave(each, rounds, places, batch_size) for each in values)

    data = tf.data.Dataset.range(first_block * len(firsts), blocks * len(firsts))
    data = data.map(load, num_parallel_calls=workers, deterministic=True)
    data = data.batch(len(firsts), drop_remainder=True).map(interleave)
    if k > 1:
        data = data.prefetch(1)  # the next block is made while this one is trained on
    data = data.unbatch().skip(skipped).take(stop - start)
    finished = tf.function(functools.partial(make_pairs, scale=scale), jit_compile=xla, autograph=False)
    if on_device:
        return itertools.starmap(finished, data.prefetch(2))
    return data.map(finished, num_parallel_calls=workers, deterministic=True).prefetch(2)


def _samples_per_call(share, crops_per_image):
    """The number of consecutive samples that one call reads: a divisor of the length of every run of the share."""
    runs = np.split(share, np.flatnonzero(np.diff(share) != 1) + 1)
    most = max(_MAX_CROPS_PER_CALL, crops_per_image) // crops_per_image
    return max(n for n in range(1, most + 1) if all(len(run) % n == 0 for run in runs))


def _read(store, sampler, count, side, corners, first):
    """The arguments of `_decode` for `count` samples from number `first` on, and the flips, int32 `(count, k)`."""
    samples = sampler.samples(int(first), count)
    k = sampler.crops_per_image
    encoded = np.full(count, b"", object)
    boxes = np.zeros((count, 4), np.int32)
    rows, columns = np.zeros((2, count, k, side), np.int32)
    padded = np.empty((count, k, side, side, 3), np.uint8)
    for number, picture in enumerate(samples.pictures):
        found = store.crops(int(picture), corners(samples.corners[number]), side)
        if isinstance(found, JpegCrops):
            encoded[number], boxes[number] = found.data, found.box
            rows[number], columns[number] = found.rows, found.columns
        else:
            for target, crop in zip(padded[number], found):
                target[...] = crop
    return padded, encoded, boxes, rows, columns, samples.flips


def _decode(padded, encoded, boxes, rows, columns):
    """Decodes the JPEGs in `encoded`, and fills their crops into `padded`, `(n, k, side, side, 3)`.

    With the exact transform, TensorFlow decodes to the same values as `imaging.files.read_rgb`. `encoded` has the JPEG
    of a sample or nothing; boxes, rows and columns are those of `data.store.JpegCrops`.
    """

    def decode(arguments):
        decoded, jpeg, box, rows, columns = arguments

        def decode_jpeg():
            pixels = tf.io.decode_and_crop_jpeg(jpeg, box, channels=3, dct_method="INTEGER_ACCURATE")
            return tf.map_fn(lambda indices: _cut(pixels, *indices), (rows, columns), fn_output_signature=tf.uint8)

        return tf.cond(tf.strings.length(jpeg) > 0, decode_jpeg, lambda: decoded)

    return tf.cond(
        tf.reduce_any(tf.strings.length(encoded) > 0),
        lambda: tf.map_fn(decode, (padded, encoded, boxes, rows, columns), fn_output_signature=tf.uint8),
        lambda: padded,
    )


def _cut(pixels, rows, columns):
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    inner = pixels[top:bottom, left:right]
    is_whole = tf.logical_and(bottom - top == tf.size(rows), right - left == tf.size(columns))
    return tf.cond(is_whole, lambda: inner, lambda: tf.gather(tf.gather(inner, rows - top), columns - left, axis=1))


def _degrade(degradation, sampler, first, padded):
    """LR of samples from number `first` on, whose crops `(n, k, side, side, 3)` have their margin of HR."""
    count, k = padded.shape[:2]
    lr_side, margin = sampler.crop_size // sampler.scale, 2
    corners = sampler.samples(int(first), count).corners - margin * sampler.scale
    lr = np.empty((count, k, lr_side, lr_side, 3), np.uint8)
    for sample, crop in np.ndindex(count, k):
        chain = degradation.draw((int(first) + sample) * k + crop)
        whole = chain.apply(padded[sample, crop], tuple(corners[sample, crop].tolist()))
        lr[sample, crop] = whole[margin:-margin, margin:-margin]
    return lr


def _interleave(values, rounds, share, batch_size):
    """Lays the crops of a block of samples out in batches, see `Sampler`.

    The batches of crop 0 begin at the first sample, those of each further crop somewhat later, so that a picture meets
    others each time. But all crops of a sample have one position in their batches, so that a share of the batches is a
    share of the samples.

    Args:
        values: `(calls, samples, k, ...)` tensor.
        rounds: Batches to which the samples give one crop each.
        share: See `batches`.
        batch_size: Crops a batch.

    Returns:
        `(k rounds, len(share), ...)` tensor.
    """
    k = values.shape[2]
    values = tf.reshape(values, [rounds, len(share), k, *values.shape[3:]])
    interleaved = [values[:, :, 0]]
    for number in range(1, k):
        # Of the samples before the one that these batches begin at, those of the next batch.
        early = int(np.searchsorted(share, number * batch_size // k))
        here, ahead = values[:, early:, number], tf.roll(values[:, :early, number], -1, 0)
        interleaved.append(tf.concat([ahead, here], axis=1))
    return tf.reshape(tf.stack(interleaved), [k * rounds, len(share), *values.shape[3:]])


def make_pairs(padded, flips, lr=None, *, scale):
    """Makes LR of HR if there is none, and flips and rotates both, on whichever device it is called.

    Args:
        padded: uint8 `(B, S + 4 scale, S + 4 scale, 3)` tensor of static shape: HR crops with a margin of `2 scale`.
        flips: int32 `(B,)` tensor, see `data.sampling.Samples`.
        lr: uint8 `(B, S / scale, S / scale, 3)` tensor; None: made by `degrade`.
        scale: Factor between HR and LR.

    Returns:
        `(lr, hr)`: uint8 `(B, S / scale, S / scale, 3)` and uint8 `(B, S, S, 3)` tensors.
    """
    margin = 2 * scale
    lr = degrade(padded, scale) if lr is None else lr
    return _flip(lr, flips), _flip(padded[:, margin:-margin, margin:-margin], flips)


def degrade(padded, scale):
    """MATLAB's bicubic on crops: exactly the crops of the whole images' LR.

    The kernel is summed tap by tap instead of by a matrix product: XLA compiles it to one loop, and a GPU does not
    round it to TF32.

    Args:
        padded: uint8 `(B, S + 4 scale, S + 4 scale, 3)` tensor of static shape: HR crops with a margin of `2 scale`,
            the reach of the kernel.
        scale: Factor.

    Returns:
        uint8 `(B, S / scale, S / scale, 3)` tensor.
    """
    # All rows have the same weights, shifted by `scale`, except for the outermost two, which see beyond the margin.
    weights = resize_matrix(8 * scale, 8)[[2]].toarray()[0]
    # The weights are multiples of 2^-12 at a scale of 4 and of 2^-16 at 8, the values have 8 bits: sums are exact.
    values = tf.cast(padded, tf.float32 if scale <= 4 else tf.float64)
    for axis in (1, 2):
        size = padded.shape[axis] // scale - 4
        total = 0.0
        for tap in np.flatnonzero(weights):
            end = tap + scale * (size - 1) + 1
            taken = values[:, tap:end:scale] if axis == 1 else values[:, :, tap:end:scale]
            total += taken * weights[tap]
        values = tf.clip_by_value(tf.floor(total + 0.5), 0, 255)
    return tf.cast(values, tf.uint8)


def _flip(squares, flips):
    """Flips and rotates each of the squares `(B, S, S, C)`, see `data.sampling.Samples`."""
    for bit, flip in enumerate(
        (lambda x: tf.transpose(x, [0, 2, 1, 3]), lambda x: tf.reverse(x, [1]), lambda x: tf.reverse(x, [2]))
    ):
        wanted = tf.bitwise.bitwise_and(flips, 1 << bit) > 0
        squares = tf.where(wanted[:, None, None, None], flip(squares), squares)
    return squares
