"""The losses of Ledig et al. 2017, equations (2) to (5), as the slides write them.

Every mean is over the batch, the positions and the channels, and is taken in float32 whatever the networks compute in.
"""

import keras
import tensorflow as tf


def mse(hr, sr):
    """Equation (4): the mean squared difference of the pictures.

    Args:
        hr: Photographs, `(N, H, W, 3)` in [-1, 1].
        sr: What G made, of the same shape and range.

    Returns:
        A float32 scalar.
    """
    return tf.reduce_mean(tf.math.squared_difference(tf.cast(hr, tf.float32), tf.cast(sr, tf.float32)))


def vgg(hr_features, sr_features):
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


def adversarial(fake_logits):
    """The adversarial loss of G, -log D(G(LR)): sigmoid cross-entropy of D's logits with "photograph".

    Args:
        fake_logits: D(G(LR)) before the sigmoid, `(N, 1)`.

    Returns:
        A float32 scalar: the mean over the batch, where the paper's equation sums.
    """
    return _cross_entropy(fake_logits, 1.0)


def discriminator(real_logits, fake_logits):
    """The loss of D, equation (2): real + fake, each a mean of sigmoid cross-entropies.

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
