"""Opens HDF5 files of weights, and checks them before anything is read from them."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from srgan_tf.system.errors import DAMAGE, UserError

# What h5py and Keras raise for a file that is missing, damaged or of another network.
UNREADABLE: tuple[type[Exception], ...] = (AttributeError, OSError, UserWarning, *DAMAGE)
# Of the declared size of all arrays to the size of the file. Weights hardly compress; arrays that were never written
# take no room in the file.
_LARGEST_RATIO = 4
_SLACK = 2**20  # bytes, for small files


@contextlib.contextmanager
def open_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """Opens a file, and checks that all arrays are in the file itself, hold numbers and are no larger than the file.

    HDF5 can take an array's values from any other file, and declare arrays of any size without storing them.

    Raises:
        UserError: It has links to other places, arrays in other files, too large arrays, or arrays of anything but
            numbers.
        Exception: It is missing, damaged, or not HDF5; one of `UNREADABLE`.
    """
    with h5py.File(path, "r") as file:
        links: list[tuple[str, object]] = []
        try:
            file.visititems_links(lambda name, link: links.append((name, link)))
        except SystemError:  # h5py raises it for any error on the way
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
    """Refuses weights, read from a file, that are not finite: they make only black or broken images.

    Raises:
        UserError: A layer has NaN or infinity.
    """
    for layer in model.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise UserError(f"{path}: layer {layer.name} has weights that are NaN or infinite; give other weights")


def _refused(path, name, what):
    return UserError(f"{path}: refused, since {name} {what}; get the weights in one whole file")
