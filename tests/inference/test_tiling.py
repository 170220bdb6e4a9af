import numpy as np
import pytest

from srgan_tf.inference.tiling import LARGEST_SIDE, SMALLEST_SIDE, MemoryCosts, Tiling, balanced, cut, quarters, widened

MOST = (LARGEST_SIDE + 80) ** 2


def test_cuts_are_few_and_equal():
    rng = np.random.default_rng(0)
    for length, side in [(1, 1), (1, 9), (9, 1), (512, 512), (513, 512), *rng.integers(1, 200, (200, 2)).tolist()]:
        parts = cut(length, side)
        assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])] and parts[-1][1] == length
        lengths = [stop - start for start, stop in parts]
        assert 1 <= min(lengths) and max(lengths) <= side and max(lengths) - min(lengths) <= 1
        assert len(parts) == -(-length // side) and balanced(length, side) == max(lengths)


def test_margins_end_at_the_borders():
    assert widened(10, 20, 4, 100) == (6, 24)
    assert widened(0, 20, 4, 100) == (0, 24)
    assert widened(3, 98, 4, 100) == (0, 100)


def test_windows_can_all_be_equally_large():
    rng = np.random.default_rng(3)
    for length, side, margin in rng.integers(1, 100, (200, 3)):
        size = min(side + 2 * margin, length)
        for start, stop in cut(length, side):
            first, last = widened(start, stop, margin, length, size)
            assert last - first == size and 0 <= first and last <= length
            assert first <= max(start - margin, 0) and last >= min(stop + margin, length)


def test_quarters_fill_the_tile_once_each():
    rng = np.random.default_rng(1)
    for height, width in [(1, 1), (16, 16), (17, 16), (1, 400), *rng.integers(1, 100, (50, 2)).tolist()]:
        tile = (5, 5 + height, 7, 7 + width)
        filled = np.zeros((120, 420), int)
        for top, bottom, left, right in quarters(tile):
            filled[top:bottom, left:right] += 1
            for side, whole in ((bottom - top, height), (right - left, width)):
                assert side <= max(SMALLEST_SIDE, -(-whole // 2))
        assert filled.sum() == height * width and (filled[5 : 5 + height, 7 : 7 + width] == 1).all()
    assert quarters((0, 16, 3, 4)) == [(0, 16, 3, 4)]


def windows(extent, tall, wide):
    """The largest window's height and width, and the pixels of all, counted one by one."""
    sides = []
    for length, side in ((extent.height, tall), (extent.width, wide)):
        size = min(side + 2 * extent.margin, length)
        found = [widened(*part, extent.margin, length, size) for part in cut(length, side)]
        sides.append([stop - start for start, stop in found])
    return max(sides[0]), max(sides[1]), sum(sides[0]) * sum(sides[1])


def test_the_chosen_tile_fits_and_nothing_square_that_fits_is_less_work():
    rng = np.random.default_rng(2)
    chosen = 0
    for _ in range(60):
        extent = Tiling(*(int(side) for side in np.exp(rng.uniform(0, 9, 2)).astype(int)), int(rng.integers(8, 45)))
        costs = MemoryCosts(int(rng.integers(100, 20000)), int(rng.integers(0, 20)), int(rng.integers(0, 400)))
        limit = int(np.exp(rng.uniform(14, 22)))
        tile = extent.choose(costs, limit, MOST)

        def bytes_of(tall, wide, extent=extent, costs=costs):
            high, broad, _ = windows(extent, tall, wide)
            rows = min(extent.height, max(stop - start for start, stop in cut(extent.height, tall)))
            return high * broad * costs.window + extent.width * (high * costs.read + rows * costs.made)

        sides = (16, 24, 40, 64, 100, 128, 200, 256, 400, 512)
        squares = [(min(side, extent.height), min(side, extent.width)) for side in sides]
        fitting = [
            square
            for square in squares
            if extent.needed(*square, costs) <= limit and np.prod(extent.window(*square)) <= MOST
        ]
        if tile is None:
            assert not fitting
            continue
        chosen += 1
        high, broad, work = windows(extent, *tile)
        assert bytes_of(*tile) <= limit and high * broad <= MOST
        assert work == extent.work(*tile)
        for square in fitting:
            assert extent.work(*tile) <= extent.work(*square)
    assert 20 < chosen < 60  # the draw holds both


def test_what_fits_is_taken_whole():
    costs, margin = MemoryCosts(1000), 10
    assert Tiling(200, 300, margin).choose(costs, 200 * 300 * 1000, MOST) == (200, 300)
    tall, wide = Tiling(200, 300, margin).choose(costs, 200 * 300 * 1000 - 1, MOST)
    assert (tall, wide) != (200, 300) and min(tall + 20, 200) * min(wide + 20, 300) * 1000 < 200 * 300 * 1000
    assert Tiling(1, 100_000, margin).choose(costs, 10**9, MOST) == (1, 100_000)
    assert Tiling(4000, 4000, margin).choose(costs, 10**15, MOST) != (4000, 4000)


def test_the_smallest_tile_is_the_limit():
    extent, costs = Tiling(1000, 1000, 10), MemoryCosts(1000)
    least = (SMALLEST_SIDE + 20) ** 2 * 1000
    assert extent.choose(costs, least, MOST) is not None and extent.choose(costs, least - 1, MOST) is None


@pytest.mark.parametrize("spare, whole", [(99 * 100, False), (100 * 100, True)])
def test_a_window_that_was_paid_for_is_free(spare, whole):
    costs = MemoryCosts(1000, spare=spare)
    assert (Tiling(100, 100, 10).choose(costs, 0, MOST) == (100, 100)) == whole


def test_strips_of_a_wide_picture_leave_room_for_the_window():
    costs = MemoryCosts(10_000, read=6, made=96)
    tall, wide = Tiling(1000, 1_000_000, 10).choose(costs, 2 * 2**30, MOST)
    assert tall * 1_000_000 * 96 + (tall + 20) * 1_000_000 * 6 + (tall + 20) * (wide + 20) * 10_000 <= 2 * 2**30
    assert tall < 30 and wide > 300  # low and broad
