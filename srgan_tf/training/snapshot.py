"""The network as a step computes with it: what is validated and written."""

import keras
import numpy as np


class Snapshot:
    """A float32 copy of a model, or of its moving average, with the weights rounded as its precision policy uses them.

    Under mixed precision a step computes with kernels and biases that are rounded to bfloat16 or float16, and the
    network adapts to the rounded kernels: 576 rounding errors of positive inputs add up in each output, so that the
    unrounded kernels make a worse network (1 dB and more after 3,000 steps). BN stays in float32.

    Attributes:
        model: The copy, as of the last `refresh`; the source itself if its policy rounds nothing.
    """

    def __init__(self, source: keras.Model):
        self._source = source
        self._mixed = any(layer.compute_dtype != layer.variable_dtype for layer in source.layers)
        self.model = keras.models.clone_model(source) if self._mixed else source

    def refresh(self) -> None:
        """Copies the current values of the source."""
        if not self._mixed:
            return
        for layer, own in zip(self._source.layers, self.model.layers):
            values = layer.get_weights()
            if not isinstance(layer, keras.layers.BatchNormalization):
                values = [keras.ops.convert_to_numpy(keras.ops.cast(value, layer.compute_dtype)) for value in values]
            own.set_weights([np.asarray(value, np.float32) for value in values])
