import numpy as np
import pytest

from srgan_tf.inference.tiling import (
    LARGEST_SIDE,
    SMALLEST_SIDE,
    MemoryCosts,
    Tiling,
    largest_part,
    padded,
    quarters,
    split,
)

MOST = (LARGEST_SIDE + 80) ** 2


def test_parts_are_few_and_equal():
    rng = np.random.default_rng(0)
    for length, side in [(1, 1), (1, 9), (9, 1), (512, 512), (513, 512), *rng.integers(1, 200, (200, 2)).tolist()]:
        parts = split(length, side)
        assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])] and parts[-1][1] == length
        lengths = [stop - start for start, stop in parts]
        assert 1 <= min(lengths) and max(lengths) <= side and max(lengths) - min(lengths) <= 1
        assert len(parts) == -(-length // side) and largest_part(length, side) == max(lengths)


def test_margins_end_at_the_borders():
    assert padded(10, 20, 4, 100) == (6, 24)
    assert padded(0, 20, 4, 100) == (0, 24)
    assert padded(3, 98, 4, 100) == (0, 100)


def test_padded_tiles_can_all_be_equally_large():
    rng = np.random.default_rng(3)
    for length, side, margin in rng.integers(1, 100, (200, 3)):
        size = min(side + 2 * margin, length)
        for start, stop in split(length, side):
            first, last = padded(start, stop, margin, length, size)
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


def padded_tiles(picture, tall, wide):
    """The largest padded tile's height and width, and the pixels of all, counted one by one."""
    sides = []
    for length, side in ((picture.height, tall), (picture.width, wide)):
        size = min(side + 2 * picture.margin, length)
        found = [padded(*part, picture.margin, length, size) for part in split(length, side)]
        sides.append([stop - start for start, stop in found])
    return max(sides[0]), max(sides[1]), sum(sides[0]) * sum(sides[1])


def test_the_chosen_tile_fits_and_nothing_square_that_fits_is_less_work():
    rng = np.random.default_rng(2)
    chosen = 0
    for _ in range(60):
        picture = Tiling(*(int(side) for side in np.exp(rng.uniform(0, 9, 2)).astype(int)), int(rng.integers(8, 45)))
        costs = MemoryCosts(int(rng.integers(100, 20000)), int(rng.integers(0, 20)), int(rng.integers(0, 400)))
        limit = int(np.exp(rng.uniform(14, 22)))
        tile = picture.choose_tile(costs, limit, MOST)

        def bytes_of(tall, wide, picture=picture, costs=costs):
            high, broad, _ = padded_tiles(picture, tall, wide)
            rows = min(picture.height, max(stop - start for start, stop in split(picture.height, tall)))
            return high * broad * costs.features + picture.width * (high * costs.input + rows * costs.output)

        sides = (16, 24, 40, 64, 100, 128, 200, 256, 400, 512)
        squares = [(min(side, picture.height), min(side, picture.width)) for side in sides]
        fitting = [
            square
            for square in squares
            if picture.bytes_needed(square, costs) <= limit and np.prod(picture.padded_size(square)) <= MOST
        ]
        if tile is None:
            assert not fitting
            continue
        chosen += 1
        high, broad, work = padded_tiles(picture, *tile)
        assert bytes_of(*tile) <= limit and high * broad <= MOST
        assert work == picture.pixels_computed(tile)
        for square in fitting:
            assert picture.pixels_computed(tile) <= picture.pixels_computed(square)
    assert 20 < chosen < 60  # the draw holds both


def test_what_fits_is_taken_whole():
    costs, margin = MemoryCosts(1000), 10
    assert Tiling(200, 300, margin).choose_tile(costs, 200 * 300 * 1000, MOST) == (200, 300)
    tall, wide = Tiling(200, 300, margin).choose_tile(costs, 200 * 300 * 1000 - 1, MOST)
    assert (tall, wide) != (200, 300) and min(tall + 20, 200) * min(wide + 20, 300) * 1000 < 200 * 300 * 1000
    assert Tiling(1, 100_000, margin).choose_tile(costs, 10**9, MOST) == (1, 100_000)
    assert Tiling(4000, 4000, margin).choose_tile(costs, 10**15, MOST) != (4000, 4000)


def test_the_smallest_tile_is_the_limit():
    picture, costs = Tiling(1000, 1000, 10), MemoryCosts(1000)
    least = (SMALLEST_SIDE + 20) ** 2 * 1000
    assert picture.choose_tile(costs, least, MOST) is not None and picture.choose_tile(costs, least - 1, MOST) is None


@pytest.mark.parametrize("allocated, whole", [(99 * 100, False), (100 * 100, True)])
def test_a_padded_tile_that_is_allocated_already_is_free(allocated, whole):
    costs = MemoryCosts(1000, allocated=allocated)
    assert (Tiling(100, 100, 10).choose_tile(costs, 0, MOST) == (100, 100)) == whole


def test_strips_of_a_wide_picture_leave_room_for_the_padded_tile():
    costs = MemoryCosts(10_000, input=6, output=96)
    tall, wide = Tiling(1000, 1_000_000, 10).choose_tile(costs, 2 * 2**30, MOST)
    assert tall * 1_000_000 * 96 + (tall + 20) * 1_000_000 * 6 + (tall + 20) * (wide + 20) * 10_000 <= 2 * 2**30
    assert tall < 30 and wide > 300  # low and broad
