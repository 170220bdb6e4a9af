"""The generator G of SRGAN after the slides and figure 4 of the paper, with nearest-neighbour upsampling."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.models.blend import Blend
from srgan_tf.models.generator_weights import METADATA, SCALES, SUFFIX, generator_config, read_config
from srgan_tf.models.hdf5 import UNREADABLE, open_hdf5, require_finite
from srgan_tf.models.layers import NearestConv2D, RowConv2D
from srgan_tf.models.registry import build_registered, describe_registered, is_registered
from srgan_tf.models.whole_model import SUFFIX as WHOLE_SUFFIX
from srgan_tf.models.whole_model import as_weights_file, check_layers
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import UserError, user_errors


def build_generator(
    blocks: int = 16,
    scale: int = 4,
    filters: int = 64,
    *,
    normalization: Callable[..., layers.Layer] = layers.BatchNormalization,
) -> keras.Model:
    """Builds G: Ledig et al. 2017, figure 4, with the slides' upsampling and ReLU.

        conv 9x9 x64, ReLU                                             k9n64s1
        `blocks` x (conv 3x3 x64, BN, ReLU, conv 3x3 x64, BN, add)     k3n64s1
        conv 3x3 x64, BN, add to the output of the first layer
        log2(scale) x (nearest x2, conv 3x3 x64, BN, ReLU)
        conv 9x9 x3, tanh                                              k9n3s1

    Args:
        blocks: Residual blocks.
        scale: Scale factor: 2, 4 or 8.
        filters: Channels of every layer but the last.
        normalization: Called with `name` to make each BN layer, which must have the weights of
            `keras.layers.BatchNormalization`; see `training.distribution.Distribution.normalization`.

    Returns:
        A `keras.Model` named "generator". Input: LR `(N, H, W, 3)` in [-1, 1], any H and W. Output: SR
        `(N, scale H, scale W, 3)` in [-1, 1], float32 under every precision policy.

    Raises:
        ValueError: `scale` is not one of 2, 4, 8, or `blocks` is negative.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}. Received: {scale}")
    if blocks < 0:
        raise ValueError(f"blocks must not be negative. Received: {blocks}")

    def conv_bn(x, name, convolution=layers.Conv2D):
        # BN's beta serves as the bias.
        x = convolution(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        return normalization(name=f"{name}_bn")(x)

    lr = layers.Input((None, None, 3), name="lr")
    x = first = layers.Conv2D(filters, 9, padding="same", activation="relu", name="first_conv")(lr)
    for block in range(1, blocks + 1):
        y = layers.ReLU(name=f"block{block}_relu")(conv_bn(x, f"block{block}a"))
        x = layers.Add(name=f"block{block}_add")([x, conv_bn(y, f"block{block}b")])
    x = layers.Add(name="trunk_add")([first, conv_bn(x, "trunk")])
    for stage in range(1, scale.bit_length()):
        x = layers.ReLU(name=f"up{stage}_relu")(conv_bn(x, f"up{stage}", NearestConv2D))
    sr = RowConv2D(3, 9, activation="tanh", name="last_conv")(x)
    return keras.Model(lr, sr, name="generator")


def change_scale(
    generator: keras.Model, scale: int, *, normalization: Callable[..., layers.Layer] = layers.BatchNormalization
) -> keras.Model:
    """Builds G for another scale factor with the weights of a trained G, to be trained further.

    Its upsampling stages get the weights of the last stages of `generator`, which is not changed; if it has more of
    them, the additional first ones get those of the first stage.

    Raises:
        ValueError: See `build_generator`.
    """
    blocks, old_scale, filters = generator_config(generator)
    changed = build_generator(blocks, scale, filters, normalization=normalization)
    skipped = old_scale.bit_length() - scale.bit_length()
    for layer in changed.layers:
        name = re.sub(r"(?<=^up)\d+", lambda stage: str(max(1, int(stage[0]) + skipped)), layer.name)
        layer.set_weights(generator.get_layer(name).get_weights())
    return changed


def describe(model: keras.Model) -> dict[str, Any]:
    """The configuration from which `load_generator` builds a model: the arguments of G; of another model its name, too.

    That of a `models.blend.Blend` is only to be shown; such a model is in no file.
    """
    if isinstance(model, Blend):
        return {"blend": [describe(model.start), describe(model.end)], "strength": model.strength}
    if is_registered(model):
        return describe_registered(model)
    return dict(zip(("blocks", "scale", "filters"), generator_config(model)))


def save_generator(generator: keras.Model, path: Path | str) -> None:
    """Writes G's weights as Keras' `.weights.h5`, with G's configuration in it; complete or not at all.

    Args:
        generator: What `build_generator` returned, or a model of `models.registry`.
        path: Ends in `.weights.h5`.

    Raises:
        UserError: The file cannot be written.
    """
    # HDF5 ends the whole process if the disk is full. It writes less than 2 kB more for each variable.
    reserve = 2**17 + sum(variable.numpy().nbytes + 4096 for variable in generator.variables)
    with atomic_file(path, suffix=SUFFIX, reserve=reserve) as partial:
        generator.save_weights(partial)
        with h5py.File(partial, "a") as file:
            file.attrs[METADATA] = json.dumps(describe(generator))


def load_generator(
    path: Path | str, *, normalization: Callable[..., layers.Layer] = layers.BatchNormalization
) -> keras.Model:
    """Builds the G that `save_generator` wrote and loads its weights, all of them or none.

    Args:
        path: A file that `save_generator` wrote, or a whole model of a generator, a `.keras` file.
        normalization: See `build_generator`.

    Returns:
        A `keras.Model`, see `build_generator`; or a model of `models.registry`, if the file has one.

    Raises:
        UserError: The file is missing, its name does not end in `.weights.h5` or `.keras`, it is damaged or not a
            generator's, does not fit, or has NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; `srgan train` makes one")
    if path.suffix == WHOLE_SUFFIX:
        return _load_whole(path, normalization)
    if not path.name.endswith(SUFFIX):
        raise UserError(f"{path}: the name of a weights file must end in .weights.h5; rename it")
    with user_errors(path, "damaged or not a generator's weights", of=UNREADABLE):
        try:
            with open_hdf5(path) as file:
                config = read_config(file)
            if "model" in config:
                generator = build_registered(**config)
            else:
                generator = build_generator(**config, normalization=normalization)
        except KeyError:
            raise UserError(f"{path}: not the weights of a generator of this project") from None
        with warnings.catch_warnings():
            # Keras only warns where a layer finds nothing in the file and keeps its random weights.
            warnings.simplefilter("error", UserWarning)
            try:
                generator.load_weights(path)
            except (UserWarning, ValueError):  # with messages about Keras' containers
                raise ValueError(f"its arrays are not those that {config} has") from None
    require_finite(path, generator)
    return generator


def _load_whole(path, normalization):
    """The generator in a `.keras` file."""
    with user_errors(path, "damaged or not a generator's whole model", of=UNREADABLE):
        with as_weights_file(path) as (weights, layers_of_file):
            try:
                generator = load_generator(weights)
                check_layers(layers_of_file, generator)
                if normalization is not layers.BatchNormalization:
                    generator = load_generator(weights, normalization=normalization)
            except UserError as error:
                raise UserError(str(error).replace(str(weights), str(path))) from None
    return generator
