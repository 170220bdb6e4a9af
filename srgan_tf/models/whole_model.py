"""Whole models in Keras' `.keras` files, which `keras.models.load_model` opens if this package's layers are imported.

Here only the weights and the description of the model are read from such a file. The layers and functions that it
names are not run, since they could be any code.
"""

import contextlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from srgan_tf.models import registry
from srgan_tf.models.generator_weights import METADATA
from srgan_tf.models.generator_weights import SUFFIX as WEIGHTS_SUFFIX
from srgan_tf.system.atomic import atomic_file

SUFFIX = ".keras"
_MAX_DESCRIPTION_BYTES = 4_000_000  # G with 16 blocks has 100 kB, InceptionResNetV2 800 kB
# Keys in which the descriptions of equal networks may differ: how they were trained, and Keras' numbering.
_INCIDENTAL = {"dtype", "trainable", "shared_object_id", "build_config", "module"}


def write_model(model: keras.Model, path: Path | str) -> None:
    """Writes a model, layers and weights, to a `.keras` file; complete or not at all.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_file(path, suffix=SUFFIX) as partial:
        model.save(partial)


@contextlib.contextmanager
def as_weights_file(path: Path | str) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Extracts the weights and the description of the layers from a `.keras` file of a generator.

    Yields:
        A temporary file as `generator.save_generator` writes it, and the list of the layers' descriptions.

    Raises:
        KeyError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile: It is damaged, or not a generator's.
    """
    with unpacked(path) as (weights, description):
        described = description["config"]
        with h5py.File(weights, "a") as file:
            file.attrs[METADATA] = json.dumps(_arguments(described["name"], described["layers"]))
        yield weights, described["layers"]


@contextlib.contextmanager
def unpacked(path: Path | str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Extracts the weights and the description from a `.keras` file of any model.

    Yields:
        A temporary HDF5 file of weights, and the description of the model: `class_name`, `config`...

    Raises:
        KeyError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile: It is damaged.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        weights = Path(folder, f"model{WEIGHTS_SUFFIX}")
        info = {name: archive.getinfo(name) for name in ("config.json", weights.name)}
        if info["config.json"].file_size > _MAX_DESCRIPTION_BYTES:
            raise ValueError("its description is too long")
        if any(each.file_size != each.compress_size for each in info.values()):
            raise ValueError("it is compressed, which Keras does not do")  # a small file could fill the disk
        description = json.loads(archive.read(info["config.json"]))
        archive.extract(info[weights.name], folder)
        yield weights, description


def _arguments(name, layers):
    """The arguments to build a network, see `generator.describe`, from the description of its layers."""
    by_name = {layer["name"]: layer for layer in layers}
    if registry.is_third_party(name):
        return {"model": name, "blocks": sum(layer["class_name"] == "Add" for layer in layers) - 1}
    if registry.is_baseline(name):
        arguments = {"model": name, "scale": by_name["bicubic"]["config"]["scale"]}
        if "recursion" in by_name:
            arguments["filters"] = by_name["recursion"]["config"]["filters"]
            arguments["recursions"] = len(by_name["recursion"]["inbound_nodes"])
        return arguments
    stages = sum(name.startswith("up") and name.endswith("_conv") for name in by_name)
    blocks = sum(name.startswith("block") and name.endswith("_add") for name in by_name)
    return {"blocks": blocks, "scale": 2**stages, "filters": by_name["first_conv"]["config"]["filters"]}


def check_layers(found: list[dict[str, Any]], model: keras.Model) -> None:
    """Checks that the layers of a file, see `as_weights_file`, are those of a model, except for their names.

    Raises:
        ValueError: They are not.
    """
    expected = json.loads(model.to_json())["config"]["layers"]
    if len(found) != len(expected):
        raise ValueError(f"{len(found)} layers, not the {len(expected)} of {model.name}")
    names = {layer["name"]: like["name"] for layer, like in zip(found, expected)}
    for layer, like in zip(found, expected):
        if not _agree(layer, like, names):
            raise ValueError(f"its layer {layer['name']!r:.80} is not as in {model.name}")


def _agree(found, expected, names):
    """Whether two parts of descriptions agree in the keys that both have; versions of Keras differ in their keys."""
    if isinstance(found, dict) and isinstance(expected, dict):
        both = (found.keys() & expected.keys()) - _INCIDENTAL
        return all(_agree(found[key], expected[key], names) for key in both)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(_agree(*pair, names) for pair in zip(found, expected))
    return (names.get(found, found) if isinstance(found, str) else found) == expected
