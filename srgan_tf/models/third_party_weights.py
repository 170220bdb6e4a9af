"""Reads and writes weights files of other projects, layer by layer in their order."""

from pathlib import Path

import numpy as np
from keras import layers

from srgan_tf.models import generator, third_party
from srgan_tf.models.generator_weights import pair_names
from srgan_tf.models.hdf5 import UNREADABLE, open_hdf5, require_finite
from srgan_tf.models.npz import NpzArchive
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import DAMAGE, UserError, user_errors

# The names of a layer's arrays in the files, and ours.
_ROLES = {
    "filters": "kernel",
    "kernel": "kernel",
    "biases": "bias",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "mean",
    "moving_var": "variance",
    "moving_variance": "variance",
    "alpha": "alpha",
}
_BN = ("gamma", "beta", "mean", "variance")
_LARGEST_KERNEL = 16


def read_tensorlayerx(path):
    """Reads a generator of TensorLayerX's SRGAN as one of `models.third_party`.

    Args:
        path: A file that `save_weights(path, format="npz_dict")` wrote for `SRGAN_g` or `SRGAN_g2`, of any backend.

    Raises:
        UserError: The file is missing, damaged, or of another network; the message names the first layer that differs.
    """
    path = Path(path)
    with user_errors(path, "cannot be read as an npz_dict of TensorLayerX", of=(OSError, *DAMAGE)):
        with open(path, "rb") as file:
            archive = NpzArchive(file)
            arrays = {name: archive.read(name) for name in archive.types}
    saved = {}
    for name, array in arrays.items():
        layer, _, role = name.rpartition("/")
        saved.setdefault(layer, {})[_ROLES.get(role.partition(":")[0], role)] = array
    kernels = [arrays["kernel"] for arrays in saved.values() if "kernel" in arrays and arrays["kernel"].ndim == 4]
    resized = bool(kernels) and 32 in kernels[-1].shape
    return _build(path, "tensorlayerx-resize" if resized else "tensorlayerx", saved)


def read_krasserm(path):
    """As `read_tensorlayerx`, for krasserm's super-resolution: `pre_generator.h5` or `gan_generator.h5`."""
    path = Path(path)
    saved = {}
    with (
        user_errors(path, "cannot be read as the weights of krasserm's generator", of=UNREADABLE),
        open_hdf5(path) as file,
    ):
        for layer in map(_text, file.attrs["layer_names"]):
            for name in map(_text, file[layer].attrs["weight_names"]):
                role = name.rpartition("/")[2].partition(":")[0]
                saved.setdefault(layer, {})[_ROLES.get(role, role)] = np.asarray(file[layer][name])
    return _build(path, "krasserm", saved)


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _build(path, name, saved):
    """Builds the model `third_party.ARCHITECTURES[name]` with weights `saved`, a dict from layer to arrays by role."""
    convolutions = [layer for layer, arrays in saved.items() if "kernel" in arrays]
    if len(convolutions) < 5 or len(convolutions) % 2 == 0:
        last = f", the last {convolutions[-1]}" if convolutions else ""
        raise UserError(
            f"{path}: has {len(convolutions)} convolutions{last}; a {name} generator has 5 and 2 for each block"
        )
    model = third_party.build_third_party(name, (len(convolutions) - 5) // 2)
    expected_layers = _weighted(model)
    for (saved_name, saved_arrays), layer in zip(saved.items(), expected_layers):
        expected = dict(zip(_roles(layer), (tuple(weight.shape) for weight in layer.weights)))
        arrays = {role: _kernel(array) if role == "kernel" else array for role, array in saved_arrays.items()}
        shapes = {role: np.shape(array) for role, array in arrays.items()}
        if shapes not in (expected, {role: _without_shared_axes(shape) for role, shape in expected.items()}):
            given = {role: np.shape(array) for role, array in saved_arrays.items()}
            raise UserError(f"{path}: {saved_name} has {given}; a {name} generator has {expected} there")
        layer.set_weights([np.reshape(arrays[role], shape) for role, shape in expected.items()])
    if len(saved) != len(expected_layers):
        rest = ", ".join([*saved][len(expected_layers) :]) or f"no {expected_layers[len(saved)].name}"
        count = len(expected_layers)
        raise UserError(f"{path}: has {len(saved)} layers, {rest}; a {name} generator has {count} with weights")
    require_finite(path, model)
    return model


def _without_shared_axes(shape):
    """The shape of PReLU's alpha, `(1, 1, C)`, without its axes of one."""
    return tuple(side for side in shape if side > 1) if shape[:2] == (1, 1) and len(shape) == 3 else shape


def _weighted(model):
    return [layer for layer in model.layers if layer.weights]


def _roles(layer):
    if isinstance(layer, layers.BatchNormalization):
        return _BN
    if isinstance(layer, layers.PReLU):
        return ("alpha",)
    return ("kernel", "bias") if layer.use_bias else ("kernel",)


def _kernel(array):
    """A kernel as `(height, width, in, out)`, also if it was saved as `(out, in, height, width)`."""
    if array.ndim == 4 and (array.shape[0] != array.shape[1] or array.shape[0] > _LARGEST_KERNEL):
        return array.transpose(2, 3, 1, 0)
    return array


def write_tensorlayerx(model, path):
    """Writes a generator for TensorLayerX, to be read with `load_weights(path, format="npz_dict")`.

    The names are those of a new process: `conv2d_1`, `batchnorm2d_1` and so on, in the order of the layers. A model of
    `read_tensorlayerx` fits the network that it came from; our G fits that network with a 9x9 first and last
    convolution and nearest-neighbour upscaling, see docs/use.md.

    Args:
        model: A `keras.Model` of `models.generator` or `models.third_party`.
        path: The file, `.npz`.

    Raises:
        UserError: The model is not one that TensorLayerX can read, or the file cannot be written.
    """
    if model.name == "generator":
        blocks, scale, _ = generator.generator_config(model)
        inner = [model.get_layer(f"{name}_{part}") for name in pair_names(blocks, scale) for part in ("conv", "bn")]
        ordered = [model.get_layer("first_conv"), *inner, model.get_layer("last_conv")]
    elif model.name.startswith("tensorlayerx"):
        ordered = _weighted(model)
    else:
        raise UserError(f"{path}: TensorLayerX's SRGAN has no such network as {model.name}; only G can be written so")
    names = {"kernel": "filters", "bias": "biases", "mean": "moving_mean", "variance": "moving_var"}
    arrays, counts = {}, {"conv2d": 0, "batchnorm2d": 0}
    for layer in ordered:
        kind = "batchnorm2d" if isinstance(layer, layers.BatchNormalization) else "conv2d"
        counts[kind] += 1
        for role, weight in zip(_roles(layer), layer.weights):
            arrays[f"{kind}_{counts[kind]}/{names.get(role, role)}:0"] = weight.numpy()
    with atomic_file(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
