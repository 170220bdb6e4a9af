"""Weights files that are made to read other files, or to take memory."""

import json

import h5py
import numpy as np
import pytest

from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.models.generator_weights import read_weights
from srgan_tf.models.third_party_weights import read_krasserm
from srgan_tf.models.vgg import build_vgg
from srgan_tf.system.errors import UserError

READERS = {
    "ours": load_generator,
    "ours without Keras": read_weights,
    "krasserm": read_krasserm,
    "VGG19": lambda path: build_vgg("vgg22", str(path)),
}


def _external(group, secret):
    group.create_dataset("0", (64,), "u1", external=[(str(secret), 0, 64)])


def _virtual(group, secret):
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (8,))
    group.create_virtual_dataset("0", layout)


def _never_written(group, _):
    group.create_dataset("0", (1000, 1000, 1000), "f4")


def _compressed_zeros(group, _):
    group.create_dataset("0", data=np.zeros(10_000_000, np.float32), compression="gzip", chunks=(1_000_000,))


def _many_names_of_one(group, _):
    group["0"] = np.ones((512, 512), np.float32)
    for number in range(1, 20):
        group[str(number)] = group["0"]


HOSTILE = {
    "external": (_external, "lies in another file"),
    "virtual": (_virtual, "lies in another file"),
    "external link": (lambda group, secret: group.__setitem__("0", h5py.ExternalLink(str(secret), "x")), "is a link"),
    "soft link": (lambda group, _: group.__setitem__("0", h5py.SoftLink("/layers")), "is a link"),
    "text": (lambda group, _: group.__setitem__("0", "text"), "holds no numbers"),
    "nothing": (lambda group, _: group.__setitem__("0", h5py.Empty("f4")), "holds no numbers"),
    "never written": (_never_written, "is larger than the file"),
    "compressed": (_compressed_zeros, "is larger than the file"),
    "many names of one": (_many_names_of_one, "is larger than the file"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_is_not_in_the_file_is_not_read_as_weights(tmp_path, hostile):
    make, said = HOSTILE[hostile]
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.ones(8, np.float32)
    path = tmp_path / "g.weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["srgan_tf"] = json.dumps({"blocks": 1, "scale": 4, "filters": 4})
        file.attrs["layer_names"] = [b"layers"]
        group = file.create_group("layers")
        group.attrs["weight_names"] = [b"0"]
        make(group, secret)
    for name, read in READERS.items():
        with pytest.raises(UserError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: refused, since layers/"), name
        assert said in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "g.weights.h5"
    save_generator(build_generator(blocks=1, filters=4), path)
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_with_their_layer(path, value):
    with h5py.File(path, "a") as file:
        (bn,) = (group["vars"] for group in file["layers"].values() if group["vars"].attrs["name"] == "trunk_bn")
        bn["2"][1] = value
    assert read_weights(path) is None
    with pytest.raises(UserError, match="g.weights.h5: layer trunk_bn has weights that are NaN or infinite"):
        load_generator(path)


CONFIGURATIONS = [
    ({"blocks": 1, "scale": 4, "filters": 12000}, "filters=12000, and no such network is stored"),
    ({"blocks": 1_000_000, "scale": 4, "filters": 4}, "blocks=1000000, and no such network is stored"),
    ({"blocks": 1, "scale": 200_000_000, "filters": 4}, "scale is 200000000, none of"),
    ({"blocks": 1, "scale": 4.0, "filters": 4}, "scale is 4.0, not a whole number"),
    ({"blocks": True, "scale": 4, "filters": 4}, "blocks is True, not a whole number"),
    ({"blocks": -1, "scale": 4, "filters": 4}, "blocks=-1, and no such network is stored"),
    ({"blocks": 0, "scale": 4, "filters": 4}, "of block1a_bn it has"),
    ({"blocks": 1, "scale": 8, "filters": 4}, "of up3_bn it has None"),
    ({"blocks": 1, "scale": 4}, "filters"),
    ({"model": "drcn", "scale": 4, "filters": 4, "recursions": 1_000_000}, "recursions=1000000, and no such"),
    ({"model": "krasserm", "blocks": 1_000_000}, "blocks=1000000, and no such"),
    ({"model": ["espcn"], "scale": 4}, "unhashable"),
    ({"model": "espcn", "scale": "4" * 10_000}, "not a whole number"),
    ([1], "sequence"),
]


@pytest.mark.parametrize("config, said", CONFIGURATIONS)
def test_a_description_that_is_not_what_is_stored_is_refused_before_anything_is_built(path, monkeypatch, config, said):
    with h5py.File(path, "a") as file:
        file.attrs["srgan_tf"] = json.dumps(config)
    monkeypatch.setattr("srgan_tf.models.generator.build_generator", None)
    assert read_weights(path) is None
    with pytest.raises(UserError) as error:
        load_generator(path)
    assert said in str(error.value) and len(str(error.value)) < 600 and "\n" not in str(error.value)
