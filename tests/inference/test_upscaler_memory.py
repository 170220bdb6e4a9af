"""Memory: what is taken beforehand, and what happens when it runs out."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.inference import memory_budget
from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.memory_budget import plan_tiles
from srgan_tf.inference.tile_runner import TileRunner
from srgan_tf.inference.tiling import Tiling
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system.errors import UserError

GIB = 2**30


def noise(height, width, bands=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)


@pytest.fixture
def fresh(monkeypatch):
    """As if nothing had been computed in this process yet, which has 500 MiB."""
    monkeypatch.setattr(TileRunner, "allocated_bytes", 0)
    monkeypatch.setattr(memory_budget, "resident_bytes", lambda: 500 * 2**20)


class Limited:
    """A network whose memory runs out on padded tiles above `pixels`; `tried` has their sizes, and whether they fit."""

    def __init__(self, generator, pixels):
        self._network, self._pixels, self.tried = FusedGenerator(generator), pixels, []
        self.scale, self.margin, self.filters = self._network.scale, self._network.margin, self._network.filters

    def __call__(self, lr):
        def allocate(values):
            fits = np.prod(values.shape[:3]) <= self._pixels
            self.tried.append((values.shape[1:3], fits))
            if not fits:
                raise MemoryError("OOM when allocating tensor")
            return values

        return self._network(tf.ensure_shape(tf.numpy_function(allocate, [lr], tf.float32), (None, None, None, 3)))


# --- memory runs out


@pytest.mark.parametrize("height, width, pixels", [(100, 90, 60 * 60), (20, 300, 3000), (300, 3, 500), (64, 64, 4095)])
def test_tiles_are_halved_until_they_fit(generator, height, width, pixels):
    image, network = noise(height, width, 4), Limited(generator, pixels)
    expected, upscaler = Upscaler(generator, tile=0).upscale(image), Upscaler(network, tile=0)
    result = upscaler.upscale(image)
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert np.mean(result != expected) < 1e-5
    failed = [size for size, fits in network.tried if not fits]
    assert failed[0] == (height, width) and len(failed) <= 4  # tried once, then never again so large
    before = len(failed)
    assert (upscaler.upscale(image) == result).all()
    assert sum(not fits for _, fits in network.tried) == before  # and it is remembered


def test_fewer_images_are_computed_at_once_until_they_fit(generator):
    images, network = np.stack([noise(12, 17, 4, seed) for seed in range(7)]), Limited(generator, 2 * 12 * 17)
    expected, upscaler = Upscaler(generator).upscale_batch(images), Upscaler(network)
    assert np.abs(upscaler.upscale_batch(images).astype(int) - expected).max() <= 1
    assert sum(not fits for _, fits in network.tried) == 2  # seven and three


def test_memory_that_does_not_suffice_for_the_smallest_tile_says_so(generator):
    network = Limited(generator, 0)
    with pytest.raises(MemoryError, match="out of memory while upscaling 19x19 pixels at once") as told:
        Upscaler(network, tile=40).upscale(noise(80, 80))
    assert "\n" not in str(told.value)
    # Parts of a tile in the corner: a margin of 9 on two sides only.
    assert [size for size, _ in network.tried] == [(40 + 18, 40 + 18), (20 + 9, 20 + 9), (10 + 9, 10 + 9)]


def test_other_errors_are_not_swallowed():
    class Broken:
        scale, margin, filters = 1, 0, 1

        def __call__(self, lr):
            with tf.control_dependencies([tf.debugging.assert_less(lr, -2.0, message="something else")]):
                return tf.identity(lr)

    with pytest.raises(tf.errors.InvalidArgumentError, match="something else"):
        Upscaler(Broken()).upscale(noise(5, 5))


# --- memory is planned


@pytest.fixture(scope="module")
def runner(generator):
    return TileRunner(FusedGenerator(generator))


def planned(runner, height, width, **options):
    """The tile of an RGB picture."""
    return plan_tiles(runner, Tiling(height, width, runner.margin), 3, np.uint8, **options)[0]


def test_default_tile_follows_the_free_memory(runner, fresh, monkeypatch):
    features = runner.costs(3, np.uint8, strips=0).features
    free = 60 * 60 * features / 0.75 * 2  # half of the free memory is taken, three quarters of that by a padded tile
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: free + 10)
    assert planned(runner, 60, 60) == (60, 60)
    assert planned(runner, 60, 61) != (60, 61)
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: 0)
    assert planned(runner, 1000, 1000) == (16, 16)  # better slow than not at all
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: 10**15)
    tall, wide = planned(runner, 5000, 5000)
    assert tall <= 512 and 0.8 * 512**2 < tall * wide < 1.1 * 512**2
    assert planned(runner, 5000, 5000, side=0) == (5000, 5000)
    assert planned(runner, 5001, 30, side=50) == (50, 30)
    assert planned(runner, 51, 30, side=50) == (26, 30)  # as equal as can be


def test_a_result_that_is_held_whole_counts(generator, fresh, monkeypatch):
    upscaler = Upscaler(generator, max_memory=GIB)
    seen, choose = [], Tiling.choose_tile
    monkeypatch.setattr(Tiling, "choose_tile", lambda self, *given: seen.append(given[:2]) or choose(self, *given))
    upscaler.upscale(noise(8, 8))
    list(upscaler.upscale_strips(lambda top, bottom: noise(8, 8), 8, 8, 3, np.uint8))
    upscaler.upscale(Image.fromarray(noise(8, 8)))
    (held, less), (made, all_of_it), (_, pillow) = seen
    assert all_of_it - less == 8 * 8 * 16 * 3 and all_of_it - pillow == 2 * 8 * 8 * 16 * 3  # Pillow copies
    assert held.output == 0 and made.output == 2 * 16 * 3
    assert GIB - 500 * 2**20 - 200 * 2**20 < all_of_it < GIB - 500 * 2**20


@pytest.mark.parametrize("tile, said", [(None, "16x16.* allow more$"), (300, "300x286.* allow more or smaller tiles$")])
def test_a_limit_that_is_too_low_says_what_is_needed(generator, runner, fresh, tile, said):
    upscaler = Upscaler(generator, tile=tile, max_memory=GIB // 4)
    message = r"max_memory of 256 MiB does not suffice: ([\d,]+) MiB are needed for tiles of " + said
    with pytest.raises(UserError, match=message) as told:
        upscaler.upscale_strips(lambda top, bottom: None, 2000, 3000, 3, np.uint8)
    needed = int(str(told.value).split("suffice: ")[1].split(" MiB")[0].replace(",", ""))
    assert planned(runner, 2000, 3000, side=tile, max_memory=needed * 2**20)
    with pytest.raises(UserError):
        planned(runner, 2000, 3000, side=tile, max_memory=(needed - 1) * 2**20)


def test_small_pictures_are_not_refused_after_large_ones(runner, fresh, monkeypatch):
    features = runner.costs(3, np.uint8, strips=2).features
    tall, wide = planned(runner, 3000, 3000, max_memory=GIB)
    kept = features * (tall + 18) * (wide + 18)
    assert 0.5 * (GIB - 600 * 2**20) < kept < 0.75 * (GIB - 500 * 2**20)
    monkeypatch.setattr(TileRunner, "allocated_bytes", kept)  # as TensorFlow keeps it, and oneDNN's kernels beside it
    monkeypatch.setattr(memory_budget, "resident_bytes", lambda: GIB - 90 * 2**20)
    assert planned(runner, 300, 300, max_memory=GIB) is not None
    again = planned(runner, 3000, 300, max_memory=GIB)
    assert (again[0] + 18) * min(again[1] + 18, 300) <= (tall + 18) * (wide + 18)
    with pytest.raises(UserError, match="does not suffice"):
        planned(runner, 3000, 300_000, max_memory=GIB)


PEAK = """
import sys
import numpy as np
from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.invention import TurnedDifference
from srgan_tf.inference.networks import BlendedNetworks
from srgan_tf.inference.tile_runner import TileRunner
from srgan_tf.inference.tiling import Tiling
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import build_generator
from srgan_tf.system.memory import resident_bytes

network = FusedGenerator(build_generator(blocks=1))
if sys.argv[1] == "map":
    network = TurnedDifference(network)
elif sys.argv[1] == "blend":
    network = BlendedNetworks(network, network, 0.5)
upscaler = Upscaler(network, max_memory=10**12, tile=150)
upscaler.upscale(np.zeros((4, 4, 3), np.uint8))
before = resident_bytes()
needed = Tiling(300, 300, network.margin).bytes_needed((150, 150), TileRunner(network).costs(3, np.uint8, strips=2))
rows = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
strips = upscaler.upscale_strips(lambda top, bottom: rows[top:bottom], *rows.shape, np.uint8)
assert sum(len(strip) for strip in strips) == 1200
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(needed, int(line.split()[1]) * 1024 - before)
"""


@pytest.mark.parametrize("network", ["one", "map", "blend"])
def test_what_is_planned_holds_against_the_measured_peak(run_python, network):
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the peak where Linux keeps it")
    planned, taken = map(int, run_python("-c", PEAK, network).stdout.split())
    assert planned > 1e8 and 0.65 * planned < taken < planned


# --- several threads


def test_threads_take_turns(generator):
    images = [noise(30 + number, 40, seed=number) for number in range(6)]
    upscaler = Upscaler(generator, tile=16)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(upscaler.upscale, images))
    for image, result in zip(images, made):
        assert (result == upscaler.upscale(image)).all()


def test_only_one_tile_is_computed_at_a_time():
    class Slow:
        scale, margin, filters = 1, 0, 1
        inside, seen = 0, []

        def __call__(self, lr):
            def compute(values):
                self.inside += 1
                self.seen.append(self.inside)
                time.sleep(0.002)
                self.inside -= 1
                return values

            return tf.ensure_shape(tf.numpy_function(compute, [lr], tf.float32), (None, None, None, 3))

    network = Slow()
    upscaler = Upscaler(network, tile=16)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upscaler.upscale, [noise(40, 40)] * 4))
    assert network.seen == [1] * 4 * 9


def test_what_the_caller_takes_is_left_to_it(runner, fresh):
    def pixels(reserve):
        return math.prod(planned(runner, 3000, 3000, max_memory=GIB, reserve=reserve))

    assert pixels(200 * 2**20) < pixels(0)
    with pytest.raises(UserError, match="max_memory of 1,024 MiB does not suffice"):
        pixels(600 * 2**20)
