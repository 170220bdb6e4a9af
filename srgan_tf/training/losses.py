"""The losses of Ledig et al. 2017, equations (2) to (5), as the slides write them, and one of our own.

Every mean is over batch, positions and channels, and is computed in float32 under every precision policy.
"""

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.imaging.resize import resize_matrix

_REACH = 2  # LR pixels that the bicubic kernel reaches to each side


def mse(hr: tf.Tensor, sr: tf.Tensor) -> tf.Tensor:
    """Equation (4): the mean squared difference of the images.

    Args:
        hr: Photographs, `(N, H, W, 3)` in [-1, 1].
        sr: G(LR), of the same shape and range.

    Returns:
        A float32 scalar.
    """
    return tf.reduce_mean(tf.math.squared_difference(tf.cast(hr, tf.float32), tf.cast(sr, tf.float32)))


def vgg(hr_features: tf.Tensor, sr_features: tf.Tensor) -> tf.Tensor:
    """Equation (5): the mean squared difference of VGG19's feature maps.

    The paper sums over the channels and scales the features by 1/12.75; the seminar's code averages over everything,
    and so does this.

    Args:
        hr_features: phi(HR), `(N, H', W', C)`.
        sr_features: phi(G(LR)), of the same shape.

    Returns:
        A float32 scalar.
    """
    return mse(hr_features, sr_features)


def consistency(hr: tf.Tensor, sr: tf.Tensor, scale: int) -> tf.Tensor:
    """The mean squared difference between HR and SR, both downscaled by MATLAB's bicubic.

    It constrains colours and brightness, which the adversarial loss does not, and leaves the detail free. Neither the
    slides nor the paper have it; it is the condition of Bahat and Michaeli 2020 (Explorable Super Resolution) as a
    loss, with HR downscaled in the place of LR, which may have noise of its own. The outermost two LR pixels, which
    depend on pixels beyond the crop, are left out.

    Args:
        hr: Photographs, `(N, H, W, 3)` in [-1, 1], H = W > 4 scale and of static shape.
        sr: G(LR), of the same shape and range.
        scale: The upscaling factor, by which H is divisible.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: The crops are too small.
    """
    large = hr.shape[1]
    size = large // scale
    if size <= 2 * _REACH:
        raise ValueError(f"LR crops must be larger than {2 * _REACH}. Received: {size}")
    matrix = resize_matrix(large, size).toarray()[_REACH:-_REACH].astype(np.float32)
    error = tf.cast(hr, tf.float32) - tf.cast(sr, tf.float32)
    return tf.reduce_mean(tf.square(tf.einsum("ij,kl,njlc->nikc", matrix, matrix, error)))


def adversarial(fake_logits: tf.Tensor) -> tf.Tensor:
    """The adversarial loss of G, -log D(G(LR)): sigmoid cross-entropy of D's logits and the label "photograph".

    Args:
        fake_logits: D(G(LR)) before the sigmoid, `(N, 1)`.

    Returns:
        A float32 scalar: the mean over the batch, where the paper's equation sums.
    """
    return _cross_entropy(fake_logits, 1.0)


def discriminator(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The loss of D, equation (2): the sum of the mean sigmoid cross-entropies of real and of fake images.

    Args:
        real_logits: D(HR) before the sigmoid, `(N, 1)`.
        fake_logits: D(G(LR)) before the sigmoid, `(N, 1)`.

    Returns:
        A float32 scalar.
    """
    return _cross_entropy(real_logits, 1.0) + _cross_entropy(fake_logits, 0.0)


def _cross_entropy(logits, label):
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(keras.losses.binary_crossentropy(tf.fill(tf.shape(logits), label), logits, from_logits=True))
