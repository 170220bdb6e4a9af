"""A convolution of the generator, written so that it costs less; it equals the plain layer that it names."""

import keras
from keras import ops


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
        kwargs["padding"] = "same"
        super().__init__(filters, kernel_size, **kwargs)
        size = self.kernel_size
        if size[0] != size[1] or size[0] % 2 == 0:
            raise ValueError(f"kernel_size must be odd and square. Received: {size}")

    def call(self, inputs):
        k, channels = self.kernel_size[0], inputs.shape[-1]
        # (k, k, C_in, C_out) -> (1, k, C_in, k * C_out): the kernel's rows become output channels.
        rows = ops.reshape(ops.transpose(self.kernel, (1, 2, 0, 3)), (1, k, channels, k * self.filters))
        rows = ops.cast(rows, inputs.dtype)
        height = ops.shape(inputs)[1]
        padded = ops.pad(inputs, ((0, 0), (k // 2, k // 2), (0, 0), (0, 0)))
        partial = ops.conv(padded, rows, padding="same", data_format="channels_last")  # (N, H + k - 1, W, k * C_out)
        total = self.bias if self.use_bias else 0.0
        for row in range(k):
            part = partial[:, row : row + height, :, row * self.filters : (row + 1) * self.filters]
            total = total + ops.cast(part, "float32")
        return self.activation(total)
