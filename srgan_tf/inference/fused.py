"""The generator rewritten for speed: other operations, the same values."""

import numpy as np
import tensorflow as tf

from srgan_tf.inference.folding import fold
from srgan_tf.models.generator import generator_shape, receptive_margin


class FusedGenerator(tf.Module):
    """A trained G rewritten into a faster network that gives the same values but for float32's rounding.

    BN becomes part of the convolution before it, nearest x2 with the 3x3 convolution after it a transposed convolution,
    and the last convolution two that leave less of a processor idle. What remains runs there at the speed of its
    arithmetic, in TensorFlow's own kernels: without XLA, whose transposed convolutions are slow on a processor, one
    `tf.function` serves all sizes.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`; its weights are copied.
        dtype: `"float32"`, or, for GPUs, `"float16"` or `"bfloat16"`: of all layers but the last sums and tanh.

    Attributes:
        scale: The enlargement.
        blocks: Residual blocks.
        filters: Channels.
        margin: How far an output pixel sees, in LR pixels, see `models.generator.receptive_margin`.
    """

    def __init__(self, generator, dtype="float32"):
        super().__init__(name="fused_generator")
        self.blocks, self.scale, self.filters = generator_shape(generator)
        self.dtype = tf.as_dtype(dtype)
        self.margin = receptive_margin(generator)
        self._first = [weight.numpy() for weight in generator.get_layer("first_conv").weights]
        names = [f"block{block}{half}" for block in range(1, self.blocks + 1) for half in "ab"]
        self._trunk = [fold(generator, name) for name in [*names, "trunk"]]
        self._stages = [_transposed(*fold(generator, f"up{stage}")) for stage in range(1, self.scale.bit_length())]
        self._last = _in_pairs(*(weight.numpy() for weight in generator.get_layer("last_conv").weights))

    def __call__(self, lr, inside=None):
        """Upscales.

        Args:
            lr: float32 `(N, H, W, 3)` in [-1, 1].
            inside: float32 `(N or 1, H, W, 1)`, 1 where the picture is and 0 beyond it: there all features are held
                at zero, as same padding does, so that a picture in the corner of a larger array gives the same values
                as alone. None: everything is picture.

        Returns:
            float32 `(N, scale H, scale W, 3)` in [-1, 1]; beyond the picture, any values.
        """

        def constant(array):
            return tf.constant(array, self.dtype)

        def kept(x):
            return x if inside is None else x * inside

        def conv(x, weights):
            kernel, bias = weights
            return tf.nn.bias_add(tf.nn.conv2d(x, constant(kernel), 1, "SAME"), constant(bias))

        lr = tf.cast(lr, self.dtype)
        if inside is not None:
            inside = tf.cast(inside, self.dtype)
        x = first = kept(tf.nn.relu(conv(kept(lr), self._first)))
        for block in range(self.blocks):
            y = kept(tf.nn.relu(conv(x, self._trunk[2 * block])))
            x += kept(conv(y, self._trunk[2 * block + 1]))
        x = first + kept(conv(x, self._trunk[-1]))
        for kernel, bias in self._stages:
            n, height, width = tf.unstack(tf.shape(x)[:3])
            x = tf.nn.conv2d_transpose(x, constant(kernel), (n, 2 * height, 2 * width, self.filters), 2)
            if inside is not None:
                inside = tf.repeat(tf.repeat(inside, 2, 1), 2, 2)
            x = kept(tf.nn.relu(tf.nn.bias_add(x, constant(bias))))
        pairs, total, bias = self._last
        x = tf.nn.conv2d(x, constant(pairs), 1, [[0, 0], [4, 5], [4, 4], [0, 0]])
        x = tf.nn.conv2d(tf.cast(x, tf.float32), tf.constant(total), 1, "VALID", dilations=(2, 1))
        return tf.nn.tanh(tf.nn.bias_add(x, tf.constant(bias)))


def _transposed(kernel, bias):
    """Nearest x2 followed by a 3x3 convolution, as one transposed 4x4 convolution with stride 2.

    An output pixel sees 3x3 pixels, which are copies of only 2x2: so the 9 products become 4. The enlargement is the
    transposed convolution with a 2x2 box of ones; the two kernels, one after the other, are one of 4x4.
    """
    wide = np.zeros((4, 4, *kernel.shape[2:]))
    for y in range(2):
        for x in range(2):
            # A transposed convolution has its kernel the other way round.
            wide[y : y + 3, x : x + 3] += kernel[::-1, ::-1]
    return np.float32(wide.swapaxes(2, 3)), bias


def _in_pairs(kernel, bias):
    """A 9x9 convolution to 3 channels as a 2x9 convolution to 15, and a 5x1 one that adds these up.

    Of the kernel's ten rows, the last being zero, each pair has its own three channels: processors compute 16 channels
    at once, of which 3 would leave 13 idle.
    """
    channels = kernel.shape[2]
    rows = np.zeros((10, 9, channels, 3), np.float32)
    rows[:9] = kernel
    pairs = rows.reshape(5, 2, 9, channels, 3).transpose(1, 2, 3, 0, 4).reshape(2, 9, channels, 15)
    total = np.eye(15, dtype=np.float32).reshape(15, 5, 3).transpose(1, 0, 2)[:, None]
    return pairs, total.reshape(5, 1, 15, 3), bias
