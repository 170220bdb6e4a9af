"""A model as the function that fills windows."""

import tensorflow as tf

from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.models.baselines import is_baseline, margin_of, scale_of

# What one pixel of the result takes in SRCNN, as channels of G's: `windows.Windows` plans its memory by them.
_FILTERS = {"srcnn": 128, "espcn": 32}


class PlainNetwork(tf.Module):
    """A baseline as it is, with a copy of its weights.

    Args:
        model: Of `models.baselines`.

    Attributes:
        scale: The enlargement.
        margin: LR pixels beyond its own that an output pixel sees.
        filters: For the plan of the memory.
    """

    def __init__(self, model):
        super().__init__(name="plain_network")
        self.scale, self.margin, self.filters = scale_of(model), margin_of(model), _FILTERS[model.name]
        self._model, self._weights = model, model.get_weights()

    def __call__(self, lr):
        """Upscales float32 `(N, H, W, 3)` in [-1, 1] to `(N, scale H, scale W, 3)`."""
        # As constants, so that a graph of this is whole without the model.
        return self._model.stateless_call([tf.constant(weight) for weight in self._weights], [], lr, training=False)[0]


def as_network(model):
    """The fastest form of a generator or baseline, which has a copy of its weights.

    Args:
        model: A `keras.Model` of `models.generator` or `models.baselines`.

    Returns:
        A `FusedGenerator` or `PlainNetwork`.
    """
    return PlainNetwork(model) if is_baseline(model) else FusedGenerator(model)
