"""Models as TensorFlow functions, which `tile_runner.TileRunner` runs and `export` saves.

A network is a function from float32 `(N, H, W, 3)` in [-1, 1] to `(N, scale H, scale W, 3)`, with the attributes:

- `scale`: the scale factor;
- `margin`: how far an output pixel sees, in LR pixels beyond the one that it lies in;
- `filters`: the number of channels with which G would take as much memory;
- `precision`, optional: the number format that it is computed in, by default float32.
"""

import itertools

import numpy as np
import tensorflow as tf

from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.precision import FLOAT32, choose_precision
from srgan_tf.models.generator_weights import read_weights
from srgan_tf.system.errors import UserError

# Keras is imported only where it is needed: G from its weights file starts a second earlier without it.

# The attribute `filters` of other models than G.
_EQUIVALENT_FILTERS = {"espcn": 32, "drcn": 4096}  # DRCN may hold the results of all recursions at once
_DEFAULT_EQUIVALENT_FILTERS = 128
# Added if a result is held while the next is computed: 58 to 61 bytes for each output pixel in float32.
_HELD_FILTERS = 20


def traced(network):
    """A network as a `tf.function` with one graph for all sizes."""
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    return tf.function(lambda lr: network(lr), input_signature=signature, autograph=False)


class KerasNetwork(tf.Module):
    """A Keras model of `models.registry`, unchanged, with a copy of its weights.

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
        # As constants, so that a graph does not depend on the model's variables.
        constants = [[tf.constant(weight) for weight in each] for each in self._weights]
        return self._model.stateless_call(*constants, lr, training=False)[0]


class BlendedNetworks(tf.Module):
    """The weighted mean of the outputs of two networks with one scale factor, computed one after the other; `strength`,
    0 to 1, is the weight of `end`."""

    def __init__(self, start, end, strength):
        super().__init__(name="blended_networks")
        self.scale = start.scale
        if hasattr(start, "precision"):
            self.precision = start.precision
        self.margin = max(start.margin, end.margin)
        self.filters = max(start.filters, end.filters) + _HELD_FILTERS
        self._start, self._end, self._strength = start, end, strength

    def __call__(self, lr):
        start = self._start(lr)
        with tf.control_dependencies([start]):  # not at the same time, to save memory
            end = self._end(tf.identity(lr))
        return start + self._strength * (end - start)


class EnsembledNetwork(tf.Module):
    """The mean of a network's outputs for the eight flips and quarter turns of an image, computed one after the other.

    Timofte et al. 2016 (arXiv 1511.02228), section 2.6; EDSR+ of Lim et al. 2017 (arXiv 1707.02921), section 3.4.
    """

    def __init__(self, network):
        super().__init__(name="ensembled_network")
        self.scale, self.margin, self.filters = network.scale, network.margin, network.filters + _HELD_FILTERS
        self.precision = getattr(network, "precision", FLOAT32)
        self._network = traced(network)  # once, not eight times

    def __call__(self, lr):
        total = None
        for is_turned, axes in itertools.product((False, True), ([], [1], [2], [1, 2])):
            with tf.control_dependencies([] if total is None else [total]):  # one at a time, to save memory
                turned = self._network(tf.reverse(_transposed(lr, is_turned), axes))
            sr = _transposed(tf.reverse(turned, axes), is_turned)
            total = sr if total is None else total + sr
        return total / 8


def _transposed(pictures, is_turned):
    return tf.transpose(pictures, (0, 2, 1, 3)) if is_turned else pictures


class SelfExemplars(tf.Module):
    """`models.selfex` as a network. It takes patches from the padded tile only."""

    def __init__(self, scale):
        super().__init__(name="selfex")
        self.scale, self.margin, self.filters = scale, 16, 64

    def __call__(self, lr):
        from srgan_tf.models import selfex

        def upscale(pictures):
            return np.stack([selfex.upscale(picture, self.scale) for picture in pictures])

        return tf.ensure_shape(tf.numpy_function(upscale, [lr], tf.float32), (None, None, None, 3))


def load_network(path, precision=FLOAT32):
    """The fastest form of the model in a file of `models.generator.save_generator`; see `to_inference_network`.

    Raises:
        UserError: See `models.generator.load_generator` and `to_inference_network`.
    """
    precision, weights = choose_precision(precision), read_weights(path)
    if weights is not None:
        return FusedGenerator(weights, precision)
    from srgan_tf.models.generator import load_generator

    return to_inference_network(load_generator(path), precision)


def to_inference_network(model, precision=FLOAT32):
    """The fastest form of a model, with a copy of its weights.

    Args:
        model: A `keras.Model` of `models.generator` or `models.registry`, or a `models.blend.Blend`.
        precision: Of G, see `precision.choose_precision`; other models are computed in float32.

    Raises:
        UserError: See `KerasNetwork`.
        ValueError: It is not a `keras.Model`, or `precision` is unknown.
    """
    import keras

    from srgan_tf.models.blend import Blend
    from srgan_tf.models.registry import is_registered

    precision = choose_precision(precision)
    if isinstance(model, Blend):
        ends = (to_inference_network(end, precision) for end in (model.start, model.end))
        return BlendedNetworks(*ends, model.strength)
    if not isinstance(model, keras.Model):
        raise ValueError(f"weights must be a file, a name, a generator or None. Received: {type(model).__name__}")
    return KerasNetwork(model) if is_registered(model) else FusedGenerator(model, precision)
