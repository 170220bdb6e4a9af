"""NumPy archives, which are looked at before anything is taken from them."""

import io
import math
import zipfile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

# Of what an archive declares to what it weighs; weights hardly compress.
_LARGEST_RATIO = 4
_SLACK = 2**20  # bytes, for small archives
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile decompresses these in bounded pieces


class NpzArchive:
    """The arrays of an `.npz`, none of which is larger than it is stored.

    Args:
        file: What `numpy.savez` or `savez_compressed` wrote, open for reading and seekable.
        kinds: Of the types that arrays may have, as in `numpy.dtype.kind`; by default numbers.

    Attributes:
        types: A dict from the name of each array to its `(dtype, shape)`.

    Raises:
        Exception: It is damaged, or no such archive, or more is declared than stored; one of `system.errors.DAMAGE`, or
            an OSError.
    """

    def __init__(self, file: BinaryIO, kinds: str = "fiub"):
        self._archive = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.types: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        remaining = _LARGEST_RATIO * file.seek(0, io.SEEK_END) + _SLACK
        for member in self._archive.infolist():
            name = member.filename.removesuffix(".npy")
            remaining -= member.file_size
            if remaining < 0:
                raise ValueError(f"{name!r:.80} is larger than the file")
            if name == member.filename or name in self.types or member.compress_type not in _COMPRESSIONS:
                raise ValueError(f"{name!r:.80} is not stored as an array")
            with self._archive.open(member) as stream:
                dtype, shape = _header(stream)
                if dtype.kind not in kinds:
                    raise ValueError(f"{name!r:.80} is of type {dtype}")
                if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
                    raise ValueError(f"{name!r:.80} is not as long as its shape says")
            self._members[name], self.types[name] = member, (dtype, shape)

    def read(self, name: str) -> NDArray:
        """An array, whose checksum was compared before it is looked at; raises as the constructor."""
        member = self._members[name]
        with self._archive.open(member) as stream:
            content = stream.read(member.file_size)  # a bound: the stream may hold more
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _header(stream):
    """The type and the shape of an array whose file begins here."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    try:
        shape, _, dtype = readers[version](stream)
    except Exception as error:  # Python's parser and tokenizer read it
        raise ValueError(f"an array without a header ({type(error).__name__})") from None
    return dtype, shape
