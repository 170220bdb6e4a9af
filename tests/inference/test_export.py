import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.errors import UserError
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference import export
from srgan_tf.inference.export import export_savedmodel

USER = """
import sys


class Nowhere:
    asked = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "srgan_tf":
            self.asked.append(name)
            raise ImportError(name)


sys.meta_path.insert(0, Nowhere())  # -I leaves an installed package in reach
import numpy as np
import tensorflow as tf

upscale = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
inputs = np.load(sys.argv[2])
np.savez(sys.argv[3], **{name: upscale(image=tf.constant(inputs[name]))["image"].numpy() for name in inputs})
assert not Nowhere.asked and not any(name.partition(".")[0] == "srgan_tf" for name in sys.modules)
try:
    import srgan_tf.inference
except ImportError:
    assert Nowhere.asked == ["srgan_tf"]
else:
    raise AssertionError("this process can import the package")
"""


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "deep" / "model"
    export_savedmodel(generator, folder)
    return folder


def test_another_process_without_the_package_gets_the_same(generator, exported, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"one": (1, 75, 80, 3), "two": (3, 40, 50, 3)}
    inputs = {name: rng.integers(0, 256, size, np.uint8) for name, size in sizes.items()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    (tmp_path / "user.py").write_text(USER)
    arguments = [str(exported), "inputs.npz", "outputs.npz"]
    done = subprocess.run([sys.executable, "-I", "user.py", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npz")
    assert sum(values.size for values in outputs.values()) >= 300_000  # of which no more than a few may be a level off
    for name, image in inputs.items():
        expected = from_network(generator(to_network(image), training=False))
        assert outputs[name].dtype == np.uint8 and outputs[name].shape == expected.shape
        assert len(np.unique(expected)) > 100
        difference = np.abs(outputs[name].astype(int) - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-5


def test_the_signature(exported):
    serving = tf.saved_model.load(str(exported)).signatures["serving_default"]
    (given,) = serving.structured_input_signature[1].values()
    assert (given.name, given.dtype, given.shape.as_list()) == ("image", tf.uint8, [None, None, None, 3])
    assert serving.structured_outputs["image"].dtype == tf.uint8


def test_nothing_else_is_left_beside(exported):
    assert [path.name for path in exported.parent.iterdir()] == ["model"]


def test_what_is_there_is_not_replaced_unasked(generator, tmp_path):
    (tmp_path / "model").mkdir()
    export_savedmodel(generator, tmp_path / "model")  # an empty folder is as good as none
    written = (tmp_path / "model" / "saved_model.pb").stat().st_ino
    with pytest.raises(UserError, match="--overwrite replaces it"):
        export_savedmodel(generator, tmp_path / "model")
    assert (tmp_path / "model" / "saved_model.pb").stat().st_ino == written
    (tmp_path / "model" / "old").write_text("")
    export_savedmodel(generator, tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_no_savedmodel_is_never_replaced(generator, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match="photos: not empty and no SavedModel"):
        export_savedmodel(generator, tmp_path / "photos", overwrite=True)
    with pytest.raises(UserError, match="a file, not a folder"):
        export_savedmodel(generator, tmp_path / "photos" / "holiday.jpg", overwrite=True)
    with pytest.raises(UserError, match="cannot be written"):
        export_savedmodel(generator, tmp_path / "photos" / "holiday.jpg" / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "holiday.jpg"]


@pytest.mark.parametrize("wrong", [lambda image: image // 2, lambda image: image ^ 1])
def test_a_model_that_differs_is_not_written(generator, tmp_path, monkeypatch, wrong):
    right = export.upscale_batch_function

    def differing(generator):
        upscale = right(generator)
        return tf.function(lambda image: wrong(upscale(image)), input_signature=upscale.input_signature)

    monkeypatch.setattr(export, "upscale_batch_function", differing)
    with pytest.raises(UserError) as error:
        export_savedmodel(generator, tmp_path / "model")
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'model'}: not written, since the exported model differs from the generator")
    assert "\n" not in line and f"report this line, with TensorFlow {tf.__version__}, Keras {keras.__version__}" in line
    assert list(tmp_path.iterdir()) == []
