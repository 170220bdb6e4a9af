"""The generator rewritten for speed: the same values by other operations."""

import functools

import numpy as np
import tensorflow as tf

from srgan_tf.models.generator_weights import NEAREST_TAPS, GeneratorWeights, copy_weights, pair_names, receptive_radius

# Channels between the last two convolutions that stay in float32 if the others are in bfloat16. Eight cause 99 % of the
# error with the package's weights, but oneDNN sums in the same order for all image sizes only with more than 27.
_EXACT_CHANNELS = 32


class FusedGenerator(tf.Module):
    """A trained G rewritten into a faster network with the same values, up to float32's rounding.

    BN becomes part of the convolution before it. Nearest x2 and the 3x3 convolution after it become four 2x2
    convolutions of the smaller image. The last convolution becomes one from blocks of 2x2 pixels to blocks of 2x2
    pixels, which leaves less of a processor idle. TensorFlow's own kernels then run at the speed of the arithmetic, so
    that XLA is not needed and one `tf.function` serves all sizes.

    In oneDNN's kernels, all these convolutions sum each value in the same order for every image size, so that a tile
    equals the whole image bit for bit. Transposed convolutions do not, nor do convolutions to 3 to 27 channels. ONNX
    Runtime and LiteRT have all of the operations, none of which needs a size (`tf.shape`).

    Args:
        generator: `GeneratorWeights`; or a `keras.Model`, see `models.generator.build_generator`, whose weights are
            copied.
        dtype: `"float32"`; `"float16"` for all layers but the last sums and tanh; or `"bfloat16"` for all but these and
            the few channels between the last two convolutions that carry the image, whose rounding to 8 bits would
            cost SRGAN 0.06 dB.

    Attributes:
        scale: The scale factor.
        blocks: Residual blocks.
        filters: Channels.
        precision: `dtype`.
        margin: Radius of the receptive field, LR pixels, see `models.generator_weights.receptive_radius`.
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
        """The last two convolutions as a sum of parts, one for each dtype: `(dtype, stage, last)`."""
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
        # One pixel of the blocks at a time, to save memory.
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
        """Yields each pixel of the 2x2 blocks that pixels of `x` become: `(N, H, W, filters)`, row by row."""
        kernels, bias = stage
        for pixel, kernel in enumerate(kernels):
            a, b = divmod(pixel, 2)
            yield tf.nn.relu(self._conv(x, kernel, bias, [[0, 0], [1 - a, a], [1 - b, b], [0, 0]]))


def _importance(weights):
    """The share of each channel between the last two convolutions in the result: its expected square times the sum of
    its squared weights in the last one.

    After BN a channel has mean beta and standard deviation gamma, from which the expected square follows.
    """
    gamma, beta, *_ = map(np.float64, weights.arrays[f"up{weights.scale.bit_length() - 1}_bn"])
    kernel, _ = weights.arrays["last_conv"]
    return (np.maximum(beta, 0) ** 2 + gamma**2) * np.square(np.float64(kernel)).sum(axis=(0, 1, 3))


def _fold_batch_norm(weights, name):
    """The float32 kernel and bias of one convolution that equals a convolution followed by BN in inference mode.

    Args:
        weights: `GeneratorWeights`.
        name: Name of the pair: "block1a", "trunk", "up1".
    """
    (kernel,) = weights.arrays[f"{name}_conv"]
    gamma, beta, mean, variance = map(np.float64, weights.arrays[f"{name}_bn"])
    factor = gamma / np.sqrt(variance + weights.epsilon)
    return np.float32(kernel * factor), np.float32(beta - mean * factor)


def _upsampling_kernels(kernel, bias):
    """Nearest x2 and a 3x3 convolution as four 2x2 convolutions of the smaller image, one for each pixel of a block.

    See `models.layers.NearestConv2D`.
    """
    kernels = np.einsum("apy,bqx,yxio->abpqio", NEAREST_TAPS, NEAREST_TAPS, np.float64(kernel))
    return np.float32(kernels).reshape(4, 2, 2, *kernel.shape[2:]), bias


def _block_kernels(kernel):
    """A 9x9 convolution to 3 channels as 1x5 convolutions, one for each pixel of the input's 2x2 blocks.

    Each makes five rows of 12 channels, which are 2x2 blocks of the output; shifted and summed, they are the result.
    """
    channels = kernel.shape[2]
    wide = np.zeros((2, 2, 5, 5, channels, 2, 2, 3), np.float32)  # block in, columns, rows, C_in, block out, C_out
    for a, b, y, x in np.ndindex(2, 2, 9, 9):
        row, above = divmod(a + y - 4, 2)
        column, before = divmod(b + x - 4, 2)
        wide[above, before, column + 2, row + 2, :, a, b] = kernel[y, x]
    wide = wide.reshape(4, 1, 5, 5, channels, 12).transpose(0, 1, 2, 4, 3, 5)
    return wide.reshape(4, 1, 5, channels, 60)
