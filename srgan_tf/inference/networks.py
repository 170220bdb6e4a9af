"""Models as TensorFlow functions, which `tile_runner.TileRunner` runs and `export` saves."""

import numpy as np
import tensorflow as tf

from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.precision import FLOAT32, choose_precision
from srgan_tf.models.generator_weights import read_weights
from srgan_tf.system.errors import UserError

# Keras is imported by what needs it: a second that G from its weights file does without.

# What the memory of a tile is like, as channels of G: `tile_runner.TileRunner` plans by them.
_EQUIVALENT_FILTERS = {"espcn": 32, "drcn": 4096}  # DRCN may hold the results of all recursions at once
_DEFAULT_EQUIVALENT_FILTERS = 128


class KerasNetwork(tf.Module):
    """A Keras model as it is, with a copy of its weights.

    Args:
        model: Of `models.registry`.

    Attributes:
        scale: The scale factor.
        margin: LR pixels beyond its own that an output pixel sees.
        filters: For the plan of the memory.

    Raises:
        UserError: Keras has another backend, whose layers do not take TensorFlow's tensors.
    """

    def __init__(self, model):
        import keras

        from srgan_tf.models.registry import margin_of, scale_of

        if keras.backend.backend() != "tensorflow":
            how = f"not {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
            raise UserError(f"{model.name}: upscaling with it needs Keras' backend TensorFlow, {how}")
        super().__init__(name="keras_network")
        self.scale, self.margin = scale_of(model), margin_of(model)
        self.filters = _EQUIVALENT_FILTERS.get(model.name, _DEFAULT_EQUIVALENT_FILTERS)
        self._model = model
        variables = (model.trainable_variables, model.non_trainable_variables)
        self._weights = [[variable.numpy() for variable in each] for each in variables]

    def __call__(self, lr):
        """Upscales float32 `(N, H, W, 3)` in [-1, 1] to `(N, scale H, scale W, 3)`."""
        # As constants, so that a graph of this is whole without the model.
        constants = [[tf.constant(weight) for weight in each] for each in self._weights]
        return self._model.stateless_call(*constants, lr, training=False)[0]


class SelfExemplars(tf.Module):
    """`models.selfex` in the place of a network. It takes patches from the padded tile alone.

    Args:
        scale: The scale factor.

    Attributes:
        scale: The scale factor.
        margin: LR pixels around a tile that it sees, too.
        filters: For the plan of the memory.
    """

    def __init__(self, scale):
        super().__init__(name="selfex")
        self.scale, self.margin, self.filters = scale, 16, 64

    def __call__(self, lr):
        """Upscales float32 `(N, H, W, 3)` in [-1, 1] to `(N, scale H, scale W, 3)`."""
        from srgan_tf.models import selfex

        def upscale(pictures):
            return np.stack([selfex.upscale(picture, self.scale) for picture in pictures])

        return tf.ensure_shape(tf.numpy_function(upscale, [lr], tf.float32), (None, None, None, 3))


def load_network(path, precision=FLOAT32):
    """The fastest form of the model in a weights file.

    Args:
        path: A file that `models.generator.save_generator` wrote.
        precision: See `precision.choose_precision`.

    Returns:
        A `FusedGenerator` or `KerasNetwork`.

    Raises:
        UserError: See `models.generator.load_generator` and `to_inference_network`.
    """
    weights = read_weights(path)
    if weights is not None:
        return FusedGenerator(weights, choose_precision(precision))
    from srgan_tf.models.generator import load_generator

    return to_inference_network(load_generator(path), precision)


def to_inference_network(model, precision=FLOAT32):
    """The fastest form of a model, which has a copy of its weights.

    Args:
        model: A `keras.Model` of `models.generator` or `models.registry`.
        precision: See `precision.choose_precision`; it is of G, other models are computed in float32.

    Returns:
        A `FusedGenerator` or `KerasNetwork`.

    Raises:
        UserError: See `KerasNetwork`.
        ValueError: It is no `keras.Model`.
    """
    import keras

    from srgan_tf.models.registry import is_registered

    if not isinstance(model, keras.Model):
        raise ValueError(f"weights must be a file, a name, a generator or None. Received: {type(model).__name__}")
    return KerasNetwork(model) if is_registered(model) else FusedGenerator(model, choose_precision(precision))
