"""A model between two: the weighted mean of what both give."""

import keras

import srgan_tf.system.keras_settings  # noqa: F401


class Blend(keras.Model):
    """The weighted mean of what two models give.

    Args:
        start: A `keras.Model`, see `models.generator.build_generator` or `models.registry`.
        end: Another of the same scale factor.
        strength: Of `end`, 0 to 1; the rest is of `start`.

    Attributes:
        start: The same.
        end: The same.
        strength: The same.
    """

    def __init__(self, start: keras.Model, end: keras.Model, strength: float):
        super().__init__(name="blend")
        self.start, self.end, self.strength = start, end, strength

    def call(self, lr, training=False):
        start, end = (model(lr, training=training) for model in (self.start, self.end))
        return start + self.strength * (end - start)
