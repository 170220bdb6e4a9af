"""The weights of G as arrays, without Keras, whose import takes longer than upscaling a small image."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from srgan_tf.models.hdf5 import UNREADABLE, open_hdf5

METADATA = "srgan_tf"  # attribute of a weights file: the configuration of its model, as JSON
SUFFIX = ".weights.h5"  # Keras requires it
SCALES = (2, 4, 8)
# A 3-tap filter after nearest x2, as two 2-tap filters on the smaller image, along one axis:
# [which of the two new pixels, tap of 2, tap of 3].
NEAREST_TAPS = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


@dataclasses.dataclass(frozen=True)
class GeneratorWeights:
    """A generator, see `generator.build_generator`.

    Attributes:
        blocks: Residual blocks.
        scale: Scale factor.
        filters: Channels of every layer but the last.
        arrays: By the layer's name: kernel and bias, a kernel, or BN's gamma, beta, moving mean and variance; float32.
        epsilon: Epsilon of every BN.
    """

    blocks: int
    scale: int
    filters: int
    arrays: Mapping[str, tuple[np.ndarray, ...]]
    epsilon: float = 1e-3


def generator_config(generator) -> tuple[int, int, int]:
    """The arguments `(blocks, scale, filters)` with which `generator.build_generator` built a `keras.Model`."""
    names = [layer.name for layer in generator.layers]
    blocks = sum(name.startswith("block") and name.endswith("_add") for name in names)
    stages = sum(name.startswith("up") and name.endswith("_conv") for name in names)
    return blocks, 2**stages, generator.get_layer("first_conv").filters


def pair_names(blocks: int, scale: int) -> list[str]:
    """The names of G's pairs of a convolution and BN, in order: "block1a", "block1b" and so on, "trunk", "up1"..."""
    halves = [f"block{block}{half}" for block in range(1, blocks + 1) for half in "ab"]
    return [*halves, "trunk", *(f"up{stage}" for stage in range(1, scale.bit_length()))]


def receptive_radius(blocks: int, scale: int) -> int:
    """Radius of G's receptive field: how far an output pixel sees, in LR pixels beyond the one that it lies in."""
    reach = 4 + 2 * blocks + 1  # the 9x9 and the 3x3 convolutions at the low resolution
    beyond, size = 4, scale  # the last 9x9, in pixels of the full resolution
    while size > 1:
        # A 3x3 convolution reaches one pixel further; before nearest x2 the distance is half as many pixels.
        beyond = -(-(beyond + 1) // 2)
        size //= 2
    return reach + beyond


def copy_weights(generator) -> GeneratorWeights:
    """The weights of a `keras.Model` of `generator.build_generator`."""
    arrays = {layer.name: tuple(weight.numpy() for weight in layer.weights) for layer in generator.layers}
    epsilon = generator.get_layer("trunk_bn").epsilon
    return GeneratorWeights(*generator_config(generator), {name: own for name, own in arrays.items() if own}, epsilon)


def read_weights(path: Path | str) -> GeneratorWeights | None:
    """Reads the weights of G from a file of `generator.save_generator`.

    Returns None if the file is of another model, or if an array is missing, unknown, not finite, or of another shape or
    type; `generator.load_generator` then loads it or says what is wrong.

    Raises:
        UserError: See `hdf5.open_hdf5`.
    """
    if not Path(path).name.endswith(SUFFIX):
        return None
    try:
        with open_hdf5(path) as file:
            config, stored = read_config(file), dict(_stored_layers(file))
            if "model" in config or any(array.dtype != np.float32 for own in stored.values() for array in own):
                return None
            arrays = {name: tuple(array[()] for array in own) for name, own in stored.items()}
    except UNREADABLE:
        return None
    finite = all(np.isfinite(array).all() for own in arrays.values() for array in own)
    return GeneratorWeights(**config, arrays=arrays) if finite else None


def read_scale(path: Path | str) -> int | None:
    """The scale factor that a weights file states, without reading the weights; None if it must be loaded to know.

    Raises:
        UserError: See `hdf5.open_hdf5`.
    """
    with contextlib.suppress(*UNREADABLE), open_hdf5(path) as file:
        return read_config(file).get("scale")
    return None


def read_config(file: h5py.File) -> dict[str, Any]:
    """The configuration in a weights file, see `generator.describe`, checked against the arrays in the file.

    Raises:
        KeyError, TypeError, ValueError: There is none, or it does not fit the arrays.
    """
    config = dict(json.loads(file.attrs[METADATA]))
    stored = {name: [array.shape for array in own] for name, own in _stored_layers(file)}
    most = max([len(stored), *(side for shapes in stored.values() for shape in shapes for side in shape)])
    for name, value in config.items():
        if name == "model":
            continue
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r:.40}, not a whole number")
        if name == "scale" and value not in SCALES:
            raise ValueError(f"scale is {value!r:.40}, none of {SCALES}")
        if not 0 <= value <= most:
            raise ValueError(f"it says {name}={value!r:.40}, and no such network is stored")
    if "model" not in config:
        expected = _shapes(**config)
        for name in sorted(expected.keys() | stored.keys()):
            if stored.get(name) != expected.get(name):
                raise ValueError(f"of {name} it has {stored.get(name)}; {config} needs {expected.get(name)}")
    return config


def _stored_layers(file):
    """Yields `(name, arrays)` of each layer with variables in a file of `keras.Model.save_weights`."""
    for layer in file["layers"].values():
        if "vars" in layer:
            name, variables = layer["vars"].attrs["name"], layer["vars"]
            if len(variables):
                yield name, [variables[str(number)] for number in range(len(variables))]


def _shapes(blocks, scale, filters):
    """The shapes of the arrays that G has, by layer."""
    shapes = {"first_conv": [(9, 9, 3, filters), (filters,)], "last_conv": [(9, 9, filters, 3), (3,)]}
    for pair in pair_names(blocks, scale):
        shapes |= {f"{pair}_conv": [(3, 3, filters, filters)], f"{pair}_bn": [(filters,)] * 4}
    return shapes
