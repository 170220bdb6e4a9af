"""Measures the weight of the VGG term, and the losses before the first step."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.system.errors import UserError
from srgan_tf.training import losses
from srgan_tf.training.state import Networks
from srgan_tf.training.steps import LossWeights, content_terms, loss_region, to_network

CROPS = 64  # to measure the weight on


def balanced_vgg_weight(batches: Iterable, features: keras.Model, scale: int) -> float:
    """The weight at which the VGG term between HR and its bicubic equals the MSE term: MSE / VGG distance.

    VGG19's features have another scale at each layer and in each weights file, so that no constant fits all of them.

    Args:
        batches: Batches `(lr, hr)`, uint8, with `CROPS` crops or more in all.
        features: A VGG19 of `models.vgg.build_vgg`.
        scale: Scale factor.

    Raises:
        UserError: Bicubic equals HR, as with crops of one colour, or the VGG distance is not finite.
    """
    mse, vgg, seen = 0.0, 0.0, 0
    for lr, hr in batches:
        for small, large in zip(lr.numpy(), hr.numpy()):
            bicubic = to_network(upscale_bicubic(small, scale)[None])
            original = to_network(large[None])
            mse += float(losses.mse(original, bicubic))
            vgg += float(losses.vgg(features(original, training=False), features(bicubic, training=False)))
            seen += 1
            if seen == CROPS:
                if not (mse > 0 and 0 < vgg < math.inf):
                    raise UserError(
                        f"--vgg_loss_weight=auto: cannot be measured on these images (of bicubic, MSE {mse / seen:g},"
                        f" VGG distance {vgg / seen:g}); give a number, or images with detail"
                    )
                return float(np.float32(mse / vgg))
    raise ValueError(f"Too few crops. Received: {seen}, needed: {CROPS}")


def first_losses(networks: Networks, lr: tf.Tensor, hr: tf.Tensor, weights: LossWeights) -> dict[str, float]:
    """Each unweighted term of the losses but for DRCN's recursions on one batch of uint8 crops, before any step, with
    BN in inference mode."""
    lr, hr = to_network(lr), to_network(hr)
    sr = tf.ensure_shape(networks.generator(lr, training=False), hr.shape)
    region, discriminator = loss_region(networks.generator), networks.discriminator
    terms = content_terms(lr, region(hr), region(sr), weights, networks.features)
    del terms["g_loss"]
    if discriminator is not None:
        fake = discriminator(sr, training=False)
        terms["adversarial"] = losses.adversarial(fake)
        terms["d_loss"] = losses.discriminator(discriminator(hr, training=False), fake)
    return {name: float(tf.convert_to_tensor(value)) for name, value in terms.items()}
