"""Training batches by tf.data: pick, decode, crop, degrade, turn.

Batch number `step` is a pure function of the seed and `step`, see `data.sampling`.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

from srgan_tf.data.sampling import Sampler
from srgan_tf.data.store import JpegWindows
from srgan_tf.imaging.resize import resize_matrix

_TOGETHER = 16  # crops, at most, that one call of Python brings


def crops(
    store,
    sizes,
    *,
    crop_size,
    batch_size,
    scale,
    seed,
    start,
    stop,
    workers,
    crops_per_image=1,
    share=None,
    xla=True,
    finish="input",
):
    """The batches number `start` to `stop - 1` of a run, or a share of each.

    Args:
        store: A `data.store.Store`.
        sizes: Its pictures' `(height, width)`, each at least `crop_size`.
        crop_size: Side of the HR crop, pixels, a multiple of `scale`.
        batch_size: Crops a batch.
        scale: Factor between HR and LR.
        seed: Of everything that is random here, in [0, 2**32).
        start: Number of the first batch.
        stop: Number after that of the last batch.
        workers: Threads that read and decode.
        crops_per_image: Crops that come from one decoding of a picture, in different batches; see `data.sampling`.
        share: The places in the batch of the crops that are wanted, int `(n,)`, rising: the shares of several workers
            make up the batch of one, and each decodes no more than its own. None: all.
        xla: Compile `finish_crops`, which makes it some five times as fast.
        finish: Who calls `finish_crops`: "input", these threads, on the CPU; "device", whoever takes a batch, on the
            device that computes there; or "nobody".

    Returns:
        An iterable of `(lr, hr)`: uint8 `(n, crop_size / scale, crop_size / scale, 3)` and uint8
        `(n, crop_size, crop_size, 3)`. If nobody finishes, of the first two arguments of `finish_crops`. A
        `tf.data.Dataset`, but for "device".
    """
    rounds, side = crops_per_image, crop_size + 4 * scale
    sampler = Sampler(sizes, crop_size=crop_size, batch_size=batch_size, scale=scale, seed=seed, crops_per_image=rounds)
    share = np.arange(batch_size) if share is None else np.asarray(share)
    together = _together(share, rounds)
    # Each batch of a round begins at another visit, so that a picture meets others each time; but the crops of a visit
    # stand at one place in all their batches, so that a share of the batches is a share of the visits.
    batches = sampler.block // batch_size
    batches_of_block = batches * rounds
    begun, passed = divmod(start, batches_of_block)
    firsts = np.add.outer(np.arange(batches) * batch_size, share[::together]).ravel()  # of the calls of a block

    # Nothing here branches on a tensor in Python; AutoGraph's reading of it all would take seconds at every start.
    @tf.autograph.experimental.do_not_convert
    def load(number):
        kinds = (tf.uint8, tf.string, tf.int32, tf.int32, tf.int32, tf.int32)
        read = functools.partial(_read, store, sampler, together, 2 * scale, side)
        block, call = number // len(firsts), number % len(firsts)
        first = block * sampler.block + tf.gather(firsts, call)
        *loaded, turns = tf.numpy_function(read, [first], kinds, stateful=False)
        windows = _decode(*loaded)
        return tf.ensure_shape(windows, [together, rounds, side, side, 3]), tf.ensure_shape(turns, [together, rounds])

    @tf.autograph.experimental.do_not_convert
    def deal(windows, turns):
        """From `(calls, together, rounds, ...)` of a block to `(batches_of_block, n, ...)`."""
        dealt = []
        for values in (windows, turns):
            values = tf.reshape(values, [batches, len(share), rounds, *values.shape[3:]])
            laps = [values[:, :, 0]]
            for lap in range(1, rounds):
                # Of the visits before the one that the lap begins at, those of the next row.
                early = int(np.searchsorted(share, lap * batch_size // rounds))
                here, ahead = values[:, early:, lap], tf.roll(values[:, :early, lap], -1, 0)
                laps.append(tf.concat([ahead, here], axis=1))
            dealt.append(tf.reshape(tf.stack(laps), [batches_of_block, len(share), *values.shape[3:]]))
        return tuple(dealt)

    calls = len(firsts)
    blocks = -(-stop // batches_of_block)
    data = tf.data.Dataset.range(begun * calls, blocks * calls)
    data = data.map(load, num_parallel_calls=workers, deterministic=True)
    data = data.batch(calls, drop_remainder=True).map(deal)
    if rounds > 1:
        data = data.prefetch(1)  # the next block is made while this one is trained on
    data = data.unbatch().skip(passed).take(stop - start)
    finished = tf.function(functools.partial(finish_crops, scale=scale), jit_compile=xla, autograph=False)
    if finish == "input":
        data = data.map(finished, num_parallel_calls=workers, deterministic=True)
    data = data.prefetch(2)
    return itertools.starmap(finished, data) if finish == "device" else data


def _together(share, rounds):
    """How many crops one call of Python brings: they are of consecutive visits, and divide every run of the share."""
    runs = np.split(share, np.flatnonzero(np.diff(share) != 1) + 1)
    most = max(_TOGETHER, rounds) // rounds
    return max(n for n in range(1, most + 1) if all(len(run) % n == 0 for run in runs))


def _read(store, sampler, together, margin, side, first):
    """The arguments of `_decode` for visits from number `first` on, and the turns, int32 `(together, rounds)`."""
    visits = sampler.visits(int(first), together)
    rounds = visits.turns.shape[1]
    data = np.full(together, b"", object)
    boxes = np.zeros((together, 4), np.int32)
    rows, columns = np.zeros((2, together, rounds, side), np.int32)
    windows = np.empty((together, rounds, side, side, 3), np.uint8)
    for call, picture in enumerate(visits.pictures):
        found = store.windows(int(picture), visits.corners[call] - margin, side)
        if isinstance(found, JpegWindows):
            data[call], boxes[call], rows[call], columns[call] = found.data, found.box, found.rows, found.columns
        else:
            for target, window in zip(windows[call], found):
                target[...] = window
    return windows, data, boxes, rows, columns, visits.turns


def _decode(windows, data, boxes, rows, columns):
    """Puts the windows of encoded JPEGs to those that are ready.

    TensorFlow and Pillow both decode by libjpeg-turbo and, asked for the exact transform, to the same values.

    Args:
        windows: uint8 `(n, k, side, side, 3)`.
        data: string `(n,)`, the JPEG or nothing.
        boxes: int32 `(n, 4)`, see `data.store.JpegWindows`.
        rows: int32 `(n, k, side)`.
        columns: int32 `(n, k, side)`.

    Returns:
        `windows`, all ready.
    """

    def decode(arguments):
        ready, data, box, rows, columns = arguments

        def windows():
            pixels = tf.io.decode_and_crop_jpeg(data, box, channels=3, dct_method="INTEGER_ACCURATE")
            return tf.map_fn(lambda ends: _cut(pixels, *ends), (rows, columns), fn_output_signature=tf.uint8)

        return tf.cond(tf.strings.length(data) > 0, windows, lambda: ready)

    return tf.cond(
        tf.reduce_any(tf.strings.length(data) > 0),
        lambda: tf.map_fn(decode, (windows, data, boxes, rows, columns), fn_output_signature=tf.uint8),
        lambda: windows,
    )


def _cut(pixels, rows, columns):
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    inner = pixels[top:bottom, left:right]
    whole = tf.logical_and(bottom - top == tf.size(rows), right - left == tf.size(columns))
    return tf.cond(whole, lambda: inner, lambda: tf.gather(tf.gather(inner, rows - top), columns - left, axis=1))


def finish_crops(windows, turns, scale):
    """Makes LR and turns the pairs, on whichever device it is called.

    Args:
        windows: uint8 `(B, S + 4 scale, S + 4 scale, 3)` tensor of static shape: HR crops with a margin of `2 scale`.
        turns: int32 `(B,)` tensor, see `data.sampling.Visits`.
        scale: Factor between HR and LR.

    Returns:
        `(lr, hr)`: uint8 `(B, S / scale, S / scale, 3)` and uint8 `(B, S, S, 3)` tensors.
    """
    margin = 2 * scale
    return _turn(degrade(windows, scale), turns), _turn(windows[:, margin:-margin, margin:-margin], turns)


def degrade(windows, scale):
    """MATLAB's bicubic on crops: the LR crops that the whole pictures' LR would have there, pixel for pixel.

    The kernel is summed tap by tap instead of by a matrix product: XLA makes one loop of it, and a GPU does not round
    it to TF32.

    Args:
        windows: uint8 `(B, S + 4 scale, S + 4 scale, 3)` tensor of static shape: HR crops with a margin of `2 scale`,
            which is how far the kernel reaches.
        scale: Factor.

    Returns:
        uint8 `(B, S / scale, S / scale, 3)` tensor.
    """
    # All rows but the outermost two, which see beyond the margin, hold the same weights, each `scale` further.
    weights = resize_matrix(8 * scale, 8)[[2]].toarray()[0]
    # The weights are multiples of 2^-12 at a scale of 4 and of 2^-16 at 8, the values have 8 bits: sums are exact.
    values = tf.cast(windows, tf.float32 if scale <= 4 else tf.float64)
    for axis in (1, 2):
        size = windows.shape[axis] // scale - 4
        total = 0.0
        for tap in np.flatnonzero(weights):
            end = tap + scale * (size - 1) + 1
            taken = values[:, tap:end:scale] if axis == 1 else values[:, :, tap:end:scale]
            total += taken * weights[tap]
        values = tf.clip_by_value(tf.floor(total + 0.5), 0, 255)
    return tf.cast(values, tf.uint8)


def _turn(squares, turns):
    """Lays each of the squares `(B, S, S, C)` down in one of the eight ways."""
    for bit, turn in enumerate(
        (lambda x: tf.transpose(x, [0, 2, 1, 3]), lambda x: tf.reverse(x, [1]), lambda x: tf.reverse(x, [2]))
    ):
        wanted = tf.bitwise.bitwise_and(turns, 1 << bit) > 0
        squares = tf.where(wanted[:, None, None, None], turn(squares), squares)
    return squares
