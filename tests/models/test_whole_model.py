import json
import zipfile

import keras
import numpy as np
import pytest

from srgan_tf.models.baselines import build_drcn, build_espcn, build_srcnn
from srgan_tf.models.generator import build_generator, describe, load_generator
from srgan_tf.models.third_party import build_third_party
from srgan_tf.models.whole_model import write_model
from srgan_tf.system.errors import UserError
from srgan_tf.training.normalization import BatchNormalization

MODELS = {
    "generator": lambda: build_generator(blocks=2, scale=2, filters=8),
    "srcnn": build_srcnn,
    "espcn": lambda: build_espcn(scale=2),
    "drcn": lambda: build_drcn(filters=4, recursions=3),
    "krasserm": lambda: build_third_party("krasserm", blocks=1),
    "tensorlayerx-resize": lambda: build_third_party("tensorlayerx-resize", blocks=2),
}


@pytest.fixture
def path(tmp_path, generator):
    path = tmp_path / "g.keras"
    write_model(generator, path)
    return path


@pytest.mark.parametrize("name", MODELS)
def test_round_trips(tmp_path, name):
    model = MODELS[name]()
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    path = tmp_path / "new" / "m.keras"
    write_model(model, path)
    assert [file.name for file in path.parent.iterdir()] == ["m.keras"]
    loaded = load_generator(path)
    assert describe(loaded) == describe(model)
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_keras_saves_of_a_compiled_model_is_read(tmp_path, generator):
    model = keras.models.clone_model(generator)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "trained.keras")
    loaded = load_generator(tmp_path / "trained.keras", normalization=BatchNormalization)
    assert isinstance(loaded.get_layer("trunk_bn"), BatchNormalization)
    for old, new in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


OPEN = """
import sys, keras, numpy as np
import srgan_tf.models.layers, srgan_tf.models.baselines
for name in sys.argv[1:]:
    np.save(f"{name}.npy", keras.models.load_model(f"{name}.keras")(np.load("lr.npy"), training=False))
assert "srgan_tf.models.generator" not in sys.modules
"""


def test_opens_with_keras_and_the_layers_alone(tmp_path, run_python):
    lr = np.random.default_rng(0).uniform(-1, 1, (1, 12, 17, 3)).astype(np.float32)
    np.save(tmp_path / "lr.npy", lr)
    models = {name: MODELS[name]() for name in ("generator", "drcn", "krasserm")}
    for name, model in models.items():
        write_model(model, tmp_path / f"{name}.keras")
    done = run_python("-W", "error::UserWarning", "-c", OPEN, *models, cwd=tmp_path)
    assert "Warning" not in done.stderr
    for name, model in models.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), model(lr, training=False), atol=1e-5)


def rewrite(path, change):
    """The archive with another description, which `change` makes of the layers by name."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    change({layer["name"]: layer for layer in config["config"]["layers"]}, config["config"])
    contents["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def _other_activation(layers, config):
    layers["block1_relu"]["config"]["max_value"] = 6.0


def _other_place(layers, config):
    layers["trunk_add"]["inbound_nodes"][0]["args"][0][0]["config"]["keras_history"][0] = "trunk_conv"


def _lambda(layers, config):
    layers["trunk_add"] |= {"class_name": "Lambda", "module": "keras.layers"}


def _unknown(layers, config):
    layers["up2_conv"]["class_name"] = layers["up2_conv"]["registered_name"] = "other>Layer"


def _more_layers(layers, config):
    config["layers"].append(layers["trunk_add"] | {"name": "another"})


def _more_filters(layers, config):
    layers["first_conv"]["config"]["filters"] = 24


def _no_layers(layers, config):
    config["layers"] = 3


CHANGES = (_other_activation, _other_place, _lambda, _unknown, _more_layers, _more_filters, _no_layers)


@pytest.mark.parametrize("change", CHANGES)
def test_another_network_is_refused_in_a_line_that_names_the_file(path, change):
    rewrite(path, change)
    with pytest.raises(UserError) as error:
        load_generator(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert str(error.value).count(".weights.h5") == 0


def test_a_file_that_is_cut_off_compressed_or_no_archive_is_refused(path):
    content = path.read_bytes()
    for damaged in (content[:-1000], content[1000:], b"", b"version https://git-lfs"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged or not a generator's whole model"):
            load_generator(path)
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="compressed"):
        load_generator(path)


def test_a_whole_model_upscales_as_its_weights_file_does(path, weights):
    from srgan_tf import Upscaler

    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(Upscaler(path).upscale(picture), Upscaler(weights).upscale(picture))
