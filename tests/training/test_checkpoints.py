import contextlib
import errno
import hashlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.training import checkpoints as module
from srgan_tf.training.checkpoints import Checkpoints, Progress


def _variables(seed, shapes=((3, 2), (4,))):
    rng = np.random.default_rng(seed)
    return [keras.Variable(rng.normal(size=shape), name=f"v{number}") for number, shape in enumerate(shapes)]


def _values(variables):
    return [variable.numpy().copy() for variable in variables]


def test_restores_the_newest_bit_for_bit(tmp_path):
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved, "d": _variables(1)})
    whole.save(Progress(5, skipped=2))
    saved[0].assign(saved[0] * 3)
    whole.save(Progress(7, 26.5, 2, 1))
    fresh = _variables(8)
    progress = Checkpoints(tmp_path, {"g": fresh, "d": _variables(9)}).restore()
    assert progress == Progress(7, 26.5, 2, 1)
    for old, new in zip(_values(saved), _values(fresh)):
        np.testing.assert_array_equal(old, new)


def test_keeps_the_newest_two_and_leaves_nothing_else(tmp_path):
    whole = Checkpoints(tmp_path, {"g": _variables(0)})
    for step in (1, 20, 300):
        whole.save(Progress(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000020.npz", "checkpoint-00000300.npz"]
    assert whole.latest_step() == 300


def test_room_is_needed_for_the_checkpoints_that_are_still_to_come(tmp_path, monkeypatch):
    whole = Checkpoints(tmp_path, {"g": _variables(0)})  # 80 bytes
    for steps, needed in enumerate((240, 160, 80, 80)):
        for free in (needed - 1, needed):
            monkeypatch.setattr("srgan_tf.system.disk.free_bytes", lambda _, free=free: free)
            with contextlib.nullcontext() if free == needed else pytest.raises(UserError, match="make room for"):
                whole.check_room()
        whole.save(Progress(steps))


def test_without_any_checkpoint(tmp_path):
    whole = Checkpoints(tmp_path / "none", {"g": _variables(0)})
    assert whole.latest_step() is None and whole.restore() is None


def _cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def _flip(path):
    content = bytearray(path.read_bytes())
    at = content.find(b"\x93NUMPY") + 130
    content[at] ^= 0xFF
    path.write_bytes(content)


def _shift(path):
    """One bit of an array's header: it seems to be stored column by column."""
    content = path.read_bytes()
    assert b"'fortran_order': False, 'shape': (3, 2)" in content
    path.write_bytes(content.replace(b"False, 'shape': (3, 2)", b"True,  'shape': (3, 2)"))


def _arrays(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def _with_state(text):
    def write(path):
        np.savez(path, **_arrays(path) | {"state": np.asarray(text)})

    return write


def _without_a_name(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("state", b"x")


def _pickled(path):
    np.savez(path, **_arrays(path) | {"g/v0": np.array([print], object)})


def _bomb(path):
    """16 MB in 16 kB."""
    np.savez_compressed(path, state=np.zeros(2 * 10**6))


DAMAGES = {
    "cut": _cut,
    "flipped": _flip,
    "shifted": _shift,
    "empty": lambda path: path.write_bytes(b""),
    "state of another type": _with_state('{"step": "2", "best_psnr": 1.0}'),
    "state with truth": _with_state('{"step": true}'),
    "state that is no object": _with_state("[2]"),
    "state of another program": _with_state('{"step": 2, "learning_rate": 1}'),
    "state without a text": lambda path: np.savez(path, **_arrays(path) | {"state": np.zeros(3)}),
    "negative step": _with_state('{"step": -1}'),
    "no array": _without_a_name,
    "pickled": _pickled,
    "bomb": _bomb,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_passed_over_aloud(tmp_path, damage, capsys):
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved})
    whole.save(Progress(1))
    first = _values(saved)
    saved[0].assign(saved[0] + 1)
    whole.save(Progress(2))
    DAMAGES[damage](tmp_path / "checkpoint-00000002.npz")
    assert whole.restore() == Progress(1)
    np.testing.assert_array_equal(saved[0].numpy(), first[0])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "checkpoint-00000002.npz" in said[0] and "damaged" in said[0]
    DAMAGES[damage](tmp_path / "checkpoint-00000001.npz")
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        whole.restore()


def test_every_byte_is_under_the_digest(tmp_path, capsys):
    """A flipped bit: the values before, or the very same ones, where it makes the digest's label another."""
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved})
    right = {}
    for step in (1, 2):
        saved[0].assign(saved[0] + 1)
        right[step] = _values(saved)
        whole.save(Progress(step))
    path = tmp_path / "checkpoint-00000002.npz"
    content, unnoticed = path.read_bytes(), 0
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        progress = whole.restore()
        unnoticed += progress.step == 2
        for variable, expected in zip(saved, right[progress.step]):
            np.testing.assert_array_equal(variable.numpy(), expected)
    assert unnoticed <= 4  # of the 16 characters of the label


def test_it_is_a_plain_numpy_archive_with_the_digest_of_what_stands_before(tmp_path):
    saved = _variables(0)
    Checkpoints(tmp_path, {"g": saved}).save(Progress(1))
    path = tmp_path / "checkpoint-00000001.npz"
    content = path.read_bytes()
    assert hashlib.sha256(content[:-64]).hexdigest().encode() == content[-64:]
    np.testing.assert_array_equal(_arrays(path)["g/v1"], saved[1].numpy())
    assert subprocess.run([sys.executable, "-m", "zipfile", "-t", path]).returncode == 0


def test_one_without_a_digest_as_before_is_read(tmp_path):
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved})
    whole.save(Progress(1, 20.5))
    first = _values(saved)
    np.savez(tmp_path / "checkpoint-00000001.npz", **_arrays(tmp_path / "checkpoint-00000001.npz"))
    saved[0].assign(saved[0] + 1)
    assert whole.restore() == Progress(1, 20.5)
    np.testing.assert_array_equal(saved[0].numpy(), first[0])


def test_another_network_is_refused_and_named(tmp_path):
    Checkpoints(tmp_path, {"g": _variables(0)}).save(Progress(1))
    other = _variables(1, ((3, 2), (5,)))
    before = _values(other)
    with pytest.raises(UserError, match=r"g/v1 is float64 \(4,\) there and float64 \(5,\) here"):
        Checkpoints(tmp_path, {"g": other}).restore()
    for old, new in zip(before, _values(other)):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(UserError, match="g/v1"):
        Checkpoints(tmp_path, {"g": _variables(1, ((3, 2),))}).restore()
    halves = [keras.Variable(value, dtype="float16", name=f"v{number}") for number, value in enumerate(before)]
    with pytest.raises(UserError, match=r"g/v0 is float64 \(3, 2\) there and float16 \(3, 2\) here"):
        Checkpoints(tmp_path, {"g": halves}).restore()


def test_a_full_disk_keeps_the_one_before(tmp_path, monkeypatch):
    whole = Checkpoints(tmp_path, {"g": _variables(0)})
    whole.save(Progress(1))

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    with pytest.raises(UserError, match="No space left"):
        whole.save(Progress(2))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001.npz"]
    assert whole.restore() == Progress(1)


def test_names_must_differ(tmp_path):
    with pytest.raises(ValueError, match="Two variables"):
        Checkpoints(tmp_path, {"g": _variables(0) + _variables(1)})
