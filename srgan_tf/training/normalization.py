"""Batch normalization by TensorFlow's fastest operation, on one device or synchronised over all replicas."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="srgan_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer of the same name, with the same weights, as a single operation of TensorFlow.

    Keras' own passes over its input half a dozen times unless XLA compiles it. Takes images `(N, H, W, C)`. With
    `synchronized` the statistics are over all replicas of a `tf.distribute` strategy, which must have equally many
    images each. That takes one reduction forward and one backward, where Keras' own takes five, and keeps no float32
    copy of the activations.
    """

    def call(self, inputs, training=None, mask=None):
        learning = bool(training and self.trainable)
        gamma, beta = ops.cast(self.gamma, "float32"), ops.cast(self.beta, "float32")
        if learning and self.synchronized:
            outputs, mean, variance = _over_replicas(inputs, gamma, beta, self.moving_mean.value, self.epsilon)
        else:
            statistics = {} if learning else {"mean": self.moving_mean.value, "variance": self.moving_variance.value}
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=self.epsilon, is_training=learning, **statistics
            )
        if learning:
            if not self.synchronized:
                # The operation divides by n - 1, Keras by n.
                count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
                variance *= (count - 1) / count
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * self.momentum + value * (1 - self.momentum))
        return outputs


def _over_replicas(inputs, gamma, beta, center, epsilon):
    """BN in training mode; to be called on each replica.

    Args:
        inputs: `(N, H, W, C)`.
        gamma: float32 `(C,)`.
        beta: float32 `(C,)`.
        center: float32 `(C,)`, the same on all replicas and near the mean: squares are summed about it, to lose less
            precision in the subtraction.
        epsilon: Added to the variance.

    Returns:
        `(outputs, mean, variance)`: outputs like `inputs`, mean and variance float32 `(C,)`.
    """
    center = tf.identity(center)

    def mean_of_all(*values):
        replicas = tf.distribute.get_replica_context()
        return tf.unstack(replicas.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack(values)))

    @tf.custom_gradient
    def normalize(inputs, gamma, beta):
        own_mean, own_variance = tf.nn.moments(tf.cast(inputs, tf.float32), [0, 1, 2])
        mean, squares = mean_of_all(own_mean, own_variance + tf.square(own_mean - center))
        variance = tf.maximum(squares - tf.square(mean - center), 0.0)
        outputs, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, epsilon=epsilon, is_training=False
        )

        def gradient(upstream, *_):
            upstream = tf.cast(upstream, tf.float32)
            inverse = tf.math.rsqrt(variance + epsilon)
            normal = (tf.cast(inputs, tf.float32) - mean) * inverse
            means = [tf.reduce_mean(value, [0, 1, 2]) for value in (upstream, upstream * normal)]
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            of_beta, of_gamma = (count * mean for mean in means)
            along_mean, along_variance = mean_of_all(*means)
            of_inputs = gamma * inverse * (upstream - along_mean - normal * along_variance)
            return tf.cast(of_inputs, inputs.dtype), of_gamma, of_beta

        return (outputs, mean, variance), gradient

    return normalize(inputs, gamma, beta)
