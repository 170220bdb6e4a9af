"""HDF5 files of weights, which are looked at before anything is taken from them."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from srgan_tf.system.errors import DAMAGE, UserError

# What h5py, and Keras over it, raise over a file that is missing, damaged or another network's.
UNREADABLE: tuple[type[Exception], ...] = (AttributeError, OSError, UserWarning, *DAMAGE)
# Of what a file declares to what it weighs. Weights hardly compress; arrays that were never written weigh nothing.
_LARGEST_RATIO = 4
_SLACK = 2**20  # bytes, for small files


@contextlib.contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Opens a file in which every array lies in the file itself, holds numbers, and weighs what it declares.

    HDF5 can put an array's values into any other file, which is then read as the weights, and declare arrays of any
    size without storing one.

    Raises:
        UserError: It has links to other places, arrays in other files, or arrays of anything but numbers.
        Exception: It is missing, damaged, or no HDF5; one of `UNREADABLE`.
    """
    with h5py.File(path, "r") as file:
        links: list[tuple[str, object]] = []
        try:
            file.visititems_links(lambda name, link: links.append((name, link)))
        except SystemError:  # what h5py makes of an error on the way
            raise ValueError("its links cannot be followed") from None
        remaining = _LARGEST_RATIO * os.path.getsize(path) + _SLACK
        for name, link in links:
            if not isinstance(link, h5py.HardLink):
                raise _refused(path, name, "is a link to another place")
            item = file[name]
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise _refused(path, name, "lies in another file")
                if item.dtype.kind not in "fiub" or item.shape is None:
                    raise _refused(path, name, "holds no numbers")
                remaining -= math.prod(item.shape) * item.dtype.itemsize
                if remaining < 0:
                    raise _refused(path, name, f"of shape {item.shape} is larger than the file")
        yield file


def require_finite(path: Path | str, model) -> None:
    """Refuses weights, from a file, from which only black or broken pictures come.

    Raises:
        UserError: A layer has NaN or infinity.
    """
    for layer in model.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise UserError(f"{path}: layer {layer.name} has weights that are NaN or infinite; give other weights")


def _refused(path, name, what):
    return UserError(f"{path}: refused, since {name} {what}; get the weights in one whole file")
