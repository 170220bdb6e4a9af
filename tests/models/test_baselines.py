import h5py
import keras
import numpy as np
import pytest

from srgan_tf.imaging.color import from_network, luma, to_network
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.baselines import (
    BUILDERS,
    BicubicUpsampling,
    PixelShuffle,
    build_drcn,
    build_espcn,
    build_srcnn,
    margin_of,
    with_recursions,
)
from srgan_tf.models.generator import load_generator, save_generator
from srgan_tf.system.errors import UserError

RNG = np.random.default_rng(0)
LR = RNG.uniform(-1, 1, (2, 7, 9, 3)).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def _seeded():
    keras.utils.set_random_seed(0)


def _build(name, scale=4):
    """A model; DRCN a small one."""
    return build_drcn(scale, filters=8, recursions=3) if name == "drcn" else BUILDERS[name](scale)


def _randomised(model):
    """The model with weights that let every layer count, small ones as they begin with do not."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(0, 0.05, weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("height, width", [(7, 9), (1, 1), (2, 1)])
def test_bicubic_is_matlabs(scale, height, width):
    part = LR[:, :height, :width]
    expected = np.stack([upscale_bicubic(picture, scale) for picture in part])
    np.testing.assert_allclose(BicubicUpsampling(scale)(part), expected, atol=1e-6)


def test_pixel_shuffle_is_tensorflows():
    tf = pytest.importorskip("tensorflow")
    x = RNG.normal(size=(2, 3, 4, 32)).astype(np.float32)
    np.testing.assert_array_equal(PixelShuffle(4)(x), tf.nn.depth_to_space(x, 4))


@pytest.mark.parametrize(
    "build, count",
    # The papers' sizes, counted by hand: kernels and biases.
    [
        (build_srcnn, 81 * 64 + 64 + 25 * 64 * 32 + 32 + 25 * 32 + 1),
        (build_espcn, 25 * 64 + 64 + 9 * 64 * 32 + 32 + 9 * 32 * 16 + 16),
        (build_drcn, 9 * 256 + 256 + 3 * (9 * 256 * 256 + 256) + 9 * 256 + 1 + 16),
    ],
)
def test_has_the_papers_size(build, count):
    assert build().count_params() == count


def test_srcnn_is_the_plain_network_on_the_y_of_bicubic():
    model = _randomised(build_srcnn())
    x = np.pad(_bicubic_y(), ((0, 0), (8, 8), (8, 8), (0, 0)), mode="edge")
    for name in ("conv1", "conv2", "conv3"):
        x = _convolved(model, name, x)
        x = x if name == "conv3" else np.maximum(x, 0)
    np.testing.assert_allclose(_y(model(LR).numpy()), x, atol=1e-4)


def test_drcn_is_the_recursion_on_the_y_of_bicubic():
    model = _randomised(build_drcn(filters=4, recursions=3))

    def same(x, name):
        return _convolved(model, name, np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))

    x = y = _bicubic_y()
    for name in ("embedding1", "embedding2"):
        x = np.maximum(same(x, name), 0)
    each = []
    for _ in range(3):
        x = np.maximum(same(x, "recursion"), 0)
        each.append(y + same(np.maximum(same(x, "reconstruction1"), 0), "reconstruction2"))
    expected = sum(weight * made for weight, made in zip(model.get_layer("ensemble").kernel.numpy(), each))
    np.testing.assert_allclose(_y(model(LR).numpy()), expected, atol=1e-4)
    sr, given = with_recursions(model)(LR)
    np.testing.assert_allclose(given, np.concatenate(each, -1), atol=1e-4)
    np.testing.assert_array_equal(sr, model(LR))


def test_drcns_recursion_changes_nothing_at_first():
    model = build_drcn(filters=4, recursions=3)
    _, each = with_recursions(model)(LR)
    np.testing.assert_allclose(each, np.repeat(each[..., :1], 3, -1), atol=1e-6)


def _y(pictures):
    return (luma((pictures + 1) * 127.5)[..., None] - 16) / 109.5 - 1


def _bicubic_y():
    return _y(np.stack([upscale_bicubic(picture, 4) for picture in LR])).astype(np.float32)


def _convolved(model, name, x):
    kernel, bias = (weight.numpy() for weight in model.get_layer(name).weights)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))  # (N, H, W, C, size, size)
    return np.einsum("nhwcyx,yxco->nhwo", windows, kernel, optimize=True) + bias


@pytest.mark.parametrize("name", BUILDERS)
def test_colours_are_bicubics(name):
    sr, bicubic = _randomised(_build(name))(LR).numpy(), BicubicUpsampling(4)(LR).numpy()
    change = sr - bicubic
    assert np.abs(change).max() > 1e-2
    np.testing.assert_allclose(change, change[..., :1].repeat(3, -1), atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", BUILDERS)
def test_margin_is_the_receptive_field(name, scale):
    model = _build(name, scale)
    # Positive, so that nothing is cancelled, and with sums of about 1.
    weights = [np.abs(RNG.normal(size=weight.shape)) / np.prod(weight.shape[:-1]) for weight in model.get_weights()]
    model.set_weights([weight if weight.ndim > 1 else np.minimum(weight, 0.1) for weight in weights])
    side = 2 * margin_of(model) + 5
    middle = side // 2
    x = RNG.uniform(0, 0.5, (1, side, side, 3)).astype(np.float32)
    moved = x.copy()
    moved[:, middle, middle] += 0.5
    changed = np.abs(model(moved).numpy() - model(x).numpy()).max((0, 2, 3)) > 0
    rows = np.flatnonzero(changed) // scale
    assert middle - rows.min() == rows.max() - middle == margin_of(model)


@pytest.mark.parametrize("name", BUILDERS)
def test_saved_loaded_and_upscaled_in_tiles(name, tmp_path):
    model = _randomised(_build(name))
    save_generator(model, tmp_path / "x.weights.h5")
    loaded = load_generator(tmp_path / "x.weights.h5")
    assert loaded.name == name
    np.testing.assert_array_equal(loaded(LR), model(LR))
    image = RNG.integers(0, 256, (40, 37, 3), np.uint8)
    expected = from_network(model(to_network(image)[None])[0])
    for tile in (0, 16):
        given = Upscaler(tmp_path / "x.weights.h5", tile=tile).upscale(image)
        assert np.abs(given.astype(int) - expected).max() <= 1 and (given != expected).mean() < 1e-2


def test_weights_of_another_model_are_refused(tmp_path):
    save_generator(build_espcn(), tmp_path / "x.weights.h5")
    content = (tmp_path / "x.weights.h5").read_bytes()
    (tmp_path / "y.weights.h5").write_bytes(content.replace(b'"espcn"', b'"other"'))
    with pytest.raises(UserError, match="not the weights of a generator"):
        load_generator(tmp_path / "y.weights.h5")
    (tmp_path / "z.weights.h5").write_bytes(content.replace(b'"espcn"', b'"srcnn"'))
    with pytest.raises(UserError, match="z.weights.h5: damaged or not a generator's weights"):
        load_generator(tmp_path / "z.weights.h5")


def test_weights_of_another_shape_are_refused_without_keras_words(tmp_path):
    path = tmp_path / "x.weights.h5"
    save_generator(_build("espcn"), path)
    with h5py.File(path, "a") as file:
        (kernel,) = (group["vars"]["0"] for name, group in file["layers"].items() if name == "conv2d")
        parent, values = kernel.parent, kernel[()]
        del parent["0"]
        parent["0"] = values[:-1]
    with pytest.raises(UserError, match="its arrays are not those that .*'espcn'.* has") as error:
        load_generator(path)
    assert "container" not in str(error.value)
