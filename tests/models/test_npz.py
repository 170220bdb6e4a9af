"""Archives that are made to take memory, or to be read as what they are not."""

import io
import struct
import zipfile

import numpy as np
import pytest

from srgan_tf.models.npz import NpzArchive
from srgan_tf.system.errors import DAMAGE


def _read(content, **options):
    archive = NpzArchive(io.BytesIO(content), **options)
    return {name: archive.read(name) for name in archive.types}


def _written(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


ARRAYS = {
    "a/kernel:0": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "number": np.int64(7),
    "none": np.zeros((0, 5), np.uint8),
    "big-endian": np.arange(3, dtype=">f8"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_it_reads_what_numpy_wrote(save):
    content = _written(save, **ARRAYS)
    read = _read(content)
    types = NpzArchive(io.BytesIO(content)).types
    assert [*read] == [*ARRAYS] and types["a/kernel:0"] == (np.dtype("f4"), (2, 3, 4))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.asarray(array).dtype


def _zip(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def _array(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _declared_smaller(content, size):
    """The archive with another size of its only member, in both places that have it."""
    (member,) = zipfile.ZipFile(io.BytesIO(content)).infolist()
    return content.replace(
        struct.pack("<II", member.compress_size, member.file_size), struct.pack("<II", member.compress_size, size)
    )


GOOD = _array("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n", bytes(8))
HUGE = _array("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,)}\n", bytes(8))
BOMB = _array(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({10**7},)}}\n", bytes(4 * 10**7))
HOSTILE = {
    "a shape larger than the member": _zip([("a.npy", HUGE)]),
    "compressed far beyond its size": _zip([("a.npy", BOMB)], zipfile.ZIP_DEFLATED),
    "larger than declared": _declared_smaller(_zip([("a.npy", BOMB)], zipfile.ZIP_DEFLATED), len(GOOD)),
    "another compression": _zip([("a.npy", GOOD)], zipfile.ZIP_LZMA),
    "no array": _zip([("a.txt", GOOD)]),
    "nothing": _zip([("a.npy", b"")]),
    "no header": _zip([("a.npy", b"\x93NUMPY\x01\x00\xff\xffxxx")]),
    "a header that is no literal": _zip([("a.npy", _array("{'descr': exit()}\n"))]),
    "a header that is no Python": _zip([("a.npy", _array("(" * 9000))]),
    "a header that does not end": _zip([("a.npy", _array('"""\n'))]),
    "another version": _zip([("a.npy", GOOD.replace(b"Y\x01", b"Y\x09"))]),
    "objects": _written(np.savez, a=np.array([print], object)),
    "text": _written(np.savez, a=np.array("text")),
    "records": _written(np.savez, a=np.zeros(3, "f4,i4")),
    "one array": GOOD,
    "empty": b"",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_declares_more_or_other_than_it_stores_is_damaged(hostile):
    with pytest.raises(DAMAGE):
        _read(HOSTILE[hostile])


def test_two_of_a_name_are_damaged():
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = _zip([("a.npy", GOOD), ("a.npy", GOOD)])
    with pytest.raises(ValueError, match="'a' is not stored as an array"):
        _read(content)


def test_text_is_read_where_it_is_asked_for():
    assert str(_read(_written(np.savez, a=np.array("text")), kinds="U")["a"]) == "text"
