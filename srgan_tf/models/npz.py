"""Opens NumPy archives, and checks them before anything is read from them."""

import io
import math
import zipfile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

# Of the declared size of all arrays to the size of the archive; weights hardly compress.
_LARGEST_RATIO = 4
_SLACK = 2**20  # bytes, for small archives
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile decompresses these in bounded pieces


class NpzArchive:
    """The arrays of an `.npz`, whose sizes are checked against the size of the file.

    Args:
        file: A file of `numpy.savez` or `savez_compressed`, open for reading and seekable.
        kinds: The allowed types of arrays, as `numpy.dtype.kind`; by default numbers.

    Attributes:
        types: A dict from the name of each array to its `(dtype, shape)`.

    Raises:
        Exception: It is damaged, not such an archive, or declares more than it stores; one of `system.errors.DAMAGE`,
            or an OSError.
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
        """Reads an array, whose checksum is compared first; raises as the constructor."""
        member = self._members[name]
        with self._archive.open(member) as stream:
            content = stream.read(member.file_size)  # not more, which the stream may hold
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _header(stream):
    """The type and the shape of an array, from the header at the start of its file."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    try:
        shape, _, dtype = readers[version](stream)
    except Exception as error:  # whatever Python's parser and tokenizer raise
        raise ValueError(f"an array without a header ({type(error).__name__})") from None
    return dtype, shape
