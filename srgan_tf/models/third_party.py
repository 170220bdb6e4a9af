"""Generators of two other projects as in their code: TensorLayerX's SRGAN, and krasserm's super-resolution."""

import dataclasses

import keras
from keras import layers

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.models.baselines import PixelShuffle


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The differences between a project's generator and figure 4 of the paper.

    Attributes:
        scale: The scale factor.
        first: Side of the first convolution's kernel.
        last: Side of the last convolution's kernel.
        first_relu: Whether an activation follows the first convolution.
        prelu: Whether activations are PReLU instead of ReLU.
        biases: Whether convolutions before BN have biases.
        epsilon: Epsilon of BN.
        stages: `(factor, filters)` of each bilinear upscaling; empty for two sub-pixel convolutions.
        zero_to_one: Whether LR is in [0, 1] instead of [-1, 1].
    """

    scale: int
    first: int
    last: int
    first_relu: bool = True
    prelu: bool = False
    biases: bool = False
    epsilon: float = 1e-5
    stages: tuple = ()
    zero_to_one: bool = False


ARCHITECTURES = {
    # tensorlayer/SRGAN, srgan.py: SRGAN_g; and SRGAN_g2, whose two upscalings by 2 and by 4 make 8.
    "tensorlayerx": Architecture(scale=4, first=3, last=1),
    "tensorlayerx-resize": Architecture(scale=8, first=3, last=1, first_relu=False, stages=((2, 64), (4, 32))),
    # krasserm/super-resolution, model/srgan.py: sr_resnet.
    "krasserm": Architecture(scale=4, first=9, last=9, prelu=True, biases=True, epsilon=1e-3, zero_to_one=True),
}


def build_third_party(name, blocks=16):
    """Builds another project's generator, with input and output of `models.generator.build_generator`.

    Args:
        name: A key of `ARCHITECTURES`, and of the model.
        blocks: Residual blocks.
    """
    architecture = ARCHITECTURES[name]

    def activation(x):
        return layers.PReLU(shared_axes=[1, 2])(x) if architecture.prelu else layers.ReLU()(x)

    def conv_bn(x, filters=64, biases=architecture.biases):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=biases)(x)
        return layers.BatchNormalization(epsilon=architecture.epsilon)(x)

    lr = layers.Input((None, None, 3), name="lr")
    x = layers.Rescaling(0.5, 0.5)(lr) if architecture.zero_to_one else lr
    x = layers.Conv2D(64, architecture.first, padding="same")(x)
    x = first = activation(x) if architecture.first_relu else x
    for _ in range(blocks):
        x = layers.Add()([x, conv_bn(activation(conv_bn(x)))])
    x = layers.Add()([first, conv_bn(x)])
    for factor, filters in architecture.stages:
        x = layers.UpSampling2D(factor, interpolation="bilinear")(x)
        x = activation(conv_bn(x, filters))
    if not architecture.stages:
        for _ in range(2):
            x = layers.Conv2D(256, 3, padding="same")(x)
            x = activation(PixelShuffle(2)(x))
    sr = layers.Conv2D(3, architecture.last, padding="same", activation="tanh", dtype="float32")(x)
    return keras.Model(lr, sr, name=name)


def blocks_of(model):
    """How many residual blocks another project's generator has."""
    return sum(isinstance(layer, layers.Add) for layer in model.layers) - 1


def config_of(model):
    """The arguments that another project's generator was built with."""
    return {"blocks": blocks_of(model)}


def scale_of(model):
    """The scale factor of another project's generator."""
    return ARCHITECTURES[model.name].scale


def margin_of(model):
    """Radius of the receptive field, see `registry.margin_of`."""
    architecture = ARCHITECTURES[model.name]
    beyond = architecture.last // 2  # in pixels of the full resolution
    for factor, _ in reversed(architecture.stages or ((2, 64), (2, 64))):
        if architecture.stages:
            beyond = -(-(beyond + 1) // factor) + 1  # the convolution follows the bilinear upscaling
        else:
            beyond = -(-beyond // factor) + 1
    return architecture.first // 2 + 2 * blocks_of(model) + 1 + beyond
