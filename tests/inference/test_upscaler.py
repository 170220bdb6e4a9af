import copy
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging import files
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.imaging.transparency import REACH, fill_hidden
from srgan_tf.inference import memory_budget
from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.tile_runner import TileRunner
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.baselines import build_espcn
from srgan_tf.models.generator_weights import receptive_radius
from srgan_tf.system.errors import UserError


@pytest.fixture(scope="module")
def generator(random_generator):
    return random_generator()


@pytest.fixture(scope="module")
def whole(generator):
    return Upscaler(generator, tile=0)


def tiled_by(upscaler, tile):
    """The same with another tile; the graphs are shared."""
    other = copy.copy(upscaler)
    other.tile = tile
    return other


class Network:
    """A function of the network's values in place of a generator, by default the values themselves; scale 1.

    Attributes:
        given: What it was called with: float32 arrays `(N, H, W, 3)`.
        traced: How often a graph was made of it.
    """

    scale, filters = 1, 1

    def __init__(self, function=lambda lr: lr, margin=0):
        self.margin, self.given, self.traced = margin, [], 0
        self._function = function

    def __call__(self, lr):
        self.traced += 1

        def keep(values):
            self.given.append(values.copy())
            return values

        kept = tf.numpy_function(keep, [lr], tf.float32)
        return self._function(tf.ensure_shape(kept, (None, None, None, 3)))


def noise(height, width, bands=3, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, bands), dtype, endpoint=True)


def apart(first, second):
    assert first.shape == second.shape and first.dtype == second.dtype and first.dtype in (np.uint8, np.uint16)
    difference = np.abs(first.astype(int) - second)
    return difference.max(), np.mean(difference > 0)


def strips(upscaler, image):
    """The strips, and the rows that were asked for."""
    asked = []

    def rows(top, bottom):
        asked.append((top, bottom))
        return image[top:bottom]

    return list(upscaler.upscale_strips(rows, *image.shape, image.dtype)), asked


# --- values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_goes_through_unchanged(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    same = Upscaler(Network())
    for image in (levels, np.stack([levels, levels[::-1], levels.T.reshape(levels.shape)], axis=2)):
        assert (same.upscale(image) == image).all()


def test_the_network_gets_what_training_gave_it():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    network = Network()
    Upscaler(network, tile=0).upscale(image)
    assert (network.given.pop() == to_network(image)[..., None]).all()
    high = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Upscaler(network, tile=0).upscale(high)
    expected = np.broadcast_to(high[None, ..., None] / 32767.5 - 1, (1, 256, 256, 3))
    np.testing.assert_allclose(network.given.pop(), expected, atol=1.2e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_results_are_rounded_and_clipped(dtype):
    half = np.iinfo(dtype).max / 2
    factors = np.float32([-3, -1 + 0.45 / half, -1 + 0.55 / half, 1 - 0.45 / half, 3]).reshape(1, 1, 5, 1)
    result = Upscaler(Network(lambda lr: lr * factors)).upscale(np.full((1, 5, 3), 2 * half, dtype))
    assert result[0, :, 0].tolist() == [0, 0, 1, 2 * half, 2 * half]


def test_a_picture_equals_the_generator(generator, whole):
    image = noise(60, 70)
    expected = from_network(generator(to_network(image)[None], training=False))[0]
    assert len(np.unique(expected)) > 100
    most, share = apart(whole.upscale(image), expected)
    assert most <= 1 and share < 1e-3  # Keras sums in another order
    image = noise(60, 70, dtype=np.uint16)
    sr = np.asarray(generator(np.float32(image / 32767.5 - 1)[None], training=False), np.float64)[0]
    most, _ = apart(whole.upscale(image), np.rint((sr + 1) * 32767.5).astype(np.uint16))
    assert most <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_the_mean_of_three(generator, whole, dtype):
    gray, limit = noise(9, 7, 1, dtype), np.iinfo(dtype).max
    sr = FusedGenerator(generator)(np.float32(gray.repeat(3, axis=2)[None] / (limit / 2) - 1))[0]
    sr = np.asarray(sr, np.float64)
    assert np.ptp(sr, axis=2).max() > 0.01  # the three differ
    expected = np.rint((sr.mean(axis=2) + 1) * limit / 2).astype(dtype)
    assert apart(whole.upscale(gray)[..., 0], expected)[0] <= (0 if dtype == np.uint8 else 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [2, 4])
def test_alpha_is_the_bicubic_of_the_whole(whole, bands, dtype):
    image = noise(45, 38, bands, dtype)
    image[..., -1] |= 1
    image[:, :9, -1], image[:, 9:20, -1] = 0, np.iinfo(dtype).max
    tiled = tiled_by(whole, 7).upscale(image)
    assert tiled.dtype == dtype and tiled.shape == (180, 152, bands)
    assert (tiled[..., -1] == upscale_bicubic(image[..., -1], 4)).all()
    assert (tiled[:, :28, -1] == 0).all() and (tiled[:, 44:72, -1] == np.iinfo(dtype).max).all()
    most = 1 if dtype == np.uint8 else 2
    assert apart(tiled[..., :-1], whole.upscale(fill_hidden(image[None])[0]))[0] <= most
    seen = 4 * (9 + whole._runner.margin)  # from here on nothing sees what is hidden
    assert apart(tiled[:, seen:, :-1], whole.upscale(image[..., :-1])[:, seen:])[0] <= most


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("name", ["srgan", "srresnet"])
def test_a_white_disc_has_no_rim_on_white(name, antialiased):
    rows, columns = np.ogrid[:48, :48]
    distance = np.hypot(rows - 24, columns - 24)
    alpha = 255 * (np.clip(16.5 - distance, 0, 1) if antialiased else distance < 16)
    disc = np.dstack([np.where(alpha > 0, 255, 0)] * 3 + [alpha]).astype(np.uint8)
    sr = Upscaler(name).upscale(disc).astype(int)
    on_white = (sr[..., :3] * sr[..., 3:] + 255 * (255 - sr[..., 3:])) / 255
    assert on_white.min() >= 253


# --- tiles


@pytest.mark.parametrize("blocks, scale", [(1, 4), (0, 4), (2, 2), (1, 8)])
def test_margin_is_how_far_one_pixel_reaches(blocks, scale, random_generator):
    generator, side = random_generator(blocks, scale), 41
    image = np.random.default_rng(1).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)
    changed = image.copy()
    changed[0, side // 2, side // 2] *= -1
    moved = np.asarray(generator(image, training=False)) != np.asarray(generator(changed, training=False))
    for axes in ((0, 2, 3), (0, 1, 3)):
        cells = np.flatnonzero(moved.any(axis=axes)) // scale  # LR pixels in which an output pixel changed
        assert cells.min() == side // 2 - receptive_radius(blocks, scale)
        assert cells.max() == side // 2 + receptive_radius(blocks, scale)


@pytest.mark.parametrize("blocks, scale", [(1, 4), (0, 2), (2, 2), (0, 8)])
def test_tiled_equals_whole(blocks, scale, random_generator):
    rng = np.random.default_rng(blocks + scale)
    whole = Upscaler(random_generator(blocks, scale), tile=0)
    cases = [(1, 1, 1), (1, 50, 7), (50, 1, 7), (9, 9, 1), (30, 31, 32), (32, 32, 32), (33, 32, 32)]
    cases += [(*rng.integers(1, 70, 2), rng.integers(5, 40)) for _ in range(8)]
    differing = counted = 0
    for number, (height, width, tile) in enumerate(cases):
        tiled, image = tiled_by(whole, int(tile)), noise(height, width, seed=number)
        most, share = apart(tiled.upscale(image), whole.upscale(image))
        assert most <= 1
        differing, counted = differing + share * height * width, counted + height * width
        fine = noise(height, width, dtype=np.uint16, seed=number)  # a level is 3e-5 of the network's values
        assert apart(tiled.upscale(fine), whole.upscale(fine))[0] <= 1
    assert counted > 5000 and differing < 1e-5 * counted * 3 * scale**2


def test_tiled_equals_whole_with_the_weights_of_the_package():
    photograph = files.read_rgb(embedded_pictures()["chelsea"])[40:130, 60:220].astype(np.uint16) * 257
    whole = Upscaler("srresnet", tile=0)
    expected = whole.upscale(photograph)
    for tile in (41, 67):
        tiled = tiled_by(whole, tile).upscale(photograph)
        assert apart(tiled, expected)[0] <= 1
        most, share = apart(np.rint(tiled / 257).astype(np.uint8), np.rint(expected / 257).astype(np.uint8))
        assert most <= 1 and share < 1e-5


def test_strips_equal_the_picture_and_ask_for_each_row_once(generator, whole):
    for bands, dtype, tile in ((3, np.uint8, 10), (1, np.uint16, 16), (2, np.uint8, 4), (4, np.uint16, 50)):
        upscaler, image = tiled_by(whole, tile), noise(37, 21, bands, dtype)
        made, asked = strips(upscaler, image)
        assert (np.concatenate(made) == upscaler.upscale(image)).all()
        assert len(made) == -(-37 // tile) and all(len(strip) <= 4 * tile for strip in made)
        assert [top for top, _ in asked] == [0, *(bottom for _, bottom in asked[:-1])] and asked[-1][1] == 37
        reach = REACH if bands in (2, 4) else 0
        assert asked[0][1] <= tile + 2 * (whole.network.margin + reach)  # no more than the first tile needs
        for strip in made:  # the caller's own
            assert strip.base is None or strip.base.nbytes == strip.nbytes
            strip[:] = 0


def test_progress_is_told_by_tiles(whole):
    upscaler, image, done = tiled_by(whole, 10), noise(37, 21), []

    def rows(top, bottom):
        return image[top:bottom]

    strips = upscaler.upscale_strips(rows, *image.shape, image.dtype, progress=done.append)
    next(strips)
    assert len(done) == 3 and max(done) <= 100
    assert list(strips) and sum(done) == 37 * 21


def test_the_memory_for_strips_does_not_grow_with_the_height():
    network = Network(margin=3)
    upscaler = Upscaler(network, tile=50)

    def rows(top, bottom):
        return np.zeros((bottom - top, 1000, 3), np.uint8)

    def peak(height):
        tracemalloc.start()
        for _ in upscaler.upscale_strips(rows, height, 1000, 3, np.uint8):
            network.given.clear()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(100)
    assert peak(1000) < peak(100) + 1e6


def test_all_padded_tiles_of_a_picture_are_equally_large():
    """TensorFlow's pool grew by hundreds of MiB where they were cut off at the borders."""
    network = Network(margin=9)
    Upscaler(network, tile=13).upscale(noise(100, 55))
    assert {values.shape[1:3] for values in network.given} == {(13 + 2 * 9, 11 + 2 * 9)}


def test_rows_that_are_not_what_was_asked_for_are_told(whole):
    for rows in (
        lambda top, bottom: np.zeros((bottom - top, 5, 3), np.uint16),
        lambda top, bottom: np.zeros((bottom - top, 5, 1), np.uint8),
        lambda top, bottom: np.zeros((bottom - top - 1, 5, 3), np.uint8),
        lambda top, bottom: [[0]],
    ):
        with pytest.raises(ValueError, match=r"rows\(0, 8\) must give uint8 \(8, 5, 3\). Received"):
            next(whole.upscale_strips(rows, 8, 5, 3, np.uint8))
    for kind in ((0, 5, 3, np.uint8), (8, 5, 5, np.uint8), (8, 5, 3, np.float32)):
        with pytest.raises(ValueError, match="Received"):
            whole.upscale_strips(lambda top, bottom: None, *kind)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_batch_equals_its_pictures(whole, bands):
    images = np.stack([noise(12, 17, bands, seed=seed) for seed in range(5)]) | 1  # of which alpha hides none
    expected = np.stack([whole.upscale(image) for image in images])
    for tile, sizes in ((None, [5]), (0, [5]), (8, [1] * 5 * 6)):
        assert apart(tiled_by(whole, tile).upscale_batch(images), expected)[0] <= 1
        network = Network()
        assert (Upscaler(network, tile=tile).upscale_batch(images) == images).all()
        assert [len(values) for values in network.given] == sizes


def test_a_batch_takes_as_many_at_once_as_the_memory_allows(monkeypatch):
    images, network = np.stack([noise(12, 17, seed=seed) for seed in range(5)]), Network()
    tile_bytes = TileRunner(network).costs(3, np.uint8, strips=0).features * 12 * 17
    free = images.nbytes + 2.9 * tile_bytes / 0.75
    monkeypatch.setattr(TileRunner, "allocated_bytes", 0)
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: 2 * free)  # half of which is taken
    assert (Upscaler(network).upscale_batch(images) == images).all()
    assert [len(values) for values in network.given] == [2, 2, 1]


def test_what_is_no_batch_is_told(whole):
    for images in (noise(5, 5), np.zeros((0, 5, 5, 3), np.uint8), np.zeros((2, 5, 5, 3)), None):
        with pytest.raises(ValueError, match="Received"):
            whole.upscale_batch(images)


def test_one_graph_serves_all_sizes():
    network = Network(margin=4)
    upscaler = Upscaler(network, tile=20)
    rng = np.random.default_rng(5)
    for height, width in rng.integers(1, 40, (30, 2)):
        assert upscaler.upscale(noise(height, width)).shape == (height, width, 3)
    assert network.traced == 1


def test_models_besides_g_name_the_backend_that_they_need(generator, monkeypatch):
    espcn = build_espcn()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert Upscaler(generator).scale == 4
    with pytest.raises(UserError, match="espcn: .* needs Keras' backend TensorFlow, not jax; set KERAS_BACKEND="):
        Upscaler(espcn)
