import keras
import numpy as np
import pytest

from srgan_tf.errors import UserError
from srgan_tf.imaging.color import from_network, luma, to_network
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.baselines import BUILDERS, BicubicUpsampling, PixelShuffle, build_espcn, build_srcnn, margin_of
from srgan_tf.models.generator import load_generator, save_generator

RNG = np.random.default_rng(0)
LR = RNG.uniform(-1, 1, (2, 7, 9, 3)).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def _seeded():
    keras.utils.set_random_seed(0)


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
    [(build_srcnn, 81 * 64 + 64 + 25 * 64 * 32 + 32 + 25 * 32 + 1),
     (build_espcn, 25 * 64 + 64 + 9 * 64 * 32 + 32 + 9 * 32 * 16 + 16)],
)  # fmt: skip
def test_has_the_papers_size(build, count):
    assert build().count_params() == count


def test_srcnn_is_the_plain_network_on_the_y_of_bicubic():
    model = _randomised(build_srcnn())
    y = luma((np.stack([upscale_bicubic(picture, 4) for picture in LR]) + 1) * 127.5)
    x = np.pad((y - 16) / 109.5 - 1, ((0, 0), (8, 8), (8, 8)), mode="edge")[..., None].astype(np.float32)
    for number, size in ((1, 9), (2, 5), (3, 5)):
        layer = model.get_layer(f"conv{number}")
        kernel, bias = (weight.numpy() for weight in layer.weights)
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))  # (N, H, W, C, size, size)
        x = np.einsum("nhwcyx,yxco->nhwo", windows, kernel, optimize=True) + bias
        x = np.maximum(x, 0) if number < 3 else x
    sr = model(LR).numpy()
    np.testing.assert_allclose((luma((sr + 1) * 127.5) - 16) / 109.5 - 1, x[..., 0], atol=1e-4)


@pytest.mark.parametrize("name", BUILDERS)
def test_colours_are_bicubics(name):
    sr, bicubic = _randomised(BUILDERS[name]())(LR).numpy(), BicubicUpsampling(4)(LR).numpy()
    change = sr - bicubic
    assert np.abs(change).max() > 1e-2
    np.testing.assert_allclose(change, change[..., :1].repeat(3, -1), atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", BUILDERS)
def test_margin_is_the_receptive_field(name, scale):
    model = _randomised(BUILDERS[name](scale))
    side = 2 * margin_of(model) + 5
    middle = side // 2
    x = RNG.uniform(-0.5, 0.5, (1, side, side, 3)).astype(np.float32)
    moved = x.copy()
    moved[:, middle, middle] += 0.5
    changed = np.abs(model(moved).numpy() - model(x).numpy()).max((0, 2, 3)) > 0
    rows = np.flatnonzero(changed) // scale
    assert middle - rows.min() == rows.max() - middle == margin_of(model)


@pytest.mark.parametrize("name", BUILDERS)
def test_saved_loaded_and_upscaled_in_tiles(name, tmp_path):
    model = _randomised(BUILDERS[name]())
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
