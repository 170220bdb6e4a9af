"""A model between two others: the weighted mean of their outputs."""

import keras

import srgan_tf.system.keras_settings  # noqa: F401


class Blend(keras.Model):
    """The weighted mean of the outputs of two models with the same scale factor; `strength`, 0 to 1, is the weight of
    `end`."""

    def __init__(self, start: keras.Model, end: keras.Model, strength: float):
        super().__init__(name="blend")
        self.start, self.end, self.strength = start, end, strength

    def call(self, lr, training=False):
        start, end = (model(lr, training=training) for model in (self.start, self.end))
        return start + self.strength * (end - start)
