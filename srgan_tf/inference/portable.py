"""The generator rewritten for the runtimes of others, in operations that all of them have and do fast."""

import numpy as np
import tensorflow as tf

from srgan_tf.inference.folding import fold
from srgan_tf.models.generator import generator_shape


class PortableGenerator(tf.Module):
    """A trained G that gives the same values but for float32's rounding, as ONNX Runtime and LiteRT like it best.

    It knows no sizes (`tf.shape`), which their converters turn into long-winded graphs or refuse, and no transposed
    convolutions, which are slow there and take twice the memory. Of nine ways to write the last three convolutions,
    this one took the least processor time in both: 0.54 of what G takes as it is, in either.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`; its weights are copied.

    Attributes:
        scale: The enlargement.
    """

    def __init__(self, generator):
        super().__init__(name="portable_generator")
        self._blocks, self.scale, _ = generator_shape(generator)
        self._first = [weight.numpy() for weight in generator.get_layer("first_conv").weights]
        names = [f"block{block}{half}" for block in range(1, self._blocks + 1) for half in "ab"]
        self._trunk = [fold(generator, name) for name in [*names, "trunk"]]
        self._stages = [_on_pixels(*fold(generator, f"up{stage}")) for stage in range(1, self.scale.bit_length())]
        self._last = _on_blocks(*(weight.numpy() for weight in generator.get_layer("last_conv").weights))

    def __call__(self, lr):
        """float32 `(N, H, W, 3)` in [-1, 1] to float32 `(N, scale H, scale W, 3)` in [-1, 1]."""
        x = first = tf.nn.relu(_conv(lr, *self._first))
        for block in range(self._blocks):
            y = tf.nn.relu(_conv(x, *self._trunk[2 * block]))
            x += _conv(y, *self._trunk[2 * block + 1])
        x = first + _conv(x, *self._trunk[-1])
        for number, (kernels, bias) in enumerate(self._stages):
            if number:
                x = tf.nn.depth_to_space(x, 2)
            phases = []
            for phase, kernel in enumerate(kernels):
                a, b = divmod(phase, 2)
                phases.append(tf.nn.relu(_conv(x, kernel, bias, [[0, 0], [1 - a, a], [1 - b, b], [0, 0]])))
            x = tf.concat(phases, -1)  # blocks of 2x2 pixels
        kernel, bias = self._last
        rows = tf.split(tf.nn.conv2d(x, tf.constant(kernel), 1, [[0, 0], [2, 2], [2, 2], [0, 0]]), 5, -1)
        total = rows[0][:, :-4]
        for row in range(1, 5):
            total += rows[row][:, row : row - 4 or None]
        return tf.nn.tanh(tf.nn.bias_add(tf.nn.depth_to_space(total, 2), tf.constant(bias)))


def _conv(x, kernel, bias, padding="SAME"):
    return tf.nn.bias_add(tf.nn.conv2d(x, tf.constant(kernel), 1, padding), tf.constant(bias))


def _on_pixels(kernel, bias):
    """Nearest x2 and a 3x3 convolution as four 2x2 convolutions of the smaller picture, one for each pixel of a block.

    In each direction, the three pixels that an output pixel sees are copies of only two.
    """
    taps = np.float64([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # [pixel of the block, tap of 2, tap of 3]
    kernels = np.einsum("apy,bqx,yxio->abpqio", taps, taps, np.float64(kernel))
    return np.float32(kernels).reshape(4, 2, 2, *kernel.shape[2:]), bias


def _on_blocks(kernel, bias):
    """A 9x9 convolution to 3 channels, over blocks of 2x2 pixels in the channels, as a 1x5 to five rows of sums.

    Each row is 12 channels, a block of 2x2 pixels; shifted and added up they are the convolution.
    """
    channels = kernel.shape[2]
    wide = np.zeros((5, 5, 2, 2, channels, 2, 2, 3), np.float32)  # rows, columns, block in, C_in, block out, C_out
    for a, b, y, x in np.ndindex(2, 2, 9, 9):
        row, above = divmod(a + y - 4, 2)
        column, before = divmod(b + x - 4, 2)
        wide[row + 2, column + 2, above, before, :, a, b] = kernel[y, x]
    wide = wide.reshape(5, 5, 4 * channels, 12)
    return wide.transpose(1, 2, 0, 3).reshape(1, 5, 4 * channels, 60), bias
