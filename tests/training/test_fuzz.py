"""Damaged weights, checkpoints and archives, seeded: each ends in success or in one line, and in no other values."""

import keras
import numpy as np
import pytest

from srgan_tf.evaluation import lpips
from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.models.generator_weights import read_weights
from srgan_tf.models.third_party_weights import read_krasserm, read_tensorlayerx
from srgan_tf.system.errors import UserError
from srgan_tf.training.checkpoints import Checkpoints, Progress


def _mutants(content, count, seed=0):
    """Flipped bits, most of them at the start and the end, where the structure is; cuts; repeated and lost parts."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        mutant = bytearray(content)
        kind = number % 8
        place, other = sorted(rng.integers(0, len(content), 2))
        if kind == 0:
            mutant = mutant[:place]
        elif kind == 1:
            del mutant[place:other]
        elif kind == 2:
            mutant[place:place] = mutant[place : place + 100]
        elif kind == 3:
            mutant[place : place + 8] = rng.bytes(8)
        else:
            edge = int(rng.integers(0, min(2000, len(content))))
            mutant[(edge, -1 - edge, place, edge)[kind - 4]] ^= 1 << int(rng.integers(8))
        yield bytes(mutant)


def _tried(read, path, content, count):
    """How many mutants were read; the others are one line that names the file."""
    read_well = 0
    for mutant in _mutants(content, count):
        path.write_bytes(mutant)
        try:
            read(path)
            read_well += 1
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error), error
    return read_well


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights(tmp_path):
    path = tmp_path / "g.weights.h5"
    save_generator(build_generator(blocks=0, scale=2, filters=2), path)
    content = path.read_bytes()
    _tried(read_weights, path, content, 600)
    _tried(load_generator, path, content, 24)
    _tried(read_krasserm, path, content, 100)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_archives(tmp_path):
    path = tmp_path / "g.npz"
    arrays = {f"conv2d_{number}/filters:0": np.ones((3, 3, 2, 2), np.float32) for number in range(4)}
    np.savez(path, **arrays)
    assert _tried(read_tensorlayerx, path, path.read_bytes(), 600) == 0
    np.savez_compressed(path, **arrays)
    assert _tried(lpips.read_weights, path, path.read_bytes(), 200) == 0


def test_checkpoints(tmp_path, capsys):
    variables = [keras.Variable(np.arange(6.0).reshape(2, 3)), keras.Variable(np.ones(5))]
    whole = Checkpoints(tmp_path, {"g": variables})
    right = {}
    for step in (1, 2):
        variables[0].assign(variables[0] + 1)
        right[step] = variables[0].numpy().copy()
        whole.save(Progress(step))
    path = tmp_path / "checkpoint-00000002.npz"
    for mutant in _mutants(path.read_bytes(), 600):
        path.write_bytes(mutant)
        step = whole.restore().step
        np.testing.assert_array_equal(variables[0].numpy(), right[step])
    assert "Traceback" not in capsys.readouterr().out
