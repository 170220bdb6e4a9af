"""The baselines of the published tables: SRCNN, ESPCN and DRCN.

All work on Y alone, as in their papers; colours are bicubic's. A change of Y at constant Cb and Cr changes R, G and B
by the same amount, so it is added to the bicubic image.
"""

import math

import keras
import numpy as np
from keras import initializers, layers, ops

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.imaging.color import LUMA_OF_UNIT_RGB
from srgan_tf.imaging.resize import keys_cubic

_BICUBIC_REACH = 2  # LR pixels


@keras.saving.register_keras_serializable(package="srgan_tf")
class EdgePadding(layers.Layer):
    """Repeats the outermost pixels `size` times on each side: `(N, H, W, C)` to `(N, H + 2 size, W + 2 size, C)`."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        for axis in (1, 2):
            first = ops.take(inputs, [0] * self.size, axis=axis)
            last = ops.take(ops.flip(inputs, axis=axis), [0] * self.size, axis=axis)
            inputs = ops.concatenate([first, inputs, last], axis=axis)
        return inputs

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return batch, *(None if side is None else side + 2 * self.size for side in sides), channels

    def get_config(self):
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable(package="srgan_tf")
class PixelShuffle(layers.Layer):
    """Rearranges `scale**2 C` channels of a pixel into `scale` x `scale` pixels of C: Shi et al. 2016, equation 4.

    Input shape: `(N, H, W, scale**2 C)`, channels in the order row in the block, column in the block, C.
    Output shape: `(N, scale H, scale W, C)`.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        height, width = ops.shape(inputs)[1:3]
        channels = inputs.shape[-1] // self.scale**2
        x = ops.reshape(inputs, (-1, height, width, self.scale, self.scale, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, self.scale * height, self.scale * width, channels))

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        upscaled = (None if side is None else side * self.scale for side in sides)
        return batch, *upscaled, channels // self.scale**2

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


@keras.saving.register_keras_serializable(package="srgan_tf")
class BicubicUpsampling(PixelShuffle):
    """MATLAB's bicubic upscaling, `imaging.resize.upscale_bicubic` without its rounding, as one convolution.

    Input shape: `(N, H, W, C)`, any values.
    Output shape: `(N, scale H, scale W, C)`.
    """

    def __init__(self, scale, **kwargs):
        super().__init__(scale, **kwargs)
        # The positions of the new pixels in one old pixel. Together they depend on five old pixels along each axis.
        positions = (np.arange(scale) + 0.5) / scale - 0.5
        taps = keys_cubic(positions[:, None] - np.arange(-_BICUBIC_REACH, _BICUBIC_REACH + 1))  # (scale, 5)
        self._kernel = np.float32(np.einsum("ay,bx->yxab", taps, taps).reshape(5, 5, 1, scale**2))
        self._pad = EdgePadding(_BICUBIC_REACH, dtype=self.dtype)

    def build(self, input_shape):
        self._pad.build(input_shape)

    def call(self, inputs):
        height, width = ops.shape(inputs)[1:3]
        channels = inputs.shape[-1]
        # Channels become single-channel images, so that one kernel serves all.
        planes = ops.reshape(ops.transpose(self._pad(inputs), (0, 3, 1, 2)), (-1, height + 4, width + 4, 1))
        planes = ops.conv(planes, self._kernel, padding="valid", data_format="channels_last")
        planes = ops.reshape(super().call(planes), (-1, channels, self.scale * height, self.scale * width))
        return ops.transpose(planes, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return batch, *(None if side is None else side * self.scale for side in sides), channels


@keras.saving.register_keras_serializable(package="srgan_tf")
class Luma(layers.Layer):
    """Y of RGB, both in [-1, 1]: `(N, H, W, 3)` to `(N, H, W, 1)`; BT.601."""

    def call(self, inputs):
        return ops.sum(inputs * LUMA_OF_UNIT_RGB, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], 1


@keras.saving.register_keras_serializable(package="srgan_tf")
class WeightedSum(layers.Layer):
    """A weighted sum over channels, `(N, H, W, C)` to `(N, H, W, 1)`; the weights are learned, and equal at first."""

    def build(self, input_shape):
        equal = initializers.Constant(1 / input_shape[-1])
        self.kernel = self.add_weight(shape=(input_shape[-1],), initializer=equal, name="kernel")

    def call(self, inputs):
        return ops.sum(inputs * ops.cast(self.kernel, inputs.dtype), axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], 1


@keras.saving.register_keras_serializable(package="srgan_tf")
class SelfConnections(initializers.Initializer):
    """Initializes a convolution as the identity: each filter takes the middle of its own channel."""

    def __call__(self, shape, dtype=None):
        kernel = np.zeros(shape, np.float32)
        kernel[shape[0] // 2, shape[1] // 2] = np.eye(*shape[2:])
        return ops.convert_to_tensor(kernel, dtype=dtype)


def build_srcnn(scale: int = 4) -> keras.Model:
    """Builds SRCNN 9-5-5: Dong et al. 2016 (arXiv 1501.00092v3), section 4.3.2, with 64 and 32 filters.

        Y of the bicubic image
        conv 9x9 x64, ReLU
        conv 5x5 x32, ReLU
        conv 5x5 x1

    The initial weights are the paper's, Gaussian with a standard deviation of 0.001. The border is padded by repeating
    pixels, as in its MATLAB code.

    Args:
        scale: Scale factor: 2, 4 or 8.

    Returns:
        A `keras.Model` named "srcnn", with input and output of `models.generator.build_generator`.
    """
    start = {"kernel_initializer": initializers.RandomNormal(stddev=1e-3)}
    lr, bicubic = _bicubic(scale)
    y = bicubic_y = Luma(dtype="float32", name="y")(bicubic)
    y = EdgePadding(8, name="pad")(y)
    y = layers.Conv2D(64, 9, activation="relu", name="conv1", **start)(y)
    y = layers.Conv2D(32, 5, activation="relu", name="conv2", **start)(y)
    y = layers.Conv2D(1, 5, name="conv3", **start)(y)
    return _replace_luma("srcnn", lr, bicubic, bicubic_y, y)


def build_espcn(scale: int = 4) -> keras.Model:
    """Builds ESPCN: Shi et al. 2016 (arXiv 1609.05158), section 3.2: l = 3, (5, 64), (3, 32), 3, with tanh.

        Y of LR
        conv 5x5 x64, tanh
        conv 3x3 x32, tanh
        conv 3x3 x scale**2, pixel shuffle

    The paper does not state the initial weights; here they are Keras' (Glorot).

    Args:
        scale: Scale factor: 2, 4 or 8.

    Returns:
        A `keras.Model` named "espcn", with input and output of `models.generator.build_generator`.
    """
    lr, bicubic = _bicubic(scale)
    y = Luma(dtype="float32", name="y")(lr)
    y = EdgePadding(4, name="pad")(y)
    y = layers.Conv2D(64, 5, activation="tanh", name="conv1")(y)
    y = layers.Conv2D(32, 3, activation="tanh", name="conv2")(y)
    y = layers.Conv2D(scale**2, 3, name="conv3")(y)
    y = PixelShuffle(scale, name="shuffle")(y)
    return _replace_luma("espcn", lr, bicubic, Luma(dtype="float32", name="bicubic_y")(bicubic), y)


def build_drcn(scale: int = 4, filters: int = 256, recursions: int = 16) -> keras.Model:
    """Builds DRCN, deeply recursive: Kim et al. 2016 (arXiv 1511.04491), figure 3 (a), sections 3 and 5.2.

        Y of the bicubic image
        embedding: conv 3x3, ReLU, twice
        inference: the same conv 3x3, ReLU, `recursions` times
        reconstruction after each recursion: conv 3x3, ReLU, conv 3x3 x1, plus the bicubic Y
        weighted sum of the reconstructions, with learned weights

    The initial weights are the paper's: He's, and the identity for the recursion. The layer "each" outputs the
    reconstructions, `(N, scale H, scale W, recursions)`, for the loss of `training.steps`.

    Args:
        scale: Scale factor: 2, 4 or 8.
        filters: Channels of every layer but the last.
        recursions: Number of times that the recursive layer is applied.

    Returns:
        A `keras.Model` named "drcn", with input and output of `models.generator.build_generator`.
    """

    def convolution(count, name, **options):
        return layers.Conv2D(count, 3, padding="same", name=name, **{"kernel_initializer": "he_normal"} | options)

    lr, bicubic = _bicubic(scale)
    bicubic_y = Luma(dtype="float32", name="y")(bicubic)
    x = convolution(filters, "embedding1", activation="relu")(bicubic_y)
    x = convolution(filters, "embedding2", activation="relu")(x)
    recursion = convolution(filters, "recursion", activation="relu", kernel_initializer=SelfConnections())
    first, last = convolution(filters, "reconstruction1", activation="relu"), convolution(1, "reconstruction2")
    residuals = []
    for _ in range(recursions):
        x = recursion(x)
        residuals.append(last(first(x)))
    each = layers.Add(dtype="float32", name="each")([layers.Concatenate(name="residuals")(residuals), bicubic_y])
    return _replace_luma("drcn", lr, bicubic, bicubic_y, WeightedSum(dtype="float32", name="ensemble")(each))


def with_recursions(model):
    """A model with the weights of a DRCN that outputs SR and the reconstruction of each recursion; None for another
    model."""
    if model.name != "drcn":
        return None
    return keras.Model(model.input, [model.output, model.get_layer("each").output], name="drcn_recursions")


def loss_border(model):
    """The width of a crop's border, in HR pixels, that the training loss leaves out: there the model sees padding.

    SRCNN's paper compares the central pixels alone (section 3.3); ESPCN's crops overlap so that every pixel of a
    photograph counts once (section 3.2). DRCN pads with zeros and counts every pixel, as G does.
    """
    return margin_of(model) * scale_of(model) if model.name in ("srcnn", "espcn") else 0


def _bicubic(scale):
    lr = layers.Input((None, None, 3), name="lr")
    return lr, BicubicUpsampling(scale, dtype="float32", name="bicubic")(lr)


def _replace_luma(name, lr, bicubic, bicubic_y, y):
    """The model that outputs the bicubic image with its Y replaced by `y`."""
    change = layers.Subtract(dtype="float32", name="change")([y, bicubic_y])
    return keras.Model(lr, layers.Add(dtype="float32", name="sr")([bicubic, change]), name=name)


BUILDERS = {"srcnn": build_srcnn, "espcn": build_espcn, "drcn": build_drcn}


def scale_of(model):
    """The scale factor of a baseline."""
    return model.get_layer("bicubic").scale


def config_of(model):
    """The arguments that the baseline was built with."""
    shape = {"scale": scale_of(model)}
    if model.name == "drcn":
        shape["filters"] = model.get_layer("recursion").filters
        shape["recursions"] = model.get_layer("ensemble").kernel.shape[0]
    return shape


def margin_of(model):
    """Radius of a baseline's receptive field, see `registry.margin_of`."""
    if model.name == "espcn":
        return 4
    reach = 8 if model.name == "srcnn" else 4 + config_of(model)["recursions"]
    # The LR pixel at the end of what the first HR pixel of an LR pixel sees, plus the reach of the bicubic kernel.
    return _BICUBIC_REACH - 1 - math.floor((0.5 - reach) / scale_of(model) - 0.5)
