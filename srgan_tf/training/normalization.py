"""Batch normalization as TensorFlow computes it fastest."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="srgan_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer of the same name, with the same weights, in a single operation of TensorFlow.

    Keras' own goes over its input half a dozen times unless XLA compiles it. Takes pictures `(N, H, W, C)`; its
    statistics are those of its own replica.
    """

    def call(self, inputs, training=None, mask=None):
        learning = bool(training and self.trainable)
        kept = {} if learning else {"mean": self.moving_mean.value, "variance": self.moving_variance.value}
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, ops.cast(self.gamma, "float32"), ops.cast(self.beta, "float32"), epsilon=self.epsilon,
            is_training=learning, **kept,
        )  # fmt: skip
        if learning:
            # The operation divides by n - 1, Keras by n.
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            variance *= (count - 1) / count
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * self.momentum + value * (1 - self.momentum))
        return outputs
