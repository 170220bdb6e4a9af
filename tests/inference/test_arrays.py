"""Every kind of picture that can lie in the memory goes through an `Upscaler` and comes back in kind."""

import textwrap

import numpy as np
import pytest
from PIL import Image, ImageCms

import srgan_tf
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import load_generator
from srgan_tf.system.errors import UserError
from srgan_tf.weights import DEFAULT_WEIGHTS


class Twice:
    """Nearest neighbours in place of a generator: what comes out is known."""

    scale, margin, filters = 2, 1, 1

    def __call__(self, lr):
        import tensorflow as tf

        return tf.repeat(tf.repeat(lr, 2, axis=1), 2, axis=2)


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(Twice())


def twice(values):
    return np.asarray(values).repeat(2, axis=0).repeat(2, axis=1)


# --- NumPy


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3), (1, 1), (1, 7, 3)])
def test_arrays_keep_their_type_and_bands(upscaler, shape, dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    result = upscaler.upscale(image)
    assert result.dtype == dtype and (result == twice(image)).all()


@pytest.mark.parametrize("bands", [2, 4])
def test_arrays_keep_their_alpha(upscaler, bands):
    image = np.random.default_rng(0).integers(0, 65536, (5, 4, bands), np.uint16)
    image[..., -1] = 40000
    assert (upscaler.upscale(image) == twice(image)).all()


def test_the_order_of_bytes_does_not_matter(upscaler):
    image = np.random.default_rng(0).integers(0, 65536, (5, 4, 3), np.uint16)
    large = image.astype(">u2")
    assert (upscaler.upscale(large) == twice(image)).all()
    assert (upscaler.upscale_batch(large[None])[0] == twice(image)).all()
    strips = upscaler.upscale_strips(lambda top, bottom: large[top:bottom], 5, 4, 3, large.dtype)
    assert (np.concatenate(list(strips)) == twice(image)).all()


def test_a_matrix_is_gray(upscaler):
    image = np.arange(20, dtype=np.uint8).reshape(5, 4)
    assert (upscaler.upscale(image.view(np.matrix)) == twice(image)).all()


def test_views_of_arrays_are_taken(upscaler):
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    for view in (image[::2, ::-1], image[..., ::-1], image.transpose(1, 0, 2)):
        assert (upscaler.upscale(view) == twice(view)).all()


@pytest.mark.parametrize(
    "image, received",
    [
        (np.zeros((5, 5, 3)), r"float64 \(5, 5, 3\)"),
        (np.zeros((5, 5, 3), np.float32), "float32"),
        (np.zeros((5, 5), bool), "bool"),
        (np.zeros((5, 5), np.int32), "int32"),
        (np.zeros((5, 5, 5), np.uint8), r"\(5, 5, 5\)"),
        (np.zeros((1, 5, 5, 3), np.uint8), r"\(1, 5, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        ([[1, 2]], "list"),
        (None, "NoneType"),
        (Image.new("F", (3, 3)), "mode F"),
        (Image.fromarray(np.int32([[-1, 5]])), "mode I"),
        (Image.fromarray(np.int32([[65536, 5]])), "mode I"),
        (Image.new("RGB", (0, 3)), r"\(3, 0, 3\)"),
    ],
)
def test_other_things_are_refused(upscaler, image, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        upscaler.upscale(image)


# --- Pillow


@pytest.mark.parametrize(
    "mode, result",
    [
        ("L", "L"),
        ("RGB", "RGB"),
        ("LA", "LA"),
        ("RGBA", "RGBA"),
        ("I;16", "I;16"),
        ("I;16B", "I;16"),
        ("1", "L"),
        ("RGBX", "RGB"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
        ("RGBa", "RGBA"),
        ("La", "LA"),
    ],
)
def test_pillow_images_keep_their_mode(upscaler, mode, result):
    image = Image.new(mode, (4, 3))
    made = upscaler.upscale(image)
    assert isinstance(made, Image.Image) and made.mode == result and made.size == (8, 6)


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "CMYK", "1"])
def test_pillow_images_keep_their_values(upscaler, mode):
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 4), np.uint8)
    values[..., 3] = 200
    image = Image.fromarray(values).convert(mode)
    made = upscaler.upscale(image)
    assert (np.asarray(made) == twice(image.convert(made.mode))).all()


def test_sixteen_bits_of_pillow_stay(upscaler, tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (3, 4), np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        made = upscaler.upscale(image)
    assert made.mode == "I;16" and (np.asarray(made) == twice(values)).all()
    assert (np.asarray(upscaler.upscale(Image.fromarray(values.astype(np.int32)))) == twice(values)).all()


def test_palettes_become_what_their_colors_are(upscaler):
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8))
    palette = rgb.quantize(6)
    made = upscaler.upscale(palette)
    assert made.mode == "RGB" and (np.asarray(made) == twice(palette.convert("RGB"))).all()
    palette.info["transparency"] = palette.getpixel((0, 0))
    made = upscaler.upscale(palette)
    assert made.mode == "RGBA" and (np.asarray(made)[:2, :2, 3] < 128).all()
    gray = Image.new("L", (4, 3), 7)
    gray.info["transparency"] = 7
    assert np.asarray(upscaler.upscale(gray)).tolist() == np.full((6, 8, 2), (7, 0)).tolist()


def test_profiles_and_exif_stay(upscaler):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the caller may turn it before or after
    image = Image.new("RGB", (4, 3))
    image.info.update(icc_profile=profile, exif=exif.tobytes(), dpi=(72, 72))
    made = upscaler.upscale(image)
    assert made.info["icc_profile"] == profile and made.getexif()[0x0112] == 6 and "dpi" not in made.info
    inks = Image.new("CMYK", (4, 3))
    inks.info["icc_profile"] = b"inks"
    assert "icc_profile" not in upscaler.upscale(inks).info


# --- the package


def test_the_package_is_imported_without_tensorflow(run_python):
    code = (
        "import sys, srgan_tf; assert not {'tensorflow', 'keras'} & set(sys.modules);"
        " assert 'Upscaler' in dir(srgan_tf);"
        " from srgan_tf import Upscaler; assert srgan_tf.Upscaler is Upscaler and 'tensorflow' in sys.modules"
    )
    run_python("-c", code)
    with pytest.raises(AttributeError, match="Downscaler"):
        _ = srgan_tf.Downscaler


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (6, 5), "red").save("photo.jpg")
    example = Upscaler.__doc__.partition("\n\n")[2].partition("    An image is computed")[0]
    exec(textwrap.dedent(example), {})
    with Image.open("large.png") as large:
        assert large.size == (24, 20)


def test_weights_are_named_in_every_way(weights, generator):
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    expected = Upscaler(generator).upscale(image)
    for given in (weights, str(weights), load_generator(weights)):
        assert (Upscaler(given).upscale(image) == expected).all()
    best = Upscaler().upscale(image)
    assert (Upscaler(DEFAULT_WEIGHTS).upscale(image) == best).all() and (best != expected).any()
    with pytest.raises(UserError, match="no such weights"):
        Upscaler("srresnot")
    with pytest.raises(ValueError, match="weights must be .* Received: int"):
        Upscaler(3)


@pytest.mark.parametrize("given, said", [({"tile": -1}, "negative"), ({"max_memory": 0}, "positive")])
def test_wrong_settings_are_told(given, said):
    with pytest.raises(ValueError, match=f"{said}. Received: "):
        Upscaler(Twice(), **given)
