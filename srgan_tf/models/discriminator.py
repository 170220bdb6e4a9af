"""The discriminator D of SRGAN: figure 4 of the paper, with a head for crops of any size."""

from collections.abc import Callable

import keras
from keras import layers

import srgan_tf.system.keras_settings  # noqa: F401

# Channels and stride of the eight 3x3 convolutions.
CONVOLUTIONS = ((64, 1), (64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2))


def build_discriminator(*, normalization: Callable[..., layers.Layer] = layers.BatchNormalization) -> keras.Model:
    """Builds D: Ledig et al. 2017, figure 4.

    Eight convolutions 3x3, each followed by LeakyReLU 0.2 and, from the second on, BN before it; then Dense 1024,
    LeakyReLU, Dense 1. Where the paper flattens, D averages over the positions: at 384x384 the flattened layer alone
    would have 302 million weights, and the crop size would be fixed.

    Args:
        normalization: See `models.generator.build_generator`.

    Returns:
        A `keras.Model` named "discriminator". Input: `(N, H, W, 3)` in [-1, 1], any H and W of 16 or more. Output:
        logits `(N, 1)`, float32; `sigmoid(logits)` is the probability that the image is a photograph.
    """
    x = picture = layers.Input((None, None, 3), name="picture")
    for index, (filters, stride) in enumerate(CONVOLUTIONS, start=1):
        bn = index > 1
        x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=not bn, name=f"conv{index}")(x)
        if bn:
            x = normalization(name=f"bn{index}")(x)
        x = layers.LeakyReLU(0.2, name=f"lrelu{index}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.LeakyReLU(0.2, name="dense_lrelu")(layers.Dense(1024, name="dense")(x))
    logits = layers.Dense(1, dtype="float32", name="logits")(x)
    return keras.Model(picture, logits, name="discriminator")
