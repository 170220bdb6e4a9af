import json

import h5py
import numpy as np
import pytest

from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.models.generator_weights import copy_weights, read_weights
from srgan_tf.weights import find_weights


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "g.weights.h5"
    save_generator(build_generator(blocks=2, scale=8, filters=5), path)
    return path


def test_they_are_those_that_keras_loads(path):
    for file in (path, find_weights("srresnet")):
        read, loaded = read_weights(file), copy_weights(load_generator(file))
        assert (read.blocks, read.scale, read.filters) == (loaded.blocks, loaded.scale, loaded.filters)
        assert read.epsilon == loaded.epsilon
        assert read.arrays.keys() == loaded.arrays.keys()
        for name, arrays in loaded.arrays.items():
            for ours, keras in zip(read.arrays[name], arrays, strict=True):
                np.testing.assert_array_equal(ours, keras)


def _layer(file, name):
    return next(group["vars"] for group in file["layers"].values() if group["vars"].attrs["name"] == name)


def _change_shape(file):
    group = _layer(file, "first_conv")
    del group["1"]
    group["1"] = np.zeros(6, np.float32)


def _change_type(file):
    group = _layer(file, "trunk_bn")
    values = group["0"][()].astype(np.float64)
    del group["0"]
    group["0"] = values


def _configure(**config):
    return lambda file: file.attrs.__setitem__("srgan_tf", json.dumps(config))


@pytest.mark.parametrize(
    "change",
    [
        _change_shape,
        _change_type,
        lambda file: _layer(file, "block2a_bn").__delitem__("3"),
        lambda file: file.__delitem__("layers/conv2d_1"),
        lambda file: file.attrs.__delitem__("srgan_tf"),
        lambda file: file.attrs.__setitem__("srgan_tf", "{"),
        _configure(model="espcn", scale=4),
        _configure(blocks=1, scale=8, filters=5),
        _configure(blocks=2, scale=4, filters=5),
        _configure(blocks=2, scale=3, filters=5),
    ],
)
def test_a_file_that_differs_is_left_to_load_generator(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    assert read_weights(path) is None


def test_what_is_no_weights_file_is_left_to_load_generator(path, tmp_path):
    path.write_bytes(path.read_bytes()[:5000])
    assert read_weights(path) is None
    assert read_weights(tmp_path / "none.weights.h5") is None
    assert read_weights(path.rename(tmp_path / "g.h5")) is None
