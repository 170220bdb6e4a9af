"""A model between two: the weighted mean of what both give."""

import keras

import srgan_tf.system.keras_settings  # noqa: F401


class Blend(keras.Model):
    """The weighted mean of what two models of one scale factor give; `strength`, 0 to 1, is of `end`."""

    def __init__(self, start: keras.Model, end: keras.Model, strength: float):
        super().__init__(name="blend")
        self.start, self.end, self.strength = start, end, strength

    def call(self, lr, training=False):
        start, end = (model(lr, training=training) for model in (self.start, self.end))
        return start + self.strength * (end - start)
