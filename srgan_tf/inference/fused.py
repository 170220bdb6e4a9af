"""The generator rewritten for speed: other operations, the same values."""

import functools

import numpy as np
import tensorflow as tf

from srgan_tf.models.generator_weights import NEAREST_TAPS, GeneratorWeights, copy_weights, pair_names, receptive_radius

# Between the last two convolutions, in float32 where the others are in bfloat16. Eight make 99 % of the error in the
# package's weights, but oneDNN adds up in one order, whatever the size of the picture, only for more than 27.
_EXACT_CHANNELS = 32


class FusedGenerator(tf.Module):
    """A trained G rewritten into a faster network that gives the same values but for float32's rounding.

    BN becomes part of the convolution before it; nearest x2 with the 3x3 convolution after it four 2x2 convolutions of
    the smaller picture; and the last convolution one from blocks of 2x2 pixels to blocks of 2x2 pixels, which leaves
    less of a processor idle. What remains runs there at the speed of its arithmetic, in TensorFlow's own kernels:
    without XLA, one `tf.function` serves all sizes.

    All these convolutions add up each value in the same order whatever the size of the picture, in oneDNN's kernels,
    so that a tile gives the bits of the whole. Its transposed convolutions do not, nor do convolutions to 3 to 27
    channels. And ONNX Runtime and LiteRT have all of the operations, which know no sizes (`tf.shape`).

    Args:
        generator: `GeneratorWeights`; or a `keras.Model`, see `models.generator.build_generator`, whose weights are
            copied.
        dtype: `"float32"`; `"float16"`, of all layers but the last sums and tanh; or `"bfloat16"`, of all but these and
            the few channels between the last two convolutions that carry the picture: rounded to 8 bits, they cost
            SRGAN 0.06 dB.

    Attributes:
        scale: The scale factor.
        blocks: Residual blocks.
        filters: Channels.
        precision: `dtype`.
        margin: How far an output pixel sees, in LR pixels, see `models.generator.receptive_margin`.
    """

    def __init__(self, generator, dtype="float32"):
        super().__init__(name="fused_generator")
        weights = generator if isinstance(generator, GeneratorWeights) else copy_weights(generator)
        self.blocks, self.scale, self.filters = weights.blocks, weights.scale, weights.filters
        self.dtype, self.precision = tf.as_dtype(dtype), dtype
        self.margin = receptive_radius(self.blocks, self.scale)
        self._first = weights.arrays["first_conv"]
        pairs = [_fold_batch_norm(weights, name) for name in pair_names(self.blocks, self.scale)]
        trunk = 2 * self.blocks + 1
        self._trunk, self._stages = pairs[:trunk], [_upsampling_kernels(*pair) for pair in pairs[trunk:]]
        kernel, self._last_bias = weights.arrays["last_conv"]
        self._tail = self._split_channels(self._stages.pop(), _block_kernels(kernel), _importance(weights))

    def _split_channels(self, stage, last, importance):
        """The last two convolutions as parts that add up, one for each dtype: `(dtype, stage, last)`."""
        kernels, bias = stage
        order = np.argsort(-importance, kind="stable")
        exact = _EXACT_CHANNELS if self.dtype == tf.bfloat16 else 0
        groups = [(tf.float32, order[:exact]), (self.dtype, np.sort(order[exact:]))]
        return [
            (dtype, (kernels[..., channels], bias[channels]), last[..., channels, :])
            for dtype, channels in groups
            if len(channels)
        ]

    def __call__(self, lr):
        """Upscales float32 `(N, H, W, 3)` in [-1, 1] to `(N, scale H, scale W, 3)`."""
        x = first = tf.nn.relu(self._conv(tf.cast(lr, self.dtype), *self._first))
        for block in range(self.blocks):
            y = tf.nn.relu(self._conv(x, *self._trunk[2 * block]))
            x += self._conv(y, *self._trunk[2 * block + 1])
        x = first + self._conv(x, *self._trunk[-1])
        for stage in self._stages:
            x = tf.nn.depth_to_space(tf.concat(list(self._pixels(x, stage)), -1), 2)
        parts = [(kernels, self._pixels(tf.cast(x, dtype), stage)) for dtype, stage, kernels in self._tail]
        # One pixel of the blocks after the other, since two or more at a time would take more memory.
        sums = None
        for pixel in range(4):
            for kernels, pixels in parts:
                with tf.control_dependencies([] if sums is None else [sums]):
                    part = self._conv(next(pixels), kernels[pixel], padding=[[0, 0], [2, 2], [2, 2], [0, 0]])
                part = tf.cast(part, tf.float32)
                sums = part if sums is None else sums + part
        rows = tf.split(sums, 5, -1)
        total = functools.reduce(tf.add, (part[:, row : row - 4 or None] for row, part in enumerate(rows)))
        return tf.nn.tanh(tf.nn.bias_add(tf.nn.depth_to_space(total, 2), tf.constant(self._last_bias)))

    def _conv(self, x, kernel, bias=None, padding="SAME"):
        x = tf.nn.conv2d(x, tf.constant(kernel, x.dtype), 1, padding)
        return x if bias is None else tf.nn.bias_add(x, tf.constant(bias, x.dtype))

    def _pixels(self, x, stage):
        """Each pixel of the 2x2 that a pixel of `x` becomes: `(N, H, W, filters)`, row by row."""
        kernels, bias = stage
        for pixel, kernel in enumerate(kernels):
            a, b = divmod(pixel, 2)
            yield tf.nn.relu(self._conv(x, kernel, bias, [[0, 0], [1 - a, a], [1 - b, b], [0, 0]]))


def _importance(weights):
    """How much of the result each channel between the last two convolutions carries: its expected square times theirs.

    The expected square follows from the BN before, after which a channel has the mean beta and the deviation gamma.
    """
    gamma, beta, *_ = map(np.float64, weights.arrays[f"up{weights.scale.bit_length() - 1}_bn"])
    kernel, _ = weights.arrays["last_conv"]
    return (np.maximum(beta, 0) ** 2 + gamma**2) * np.square(np.float64(kernel)).sum(axis=(0, 1, 3))


def _fold_batch_norm(weights, name):
    """A convolution and the BN behind it, in inference mode, as one convolution: its float32 kernel and bias.

    Args:
        weights: `GeneratorWeights`.
        name: Of the pair: "block1a", "trunk", "up1".
    """
    (kernel,) = weights.arrays[f"{name}_conv"]
    gamma, beta, mean, variance = map(np.float64, weights.arrays[f"{name}_bn"])
    factor = gamma / np.sqrt(variance + weights.epsilon)
    return np.float32(kernel * factor), np.float32(beta - mean * factor)


def _upsampling_kernels(kernel, bias):
    """Nearest x2 and a 3x3 convolution as four 2x2 convolutions of the smaller picture, one for each pixel of a block.

    As `models.layers.NearestConv2D` has them.
    """
    kernels = np.einsum("apy,bqx,yxio->abpqio", NEAREST_TAPS, NEAREST_TAPS, np.float64(kernel))
    return np.float32(kernels).reshape(4, 2, 2, *kernel.shape[2:]), bias


def _block_kernels(kernel):
    """A 9x9 convolution to 3 channels, from each pixel of blocks of 2x2 pixels, as a 1x5 to five rows of sums.

    Each row is 12 channels, a block of 2x2 pixels; shifted and added up they are the convolution.
    """
    channels = kernel.shape[2]
    wide = np.zeros((2, 2, 5, 5, channels, 2, 2, 3), np.float32)  # block in, columns, rows, C_in, block out, C_out
    for a, b, y, x in np.ndindex(2, 2, 9, 9):
        row, above = divmod(a + y - 4, 2)
        column, before = divmod(b + x - 4, 2)
        wide[above, before, column + 2, row + 2, :, a, b] = kernel[y, x]
    wide = wide.reshape(4, 1, 5, 5, channels, 12).transpose(0, 1, 2, 4, 3, 5)
    return wide.reshape(4, 1, 5, channels, 60)
