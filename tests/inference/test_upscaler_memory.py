"""Memory: what is taken beforehand, and what happens when it runs out."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srgan_tf.inference import memory_budget, tile_runner
from srgan_tf.inference.tiling import Tiling
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system.errors import UserError

GIB = 2**30


def noise(height, width, bands=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)


@pytest.fixture
def fresh(monkeypatch):
    """As if nothing had been computed in this process yet, which has 500 MiB."""
    monkeypatch.setattr(tile_runner, "_kept_bytes", 0)
    monkeypatch.setattr(memory_budget, "resident_bytes", lambda: 500 * 2**20)


def limited(monkeypatch, upscaler, pixels):
    """Lets the memory run out for windows above `pixels`; returns the sizes that are tried, and whether they fitted."""
    tried, right = [], upscaler._runner._graph

    def graph(*kind):
        def compute(window, place):
            fits = window.shape[1] * window.shape[2] <= pixels
            tried.append((window.shape[1:3], fits))
            if not fits:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return right(*kind)(window, place)

        return compute

    monkeypatch.setattr(upscaler._runner, "_graph", graph)
    return tried


# --- memory runs out


@pytest.mark.parametrize("height, width, pixels", [(100, 90, 60 * 60), (20, 300, 3000), (300, 3, 500), (64, 64, 4095)])
def test_tiles_are_halved_until_they_fit(generator, height, width, pixels, monkeypatch):
    image = noise(height, width, 4)
    whole, upscaler = Upscaler(generator, tile=0), Upscaler(generator, tile=0)
    expected = whole.upscale(image)
    tried = limited(monkeypatch, upscaler, pixels)
    placed, place = [], tile_runner.TileRunner._place

    def placing(self, strip, tile, values, bands):
        placed.append((tile, bands))
        place(self, strip, tile, values, bands)

    monkeypatch.setattr(tile_runner.TileRunner, "_place", placing)
    result = upscaler.upscale(image)
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert np.mean(result != expected) < 1e-5
    covered = np.zeros((height, width), int)
    for (top, bottom, left, right), bands in placed:
        covered[top:bottom, left:right] += bands == slice(0, 3)
    assert (covered == 1).all()  # nothing left out, nothing twice
    failed = [size for size, fits in tried if not fits]
    assert failed[0] == (height, width) and len(failed) <= 4  # tried once, then never again so large
    before = len(failed)
    assert (upscaler.upscale(image) == result).all()
    assert sum(not fits for _, fits in tried) == before  # and it is remembered


def test_memory_that_does_not_suffice_for_the_smallest_tile_says_so(generator, monkeypatch):
    upscaler = Upscaler(generator, tile=40)
    tried = limited(monkeypatch, upscaler, 0)
    with pytest.raises(MemoryError, match="out of memory while upscaling 19x19 pixels at once") as told:
        upscaler.upscale(noise(80, 80))
    assert "\n" not in str(told.value)
    # Parts of a tile in the corner: a margin of 9 on two sides only.
    assert [size for size, _ in tried] == [(40 + 18, 40 + 18), (20 + 9, 20 + 9), (10 + 9, 10 + 9)]


def test_other_errors_are_not_swallowed(generator, monkeypatch):
    upscaler = Upscaler(generator)

    def broken(*kind):
        raise tf.errors.InternalError(None, None, "something else")

    monkeypatch.setattr(upscaler._runner, "_graph", broken)
    with pytest.raises(tf.errors.InternalError, match="something else"):
        upscaler.upscale(noise(5, 5))


# --- memory is planned


def shape(upscaler, height, width, whole=None):
    extent = Tiling(height, width, upscaler._runner.margin)
    return upscaler._find_tile(extent, 3, np.dtype(np.uint8), whole)[0]


def test_default_tile_follows_the_free_memory(generator, fresh, monkeypatch):
    upscaler = Upscaler(generator)
    window = upscaler._runner.costs(3, np.uint8, made=0).window
    free = 60 * 60 * window / 0.75 * 2  # half of the free memory is taken, three quarters of that by a window
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: free + 10)
    assert shape(upscaler, 60, 60) == (60, 60)
    assert shape(upscaler, 60, 61) != (60, 61)
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: 0)
    assert shape(upscaler, 1000, 1000) == (16, 16)  # better slow than not at all
    monkeypatch.setattr(memory_budget, "free_host_bytes", lambda: 10**15)
    tall, wide = shape(upscaler, 5000, 5000)
    assert tall <= 512 and 0.8 * 512**2 < tall * wide < 1.1 * 512**2
    assert shape(Upscaler(generator, tile=0), 5000, 5000) == (5000, 5000)
    assert shape(Upscaler(generator, tile=50), 5001, 30) == (50, 30)
    assert shape(Upscaler(generator, tile=50), 51, 30) == (26, 30)  # as equal as can be


def test_a_result_that_is_held_whole_counts(generator, fresh, monkeypatch):
    upscaler = Upscaler(generator, max_memory=GIB)
    seen, choose = [], Tiling.choose
    monkeypatch.setattr(Tiling, "choose", lambda self, *given: seen.append(given[:2]) or choose(self, *given))
    upscaler.upscale(noise(8, 8))
    list(upscaler.upscale_strips(lambda top, bottom: noise(8, 8), 8, 8, 3, np.uint8))
    upscaler.upscale(Image.fromarray(noise(8, 8)))
    (held, less), (made, all_of_it), (_, pillow) = seen
    assert all_of_it - less == 8 * 8 * 16 * 3 and all_of_it - pillow == 2 * 8 * 8 * 16 * 3  # Pillow copies
    assert held.made == 0 and made.made == 2 * 16 * 3
    assert GIB - 500 * 2**20 - 200 * 2**20 < all_of_it < GIB - 500 * 2**20


@pytest.mark.parametrize("tile, said", [(None, "16x16.* allow more$"), (300, "300x286.* allow more or smaller tiles$")])
def test_a_limit_that_is_too_low_says_what_is_needed(generator, fresh, tile, said):
    upscaler = Upscaler(generator, tile=tile, max_memory=GIB // 4)
    message = r"max_memory of 256 MiB does not suffice: ([\d,]+) MiB are needed for tiles of " + said
    with pytest.raises(UserError, match=message) as told:
        upscaler.upscale_strips(lambda top, bottom: None, 2000, 3000, 3, np.uint8)
    needed = int(str(told.value).split("suffice: ")[1].split(" MiB")[0].replace(",", ""))
    assert shape(Upscaler(generator, tile=tile, max_memory=needed * 2**20), 2000, 3000)
    with pytest.raises(UserError):
        shape(Upscaler(generator, tile=tile, max_memory=(needed - 1) * 2**20), 2000, 3000)


def test_small_pictures_are_not_refused_after_large_ones(generator, fresh, monkeypatch):
    upscaler = Upscaler(generator, max_memory=GIB)
    window = upscaler._runner.costs(3, np.uint8, made=2).window
    tall, wide = shape(upscaler, 3000, 3000)
    kept = window * (tall + 18) * (wide + 18)
    assert 0.5 * (GIB - 600 * 2**20) < kept < 0.75 * (GIB - 500 * 2**20)
    monkeypatch.setattr(tile_runner, "_kept_bytes", kept)  # as TensorFlow keeps it, and oneDNN's kernels beside it
    monkeypatch.setattr(memory_budget, "resident_bytes", lambda: GIB - 90 * 2**20)
    assert shape(upscaler, 300, 300) is not None
    again = shape(upscaler, 3000, 300)
    assert (again[0] + 18) * min(again[1] + 18, 300) <= (tall + 18) * (wide + 18)
    with pytest.raises(UserError, match="does not suffice"):
        shape(upscaler, 3000, 300_000)


PEAK = """
import sys
import numpy as np
from srgan_tf.inference import tile_runner, tiling
from srgan_tf.system.memory import resident_bytes
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import build_generator

upscaler = Upscaler(build_generator(blocks=1), max_memory=10**12, tile=150)
upscaler.upscale(np.zeros((4, 4, 3), np.uint8))
before, tile_runner._kept_bytes = resident_bytes(), 0
extent = tiling.Tiling(300, 300, upscaler._runner.margin)
needed = extent.needed(150, 150, upscaler._runner.costs(3, np.uint8, made=2))
rows = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
strips = upscaler.upscale_strips(lambda top, bottom: rows[top:bottom], *rows.shape, np.uint8)
assert sum(len(strip) for strip in strips) == 1200
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(needed, int(line.split()[1]) * 1024 - before)
"""


def test_what_is_planned_holds_against_the_measured_peak():
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the peak where Linux keeps it")
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    planned, taken = map(int, done.stdout.split())
    assert planned > 1e8 and 0.65 * planned < taken < planned


# --- several threads


def test_threads_take_turns(generator):
    images = [noise(30 + number, 40, seed=number) for number in range(6)]
    upscaler = Upscaler(generator, tile=16)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(upscaler.upscale, images))
    for image, result in zip(images, made):
        assert (result == upscaler.upscale(image)).all()


def test_only_one_window_is_computed_at_a_time(generator, monkeypatch):
    upscaler, inside, most = Upscaler(generator, tile=16), [], []
    right = upscaler._runner._graph

    def graph(*kind):
        def compute(window, place):
            inside.append(1)
            most.append(len(inside))
            try:
                return right(*kind)(window, place)
            finally:
                inside.pop()

        return compute

    monkeypatch.setattr(upscaler._runner, "_graph", graph)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upscaler.upscale, [noise(40, 40)] * 4))
    assert max(most) == 1 and len(most) == 4 * 9


def test_what_the_caller_takes_is_left_to_it(generator, fresh):
    upscaler, extent = Upscaler(generator, max_memory=GIB), Tiling(3000, 3000, 9)

    def pixels(held):
        tile, _ = upscaler._find_tile(extent, 3, np.dtype(np.uint8), held=held)
        return math.prod(extent.window(*tile))

    assert pixels(200 * 2**20) < pixels(0)
    with pytest.raises(UserError, match="max_memory of 1,024 MiB does not suffice"):
        pixels(600 * 2**20)
