import errno
import hashlib
import json
import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.export import FORMATS, describe_weights, export, metadata
from srgan_tf.inference.export_formats import SUFFIXES
from srgan_tf.system.errors import UserError
from srgan_tf.weights import find_weights, read_manifest

FILES = [name for name in FORMATS if name != "savedmodel"]


@pytest.fixture
def converted(generator, monkeypatch):
    """Lets every format write a file without a converter, and give what the generator gives, changed by the test."""

    def install(change):
        def run(pictures):
            return change(from_network(generator(to_network(pictures), training=False)))

        for module in FORMATS.values():
            monkeypatch.setattr(module, "PACKAGES", ())
            monkeypatch.setattr(module, "write", write)
            monkeypatch.setattr(module, "load", lambda path: {"a runtime": run})

    def write(model, path, metadata, **options):
        place = path / "saved_model.pb" if path.is_dir() else path
        place.write_text(json.dumps(metadata | options))

    return install


def place(folder, format):
    return folder / f"model{SUFFIXES[format]}"


# --- the check


def few_apart(levels, share):
    def change(result):
        changed = result.astype(int).reshape(-1)
        step = round(1 / share)
        changed[::step] += np.where(changed[::step] < 128, levels, -levels)
        return changed.reshape(result.shape).astype(np.uint8)

    return change


@pytest.mark.parametrize("format", FORMATS)
def test_what_the_check_finds_is_returned(generator, converted, tmp_path, format):
    converted(few_apart(levels=1, share=0.005))
    found = export(generator, place(tmp_path, format), format)
    assert (found.picture, found.levels) == ("astronaut.png", 1)
    assert found.share == pytest.approx(0.005, rel=0.01)
    assert [path.name for path in tmp_path.iterdir()] == [place(tmp_path, format).name]


WRONG = {
    "two levels in one value": few_apart(levels=2, share=1e-6),
    "a level in most values": lambda result: result ^ 1,
    "truncated": lambda result: np.maximum(result, 1) - (np.arange(result.size).reshape(result.shape) % 2).astype("u1"),
    "the batch turned": lambda result: result[::-1],
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("format", FORMATS)
def test_a_model_that_differs_is_not_written(generator, converted, tmp_path, format, wrong):
    converted(WRONG[wrong])
    with pytest.raises(UserError) as error:
        export(generator, place(tmp_path, format), format)
    line = str(error.value)
    assert line.startswith(
        f"{place(tmp_path, format)}: not written, since the exported model differs from the generator"
    )
    assert "\n" not in line and f"report this line, with TensorFlow {tf.__version__}, Keras {keras.__version__}" in line
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_not_written(generator, converted, tmp_path):
    converted(lambda result: result[:, 1:])
    with pytest.raises(UserError, match=r"an image of \(1, 512, 512, 3\) becomes \(1, 511, 512, 3\); report"):
        export(generator, tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_float16_may_be_two_levels_off_and_no_more(generator, converted, tmp_path):
    converted(few_apart(levels=2, share=0.5))
    assert export(generator, tmp_path / "model.tflite", "litert", precision="float16").levels == 2
    written = (tmp_path / "model.tflite").read_bytes()
    converted(few_apart(levels=3, share=1e-4))
    with pytest.raises(UserError, match="up to 3 of 255 levels off .* leave out --precision=float16"):
        export(generator, tmp_path / "model.tflite", "litert", precision="float16", overwrite=True)
    assert (tmp_path / "model.tflite").read_bytes() == written


# --- where it is written


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_not_replaced_unasked(generator, converted, tmp_path, format):
    converted(lambda result: result)
    target = place(tmp_path / "deep", format)
    export(generator, target, format)
    written = target.stat().st_ino
    with pytest.raises(UserError, match="--overwrite replaces it"):
        export(generator, target, format)
    assert target.stat().st_ino == written
    if format == "savedmodel":
        (target / "variables").write_text("")
    export(generator, target, format, overwrite=True)
    assert target.stat().st_ino != written and not (target / "variables").exists()
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_savedmodel_that_cannot_be_replaced_is_kept(generator, converted, monkeypatch, tmp_path):
    converted(lambda result: result)
    export(generator, tmp_path / "model")
    (tmp_path / "model" / "variables").touch()
    rename = os.rename

    def fail(source, target):
        if str(source).endswith(".part"):
            raise OSError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(UserError, match=r"model: cannot be written \(Permission denied\)$"):
        export(generator, tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "variables").is_file() and [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_no_savedmodel_is_never_replaced(generator, converted, tmp_path):
    converted(lambda result: result)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match="photos: holds holiday.jpg, which is no part of a SavedModel"):
        export(generator, tmp_path / "photos", overwrite=True)
    with pytest.raises(UserError, match="holiday.jpg: a file; name a folder for a SavedModel"):
        export(generator, tmp_path / "photos" / "holiday.jpg", overwrite=True)
    with pytest.raises(UserError, match="cannot be written"):
        export(generator, tmp_path / "photos" / "holiday.jpg" / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "holiday.jpg"]
    (tmp_path / "empty").mkdir()
    export(generator, tmp_path / "empty")  # as good as none
    assert (tmp_path / "empty" / "saved_model.pb").is_file()


def test_what_lies_beside_a_savedmodel_is_never_removed(generator, converted, tmp_path):
    converted(lambda result: result)
    export(generator, tmp_path / "model")
    (tmp_path / "model" / "client.py").write_text("mine")
    with pytest.raises(UserError, match="model: holds client.py, which is no part of a SavedModel"):
        export(generator, tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "client.py").read_text() == "mine"


def test_the_folders_name_may_be_as_long_as_the_system_allows(generator, converted, tmp_path):
    converted(lambda result: result)
    export(generator, tmp_path / ("\u9577" * 85))
    assert (tmp_path / ("\u9577" * 85) / "saved_model.pb").is_file()


@pytest.mark.parametrize("format", FILES)
def test_another_file_is_never_replaced(generator, converted, tmp_path, format):
    converted(lambda result: result)
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match=rf"the file's name must end in \{SUFFIXES[format]}"):
        export(generator, tmp_path / "holiday.jpg", format, overwrite=True)
    place(tmp_path, format).mkdir()
    with pytest.raises(UserError, match="a folder; name another file"):
        export(generator, place(tmp_path, format), format, overwrite=True)
    with pytest.raises(UserError, match="cannot be written"):
        export(generator, place(tmp_path / "holiday.jpg", format), format)
    assert (tmp_path / "holiday.jpg").read_text() == "" and list(place(tmp_path, format).iterdir()) == []


# --- what cannot be done


def test_a_missing_package_is_told_with_its_mend(generator, monkeypatch, tmp_path):
    monkeypatch.setattr(FORMATS["onnx"], "PACKAGES", ("numpy", "no_such_thing", "nor_this"))
    with pytest.raises(UserError) as error:
        export(generator, tmp_path / "model.onnx", "onnx")
    line = "--format=onnx needs no_such_thing and nor_this: pip install 'srgan_tf[export]'"
    assert str(error.value) == line and list(tmp_path.iterdir()) == []


def test_a_failed_conversion_shows_the_converters_messages(generator, converted, monkeypatch, tmp_path, capfd):
    def fail(model, path, metadata):
        print("what the converter says", file=sys.stderr)
        raise RuntimeError("no such op\nand so on")

    converted(lambda result: result)
    monkeypatch.setattr(FORMATS["onnx"], "write", fail)
    with pytest.raises(UserError, match=r"not written, since the generator could not be converted \(no such op\)$"):
        export(generator, tmp_path / "model.onnx", "onnx")
    assert capfd.readouterr() == ("", "what the converter says\n") and list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(generator, converted, monkeypatch, tmp_path):
    def fail(model, path, metadata, **options):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    converted(lambda result: result)
    monkeypatch.setattr(FORMATS["savedmodel"], "write", fail)
    with pytest.raises(UserError, match=r"model: cannot be written \(No space left on device\)$"):
        export(generator, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_fit_are_refused(generator, tmp_path):
    with pytest.raises(ValueError, match="precision must be one that onnx has, .* Received: 'float16'"):
        export(generator, tmp_path / "model.onnx", "onnx", precision="float16")
    with pytest.raises(ValueError, match=r"format must be one of .*Received: 'coreml'"):
        export(generator, tmp_path / "model", "coreml")


# --- metadata


def test_the_metadata_say_what_was_exported(generator, converted, tmp_path):
    converted(lambda result: result)
    export(generator, tmp_path / "model.tflite", "litert", metadata={"a": 1}, precision="float16")
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    exported = {"blocks": 1, "scale": 4, "filters": 16, "format": "litert", "precision": "float16"}
    written = json.loads((tmp_path / "model.tflite").read_text())
    assert written == {"a": 1, "export": exported | {"versions": versions}, "float16": True}


def test_weights_of_a_run_are_described_by_its_settings(weights, tmp_path):
    path = tmp_path / "best.weights.h5"
    path.write_bytes(weights.read_bytes())
    settings = {"mode": "srgan", "steps": 7, "train_dir": "/home/me", "vgg_path": "/home/me/x", "weights": "/home/me/y"}
    (tmp_path / "settings.json").write_text(json.dumps({"settings": settings, "facts": {"host": "mine"}}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    described = describe_weights(path)
    assert described.pop("srgan_tf") is None or described
    file = {"file": "best.weights.h5", "bytes": path.stat().st_size, "sha256": sha256}
    assert described == {"weights": file, "settings": {"mode": "srgan", "steps": 7}}
    (tmp_path / "settings.json").write_text("[")
    with pytest.raises(UserError, match="settings.json: damaged"):
        describe_weights(path)


def test_shipped_weights_are_described_by_the_manifest():
    entry = read_manifest()["srresnet"]
    described = describe_weights(find_weights("srresnet"))
    assert described["weights"] == {name: entry[name] for name in ("file", "bytes", "sha256")}
    assert described["settings"] == entry["settings"] and described["psnr_db"] == entry["psnr_db"]
    assert "sha256" not in described


def test_weights_alone_are_described_without_settings(weights, monkeypatch):
    def absent(name):
        raise metadata.importlib.metadata.PackageNotFoundError(name)

    assert describe_weights(weights)["settings"] == {}
    monkeypatch.setattr(metadata.importlib.metadata, "version", absent)
    assert describe_weights(weights)["srgan_tf"] is None
