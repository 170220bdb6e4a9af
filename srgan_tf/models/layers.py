"""Faster equivalents of standard layers; each names the layers that it equals."""

import keras
from keras import ops

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.models.generator_weights import NEAREST_TAPS


@keras.saving.register_keras_serializable(package="srgan_tf")
class NearestConv2D(keras.layers.Conv2D):
    """`UpSampling2D(2, interpolation="nearest")` and then `Conv2D` 3x3 with stride 1 and same padding.

    The 3x3 pixels under the kernel are copies of only 2x2 pixels, so each of the four new pixels is a 2x2 convolution
    of the smaller image: 2.25 times less arithmetic.

    Args:
        filters: Output channels.
        kernel_size: 3.
        **kwargs: Of `keras.layers.Conv2D`; no strides, dilation or groups.

    Input shape: `(N, H, W, C_in)`.
    Output shape: `(N, 2 H, 2 W, filters)`.
    """

    def __init__(self, filters, kernel_size=3, **kwargs):
        super().__init__(filters, kernel_size, **kwargs | {"padding": "same"})

    def call(self, inputs):
        kernels = ops.einsum("apy,bqx,yxio->abpqio", NEAREST_TAPS, NEAREST_TAPS, ops.cast(self.kernel, "float32"))
        kernels = ops.cast(kernels, inputs.dtype)
        height, width = ops.shape(inputs)[1:3]
        rows = []
        for a in (0, 1):
            pixels = []
            for b in (0, 1):
                padded = ops.pad(inputs, ((0, 0), (1 - a, a), (1 - b, b), (0, 0)))
                pixels.append(ops.conv(padded, kernels[a, b], padding="valid", data_format="channels_last"))
            rows.append(ops.reshape(ops.stack(pixels, axis=3), (-1, height, 2 * width, self.filters)))
        outputs = ops.reshape(ops.stack(rows, axis=2), (-1, 2 * height, 2 * width, self.filters))
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return batch, *(None if side is None else 2 * side for side in (height, width)), self.filters


@keras.saving.register_keras_serializable(package="srgan_tf")
class RowConv2D(keras.layers.Conv2D):
    """`Conv2D` with stride 1 and same padding, for large kernels with few outputs.

    A k x k convolution to C channels is computed as a 1 x k convolution to k * C channels and k shifted sums. The
    arithmetic is the same, but a convolution to 3 channels leaves most of a processor idle: G's last one (9x9 to 3)
    otherwise takes 40 % of its time for a ninth of its arithmetic. The sums are in float32 under every policy.

    Args:
        filters: Output channels.
        kernel_size: k, odd.
        **kwargs: Of `keras.layers.Conv2D`; no strides, dilation or groups.

    Input shape: `(N, H, W, C_in)`.
    Output shape: `(N, H, W, filters)`, float32.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(filters, kernel_size, **kwargs | {"padding": "same"})

    def call(self, inputs):
        k, channels = self.kernel_size[0], inputs.shape[-1]
        # (k, k, C_in, C_out) -> (1, k, C_in, k * C_out): the kernel's rows become output channels.
        rows = ops.reshape(ops.transpose(self.kernel, (1, 2, 0, 3)), (1, k, channels, k * self.filters))
        rows = ops.cast(rows, inputs.dtype)
        height = ops.shape(inputs)[1]
        padded = ops.pad(inputs, ((0, 0), (k // 2, k // 2), (0, 0), (0, 0)))
        partial = ops.conv(padded, rows, padding="same", data_format="channels_last")  # (N, H + k - 1, W, k * C_out)
        total = self.bias if self.use_bias else 0.0
        # Split the channels first and cut the rows then, so that the gradient of each part is as small as the part.
        for row, part in enumerate(ops.split(partial, k, axis=-1)):
            total = total + ops.cast(part[:, row : row + height], "float32")
        return self.activation(total)
