"""Weights to and from other projects' files, layer by layer, in the order of the layers."""

from pathlib import Path

import h5py
import numpy as np
from keras import layers

from srgan_tf.models import generator, third_party
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import DAMAGE, UserError, user_errors

# What the files call a layer's arrays, and their order in Keras' layers.
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
    """Reads a generator of TensorLayerX's SRGAN.

    Args:
        path: What `save_weights(path, format="npz_dict")` wrote for `SRGAN_g` or `SRGAN_g2`, of any backend.

    Returns:
        A `keras.Model` of `models.third_party`.

    Raises:
        UserError: The file is missing, damaged, or of another network; the message names the first layer that differs.
    """
    path = Path(path)
    with user_errors(path, "cannot be read as an npz_dict of TensorLayerX", of=(OSError, *DAMAGE)):
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is a single array")
        with file:
            arrays = {name: file[name] for name in file.files}
    found = {}
    for name, array in arrays.items():
        layer, _, role = name.rpartition("/")
        found.setdefault(layer, {})[_ROLES.get(role.partition(":")[0], role)] = array
    last = [own["kernel"] for own in found.values() if "kernel" in own and own["kernel"].ndim == 4][-1:]
    resized = bool(last) and 32 in last[0].shape
    return _build(path, "tensorlayerx-resize" if resized else "tensorlayerx", found)


def read_krasserm(path):
    """Reads a generator of krasserm's super-resolution, `pre_generator.h5` or `gan_generator.h5`.

    Args:
        path: The HDF5 file.

    Returns:
        A `keras.Model` of `models.third_party`.

    Raises:
        UserError: As `read_tensorlayerx`.
    """
    path = Path(path)
    found = {}
    with (
        user_errors(path, "cannot be read as the weights of krasserm's generator", of=(OSError, *DAMAGE)),
        h5py.File(path, "r") as file,
    ):
        for layer in map(_text, file.attrs["layer_names"]):
            for name in map(_text, file[layer].attrs["weight_names"]):
                role = name.rpartition("/")[2].partition(":")[0]
                found.setdefault(layer, {})[_ROLES.get(role, role)] = np.asarray(file[layer][name])
    return _build(path, "krasserm", found)


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _build(path, kind, found):
    """The model of `third_party.ARCHITECTURES[kind]` with arrays `found`, a dict from layer to its arrays by role."""
    convolutions = [name for name, own in found.items() if "kernel" in own]
    if len(convolutions) < 5 or len(convolutions) % 2 == 0:
        last = f", the last {convolutions[-1]}" if convolutions else ""
        raise UserError(
            f"{path}: has {len(convolutions)} convolutions{last}; a {kind} generator has 5 and 2 for each block"
        )
    model = third_party.build_third_party(kind, (len(convolutions) - 5) // 2)
    wanted = _weighted(model)
    for (name, own), layer in zip(found.items(), wanted):
        roles, right = _roles(layer), [tuple(weight.shape) for weight in layer.weights]
        arrays = [_kernel(own[role]) if role == "kernel" and role in own else own.get(role) for role in roles]
        given = {role: np.shape(array) for role, array in own.items()}
        if set(own) != set(roles) or [np.shape(array) for array in arrays] not in (right, _flat(right)):
            expected = dict(zip(roles, right))
            raise UserError(f"{path}: {name} has {given}; a {kind} generator has {expected} there")
        layer.set_weights([np.reshape(array, shape) for array, shape in zip(arrays, right)])
    if len(found) != len(wanted):
        rest = ", ".join([*found][len(wanted) :]) or f"no {wanted[len(found)].name}"
        raise UserError(f"{path}: has {len(found)} layers, {rest}; a {kind} generator has {len(wanted)} with weights")
    return model


def _flat(shapes):
    """PReLU's shapes without the axes of one."""
    return [
        tuple(side for side in shape if side > 1) if shape[:2] == (1, 1) and len(shape) == 3 else shape
        for shape in shapes
    ]


def _weighted(model):
    return [layer for layer in model.layers if layer.weights]


def _roles(layer):
    if isinstance(layer, layers.BatchNormalization):
        return _BN
    if isinstance(layer, layers.PReLU):
        return ("alpha",)
    return ("kernel", "bias") if layer.use_bias else ("kernel",)


def _kernel(array):
    """A kernel as `(height, width, in, out)`, whichever way round it was saved."""
    if array.ndim == 4 and (array.shape[0] != array.shape[1] or array.shape[0] > _LARGEST_KERNEL):
        return array.transpose(2, 3, 1, 0)
    return array


def write_tensorlayerx(model, path):
    """Writes a generator for TensorLayerX, to be read with `load_weights(path, format="npz_dict")`.

    The names are those that a fresh process gives: `conv2d_1`, `batchnorm2d_1` and so on, in the order of the layers.
    A model that `read_tensorlayerx` made fits the network that it came from; our G fits that network with a 9x9 first
    and last convolution and nearest-neighbour enlargement, see docs/use.md.

    Args:
        model: A `keras.Model` of `models.generator` or `models.third_party`.
        path: The file, `.npz`.

    Raises:
        UserError: The model has layers that TensorLayerX's generators have not, or the file cannot be written.
    """
    if model.name == "generator":
        blocks, scale, _ = generator.generator_config(model)
        names = [f"block{block}{half}" for block in range(1, blocks + 1) for half in "ab"]
        names += ["trunk", *(f"up{stage}" for stage in range(1, scale.bit_length()))]
        inner = [model.get_layer(f"{name}_{part}") for name in names for part in ("conv", "bn")]
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
    with atomic_file(path) as beside, open(beside, "wb") as file:
        np.savez(file, **arrays)
