import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

from srgan_tf.imaging import files
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.upscaler import Upscaler, upscale_batch_function
from srgan_tf.models.generator import build_generator, receptive_margin


def random_generator(blocks=1, scale=4, filters=8):
    """A small G whose BN statistics are none of the trivial ones."""
    keras.utils.set_random_seed(3)
    generator = build_generator(blocks, scale, filters)
    rng = np.random.default_rng(3)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return generator


@pytest.fixture(scope="module")
def generator():
    return random_generator()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def apart(first, second):
    assert first.shape == second.shape and first.dtype == second.dtype == np.uint8
    difference = np.abs(first.astype(int) - second)
    return difference.max(), np.mean(difference > 0)


@pytest.mark.parametrize("blocks, scale", [(1, 4), (0, 4), (2, 2), (1, 8)])
def test_margin_is_how_far_one_pixel_reaches(blocks, scale):
    generator, side = random_generator(blocks, scale), 41
    image = np.random.default_rng(1).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)
    changed = image.copy()
    changed[0, side // 2, side // 2] *= -1
    moved = np.asarray(generator(image, training=False)) != np.asarray(generator(changed, training=False))
    for axes in ((0, 2, 3), (0, 1, 3)):
        cells = np.flatnonzero(moved.any(axis=axes)) // scale  # LR pixels in which an output pixel changed
        assert cells.min() == side // 2 - receptive_margin(generator)
        assert cells.max() == side // 2 + receptive_margin(generator)


def test_every_level_goes_through_unchanged():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    same = upscale_batch_function(lambda lr, training: lr)
    assert (same(levels).numpy() == levels).all()


def test_results_are_rounded_and_clipped():
    lr = np.full((1, 1, 5, 3), 255, np.uint8)
    values = np.float32([-3, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 1 - 0.49 / 127.5, 3]).reshape(1, 1, 5, 1)
    upscale = upscale_batch_function(lambda lr, training: lr * values)
    assert upscale(lr).numpy()[0, 0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_the_graph_gives_what_the_layers_give():
    generator, image = random_generator(blocks=16), noise(128, 128)[None]  # deep: the order of the sums shows
    expected = from_network(generator(to_network(image), training=False))
    assert len(np.unique(expected)) > 100
    most, share = apart(upscale_batch_function(generator)(image).numpy(), expected)
    assert most <= 1 and share < 1e-5


def test_one_graph_serves_all_sizes(generator):
    upscale = upscale_batch_function(generator)
    for n, h, w in ((1, 4, 5), (3, 7, 2), (2, 1, 1)):
        assert upscale(tf.zeros((n, h, w, 3), tf.uint8)).shape == (n, 4 * h, 4 * w, 3)
    assert upscale.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("height, width, tile", [(60, 75, 16), (33, 64, 32), (64, 32, 32), (1, 50, 7), (19, 3, 1)])
def test_tiled_equals_whole(generator, height, width, tile):
    image = noise(height, width)
    whole = Upscaler(generator, tile=0).upscale(image)
    most, share = apart(Upscaler(generator, tile=tile).upscale(image), whole)
    assert most <= 1 and share < 1e-5


def test_tiled_equals_whole_at_another_scale():
    generator = random_generator(blocks=2, scale=2)
    image = noise(50, 41)
    most, share = apart(Upscaler(generator, tile=10).upscale(image), Upscaler(generator, tile=0).upscale(image))
    assert most <= 1 and share < 1e-5


@pytest.mark.parametrize("tile", [None, 0, 1, 100])
def test_one_pixel(generator, tile):
    assert Upscaler(generator, tile=tile).upscale(noise(1, 1)).shape == (4, 4, 3)


def test_default_tile_fits_the_memory():
    generator = build_generator(blocks=16, scale=4, filters=64)
    margin, pixel = receptive_margin(generator), 3 * 64 * 4 * 4 * 4  # three float32 tensors at 16 pixels for each
    upscaler = Upscaler(generator, memory_limit=pixel * 200 * 200)
    assert upscaler.tile_side(200, 200) == upscaler.tile_side(100, 400) == 0
    assert upscaler.tile_side(200, 201) == 200 - 2 * margin
    assert Upscaler(generator, memory_limit=0).tile_side(1, 33) == 32
    assert Upscaler(generator, memory_limit=10**15).tile_side(5000, 5000) == 512
    assert Upscaler(generator, tile=0, memory_limit=0).tile_side(5000, 5000) == 0
    assert Upscaler(generator, tile=48).tile_side(5000, 5000) == 48


def test_default_tile_follows_the_free_memory(generator, monkeypatch):
    memory = psutil.virtual_memory()._replace(available=4 * 3 * 8 * 4 * 16 * 60 * 60)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert Upscaler(generator).tile_side(60, 60) == 0
    assert Upscaler(generator).tile_side(60, 61) == 60 - 2 * receptive_margin(generator)


def test_default_tile_is_used(generator):
    image = noise(70, 90)
    small = Upscaler(generator, memory_limit=3 * 8 * 4 * 16 * 60 * 60)
    assert small.tile_side(70, 90) == 60 - 2 * receptive_margin(generator)
    most, share = apart(small.upscale(image), Upscaler(generator, tile=0).upscale(image))
    assert most <= 1 and share < 1e-5


def test_out_of_memory_says_so(generator, monkeypatch):
    upscaler = Upscaler(generator, tile=20)

    def full(window):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(upscaler, "_upscale_batch", full)
    with pytest.raises(MemoryError, match="29x20 pixels at once; set a smaller --tile"):
        upscaler.upscale(noise(20, 40))


def test_wrong_types_are_refused(generator):
    for image in (noise(4, 4) / 255, noise(4, 4)[..., 0], noise(4, 4)[None], noise(4, 4)[:0]):
        with pytest.raises(ValueError, match="Received"):
            Upscaler(generator).upscale(image)
    with pytest.raises(ValueError, match="negative"):
        Upscaler(generator, tile=-1)


def test_color_picture_is_upscaled_as_it_is(generator):
    upscaler, pixels = Upscaler(generator), noise(9, 7)
    result = upscaler.upscale_picture(files.Picture(pixels))
    assert (result.pixels == upscaler.upscale(pixels)).all() and result.alpha is None and not result.gray


def test_gray_and_transparency_stay(generator, tmp_path):
    gray = noise(9, 7)[..., :1].repeat(3, axis=2)
    alpha = np.full((9, 7), 255, np.uint8)
    alpha[:, :3] = 0
    upscaler = Upscaler(generator)
    result = upscaler.upscale_picture(files.Picture(gray, alpha, gray=True))
    assert result.gray and result.pixels.shape == (36, 28, 3)
    mean = upscaler.upscale(gray).mean(axis=2)
    assert np.abs(result.pixels - mean[..., None]).max() <= 0.5
    assert result.alpha.shape == (36, 28)
    assert (result.alpha[:, :6] == 0).all() and (result.alpha[:, -10:] == 255).all()
    files.write(tmp_path / "gray.png", result)
    back = files.read(tmp_path / "gray.png")
    assert back.gray and (back.pixels == result.pixels).all() and (back.alpha == result.alpha).all()
