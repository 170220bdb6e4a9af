import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.export import export, savedmodel
from srgan_tf.inference.export.exporter import EightBit
from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.upscaler import Upscaler

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
SIDE = 24  # of the tiles in these tests


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "deep" / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(savedmodel, "TILE", SIDE)
        export(generator, folder, metadata={"weights": {"sha256": "0123"}})
    return folder


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def check(generator, image, given):
    """In 8 bits, but for sums that lie so near to a half that float32 rounds them either way."""
    expected = from_network(generator(to_network(image), training=False))
    assert given.dtype == np.uint8 and given.shape == expected.shape
    apart = np.abs(given.astype(int) - expected)
    assert apart.max() <= 1 and np.count_nonzero(apart) <= max(1, 1e-4 * apart.size)


def test_another_process_without_the_package_gets_the_same(generator, exported, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"in tiles": (1, 75, 80, 3), "three": (3, 30, 25, 3), "a pixel": (1, 1, 1, 3)}
    inputs = {name: rng.integers(0, 256, size, np.uint8) for name, size in sizes.items()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    (tmp_path / "user.py").write_text(USER)
    arguments = [str(exported), "inputs.npz", "outputs.npz"]
    done = subprocess.run([sys.executable, "-I", "user.py", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npz")
    assert len(np.unique(outputs["in tiles"])) > 100
    for name, image in inputs.items():
        check(generator, image, outputs[name])


def test_the_signatures(signatures):
    for name, key, dtype, shape in (
        ("serving_default", "image", tf.uint8, [None, None, None, 3]),
        ("serving_bytes", "image_bytes", tf.string, [None]),  # TensorFlow Serving encodes `..._bytes` in base64
    ):
        (given,) = signatures[name].structured_input_signature[1].values()
        assert (given.name, given.dtype, given.shape.as_list()) == (key, dtype, shape)
        ((result, made),) = signatures[name].structured_outputs.items()
        assert (result, made.dtype) == (key, dtype)


def test_nothing_else_is_left_beside(exported):
    assert [path.name for path in exported.parent.iterdir()] == ["model"]


def test_the_metadata_are_an_asset(exported):
    asset = tf.saved_model.load(str(exported)).metadata.asset_path.numpy().decode()
    assert asset == str(exported / "assets" / "metadata.json")
    written = json.loads((exported / "assets" / "metadata.json").read_text())
    assert written["weights"] == {"sha256": "0123"} and written["export"]["format"] == "savedmodel"


# --- in tiles


class Limited(EightBit):
    """Fails where it gets more pixels than a tile with its margin has."""

    def __call__(self, image):
        with tf.control_dependencies([tf.debugging.assert_less_equal(tf.size(image) // 3, self.most)]):
            return super().__call__(image)


def test_the_network_never_sees_more_than_a_tile(generator, tmp_path, monkeypatch):
    monkeypatch.setattr(savedmodel, "TILE", SIDE)
    model = Limited(FusedGenerator(generator))
    side = SIDE + 2 * model.network.margin
    model.most = side**2
    savedmodel.write(model, tmp_path / "model", {})
    runner = savedmodel.load(tmp_path / "model")["serving_default"]
    rng = np.random.default_rng(1)
    sizes = (1, side, side), (1, side + 1, side), (2, side, side), (2, 2 * side, 7), (1, 3, 20 * side), (1, 130, 99)
    for shape in sizes:
        image = rng.integers(0, 256, (*shape, 3), np.uint8)
        check(generator, image, runner(image))


# --- encoded pictures


def encode(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def encoded_pictures():
    rng = np.random.default_rng(2)
    rgb = Image.fromarray(rng.integers(0, 256, (14, 19, 3), np.uint8)).resize((190, 40))  # smooth, as JPEG wants it
    wide = Image.fromarray(rng.integers(0, 256, (6, 5), np.uint8).astype(np.uint16) * 257)
    alpha = Image.merge("RGBA", (*rgb.split(), rgb.getchannel(0)))
    turned = rgb.getexif()
    turned[0x0112] = 6
    return {
        "PNG": encode(rgb, format="PNG"),
        "gray": encode(rgb.convert("L").crop((0, 0, 3, 2)), format="PNG"),
        "palette": encode(rgb.quantize(9), format="PNG"),
        "alpha": encode(alpha, format="PNG"),
        "gray and alpha": encode(alpha.convert("LA"), format="PNG"),
        "16 bits": encode(wide, format="PNG"),
        "JPEG": encode(rgb, format="JPEG", quality=80, exif=turned),
        "gray JPEG": encode(rgb.convert("L"), format="JPEG", quality=80),
        "CMYK JPEG": encode(rgb.convert("CMYK"), format="JPEG", quality=80),
        "BMP": encode(rgb, format="BMP"),
        "BMP with alpha": encode(alpha, format="BMP"),
        "animation": encode(rgb.quantize(9), format="GIF", save_all=True, append_images=[rgb.rotate(180).quantize(9)]),
    }


def test_encoded_pictures_of_mixed_sizes_are_read_as_pillow_reads_them(generator, signatures):
    files = encoded_pictures()
    results = signatures["serving_bytes"](image_bytes=tf.constant(list(files.values())))["image_bytes"].numpy()
    assert len(results) == len(files)
    for (name, file), result in zip(files.items(), results):
        picture = Image.open(io.BytesIO(file))
        values = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        if name == "16 bits":
            values = np.repeat((np.asarray(picture) // 257).astype(np.uint8)[..., None], 3, axis=2)
        assert result.startswith(b"\x89PNG")
        check(generator, values[None], np.asarray(Image.open(io.BytesIO(result)))[None])


def test_no_files_give_none(signatures):
    given = signatures["serving_bytes"](image_bytes=tf.constant([], tf.string))["image_bytes"]
    assert given.shape == (0,) and given.dtype == tf.string


@pytest.mark.parametrize(
    "bad, reason",
    [(b"not an image at all", "Unknown image file format"), (b"", "empty"), ("PNG", "Invalid PNG"), ("JPEG", "JPEG")],
)
def test_a_bad_file_among_good_ones_fails_the_call(signatures, bad, reason):
    good = encoded_pictures()
    if isinstance(bad, str):
        bad = good[bad][:70]
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        signatures["serving_bytes"](image_bytes=tf.constant([good["gray"], bad, good["16 bits"]]))


def test_in_bfloat16_it_gives_what_the_upscaler_gives(generator, tmp_path):
    path = tmp_path / "exported"
    export(generator, path, precision="bfloat16")
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (sr,) = savedmodel.load(path)["serving_default"](image[None])
    assert np.abs(sr.astype(int) - Upscaler(generator, precision="bfloat16").upscale(image)).max() <= 1
    assert json.loads((path / "assets" / "metadata.json").read_text())["export"]["precision"] == "bfloat16"
    with pytest.raises(ValueError, match="precision must be one that onnx has"):
        export(generator, tmp_path / "model.onnx", "onnx", precision="bfloat16")
