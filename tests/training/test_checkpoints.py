import errno

import keras
import numpy as np
import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.training import checkpoints as module
from srgan_tf.training.checkpoints import Checkpoints


def _variables(seed, shapes=((3, 2), (4,))):
    rng = np.random.default_rng(seed)
    return [keras.Variable(rng.normal(size=shape), name=f"v{number}") for number, shape in enumerate(shapes)]


def _values(variables):
    return [variable.numpy().copy() for variable in variables]


def test_restores_the_newest_bit_for_bit(tmp_path):
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved, "d": _variables(1)})
    whole.save(5, {"best_psnr": -np.inf, "skipped": 2})
    saved[0].assign(saved[0] * 3)
    whole.save(7, {"best_psnr": 26.5, "skipped": 2})
    fresh = _variables(8)
    state = Checkpoints(tmp_path, {"g": fresh, "d": _variables(9)}).restore()
    assert state == {"step": 7, "best_psnr": 26.5, "skipped": 2}
    for old, new in zip(_values(saved), _values(fresh)):
        np.testing.assert_array_equal(old, new)


def test_keeps_the_newest_two_and_leaves_nothing_else(tmp_path):
    whole = Checkpoints(tmp_path, {"g": _variables(0)})
    for step in (1, 20, 300):
        whole.save(step, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000020.npz", "checkpoint-00000300.npz"]
    assert whole.latest_step() == 300


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


@pytest.mark.parametrize("damage", [_cut, _flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_one_is_passed_over_aloud(tmp_path, damage, capsys):
    saved = _variables(0)
    whole = Checkpoints(tmp_path, {"g": saved})
    whole.save(1, {})
    first = _values(saved)
    saved[0].assign(saved[0] + 1)
    whole.save(2, {})
    damage(tmp_path / "checkpoint-00000002.npz")
    assert whole.restore() == {"step": 1}
    np.testing.assert_array_equal(saved[0].numpy(), first[0])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "checkpoint-00000002.npz" in said[0] and "damaged" in said[0]
    damage(tmp_path / "checkpoint-00000001.npz")
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        whole.restore()


def test_another_network_is_refused_and_named(tmp_path):
    Checkpoints(tmp_path, {"g": _variables(0)}).save(1, {})
    other = _variables(1, ((3, 2), (5,)))
    before = _values(other)
    with pytest.raises(UserError, match=r"g/v1 is \(4,\) there and \(5,\) here"):
        Checkpoints(tmp_path, {"g": other}).restore()
    for old, new in zip(before, _values(other)):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(UserError, match="g/v1"):
        Checkpoints(tmp_path, {"g": _variables(1, ((3, 2),))}).restore()


def test_a_full_disk_keeps_the_one_before(tmp_path, monkeypatch):
    whole = Checkpoints(tmp_path, {"g": _variables(0)})
    whole.save(1, {})

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    with pytest.raises(UserError, match="No space left"):
        whole.save(2, {})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001.npz"]
    assert whole.restore() == {"step": 1}


def test_names_must_differ(tmp_path):
    with pytest.raises(ValueError, match="Two variables"):
        Checkpoints(tmp_path, {"g": _variables(0) + _variables(1)})
