import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import gaussian_filter

from srgan_tf.imaging import files
from srgan_tf.imaging.color import luma
from srgan_tf.inference.fused import FusedGenerator
from srgan_tf.inference.invention import CALIBRATION, expected_error, write_map
from srgan_tf.inference.invention_map import Invention, legend
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system.errors import UserError


@pytest.fixture(scope="module")
def upscaler(random_generator):
    return Upscaler(random_generator(), tile=0)


def noise(height, width, bands=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, bands), dtype, endpoint=True)


def by_scipy(generator, lr):
    """From float LR `(H, W, 3)` in [-1, 1]."""
    network = FusedGenerator(generator)
    sr, turned = (np.float64(network(np.ascontiguousarray(x[None])))[0] for x in (lr, np.rot90(lr)))
    difference = luma(127.5 * (sr + 1)) - luma(127.5 * (np.rot90(turned, -1) + 1))
    weight = gaussian_filter(np.ones_like(difference), 2, mode="constant")
    square = gaussian_filter(difference**2, 2, mode="constant") / weight
    factor, floor = CALIBRATION[4]
    return factor * np.sqrt(square) + floor


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_it_is_the_difference_from_the_turned_picture(random_generator, upscaler, bands, dtype):
    image = noise(13, 9, bands, dtype)
    lr = np.float32(image[..., : 3 if bands > 1 else 1] / (np.iinfo(dtype).max / 2) - 1).repeat(
        3 if bands == 1 else 1, 2
    )
    error = expected_error(upscaler, image)
    assert error.dtype == np.float32 and error.shape == (52, 36) and np.ptp(error) > 0.1
    np.testing.assert_allclose(error, by_scipy(random_generator(), lr), atol=5e-3)


def test_in_tiles_it_is_the_whole(random_generator, upscaler):
    image = noise(45, 38)
    tiled = expected_error(Upscaler(random_generator(), tile=16), image)
    np.testing.assert_allclose(tiled, expected_error(upscaler, image), atol=5e-3)


def test_it_says_how_far_it_is(random_generator, tmp_path):
    files.write(tmp_path / "a.png", noise(45, 38))
    done = []
    write_map(tmp_path / "a.png", tmp_path / "map.png", Upscaler(random_generator(), tile=16), progress=done.append)
    assert len(done) == 9 and sum(done) == 45 * 38


def test_an_ensemble_and_a_faithful_one_have_the_map_of_the_network(random_generator, upscaler):
    image = noise(12, 10)
    for options in ({"ensemble": True}, {"faithful": True}):
        other = Upscaler(random_generator(), tile=0, **options)
        np.testing.assert_array_equal(expected_error(other, image), expected_error(upscaler, image))


@pytest.mark.parametrize("scale, floor", [(2, 0.5), (4, 0.56), (8, 0.56)])
def test_what_a_network_gives_turned_or_not_is_not_invented(scale, floor):
    class Nearest:
        margin, filters = 0, 1

        def __init__(self):
            self.scale = scale

        def __call__(self, lr):
            return tf.repeat(tf.repeat(lr, scale, axis=1), scale, axis=2)

    np.testing.assert_allclose(expected_error(Upscaler(Nearest()), noise(9, 8)), floor, atol=5e-3)


def test_the_file_has_the_colors_of_viridis_and_a_legend(upscaler, tmp_path):
    files.write(tmp_path / "a.png", noise(20, 100))
    invention = write_map(tmp_path / "a.png", tmp_path / "map.png", upscaler)
    shown = files.read_rgb(tmp_path / "map.png")
    assert shown.shape == (80 + 64, 400, 3)
    error = expected_error(upscaler, files.read_rgb(tmp_path / "a.png"))
    ends = {0: (68, 1, 84), 20: (253, 231, 37)}  # viridis, as published
    from matplotlib import colormaps

    expected = np.rint(255 * colormaps["viridis"](np.rint(np.minimum(error / 20, 1) * 255).astype(int))[..., :3])
    assert (shown[:80] == expected).mean() > 0.999
    assert tuple(shown[86, 8]) == ends[0] and tuple(shown[86, 391]) == ends[20]
    assert (invention.pixels, invention.high) == (error.size, (error > 10).sum())
    assert (shown[80:] == 255).mean() > 0.5 and (shown[80:] == 0).any()


def test_a_narrow_picture_has_a_map(upscaler, tmp_path):
    Image.new("L", (1, 2)).save(tmp_path / "a.png")
    write_map(tmp_path / "a.png", tmp_path / "map.png", upscaler)
    assert files.read_rgb(tmp_path / "map.png").shape == (8 + 64, 4, 3)


@pytest.mark.parametrize("width", [170, 250, 300, 600])
def test_the_legend_is_as_wide_as_there_is_room(width):
    shown = legend(width, "100 % high (above 10), 100 % low (below 3)")
    dark = np.flatnonzero((shown[40:] < 128).any(axis=(0, 2)))  # the text
    assert shown.shape == (64, width, 3) and dark[0] >= 8 and min(width - 12, 240) - 24 <= dark[-1] < width - 3
    gaps = np.diff(np.flatnonzero((shown[20:36] < 128).any(axis=(0, 2))))
    assert (gaps > 10).sum() == 3  # between four levels


def test_the_number_of_a_picture():
    invention = Invention()
    invention.add(np.float32([[1, 2, 5, 11]]))
    invention.add(np.float32([[3, 10, 12, 30]]))
    assert str(invention) == "38 % of the pixels are high (expected error above 10 of 255 levels), 25 % low (below 3)"
    assert invention.legend == "38 % high (above 10), 25 % low (below 3)"


def test_a_map_that_cannot_be_written_leaves_nothing(random_generator, upscaler, tmp_path):
    files.write(tmp_path / "a.png", noise(5, 5))
    with pytest.raises(UserError, match=r"a.png: max_memory of 0 MiB does not suffice"):
        write_map(tmp_path / "a.png", tmp_path / "map.png", Upscaler(random_generator(), max_memory=1))
    with pytest.raises(UserError, match="map.xyz"):
        write_map(tmp_path / "a.png", tmp_path / "map.xyz", upscaler)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
