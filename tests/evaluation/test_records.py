import numpy as np
import pytest

from srgan_tf.evaluation.records import Pictures
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_hr_is_cut_to_what_the_systems_made(tmp_path):
    files.write(tmp_path / "hr.png", noise(33, 51, 2))
    shown = Pictures("s", "p", noise(8, 12), {"one": noise(32, 48), "HR": tmp_path / "hr.png"}).load()
    assert list(shown) == ["LR", "one", "HR"]
    np.testing.assert_array_equal(shown["HR"], noise(33, 51, 2)[:32, :48])
    np.testing.assert_array_equal(shown["LR"], np.kron(noise(8, 12), np.ones((4, 4, 1), np.uint8)))
    assert list(Pictures("s", "p", noise(8, 12), {"nearest": noise(32, 48)}).load()) == ["nearest"]
    # So are results of its whole size, as others publish them.
    shown = Pictures("s", "p", None, {"HR": noise(33, 51, 2), "one": noise(32, 48), "two": noise(33, 51)}).load()
    np.testing.assert_array_equal(shown["two"], noise(33, 51)[:32, :48])


def test_sizes_that_do_not_fit_are_named(tmp_path):
    files.write(tmp_path / "small.png", noise(8, 12))
    with pytest.raises(UserError, match=r"two of p: 48x33 cannot be compared with one of p: 48x32"):
        Pictures("", "p", None, {"one": noise(32, 48), "two": noise(33, 48)}).load()
    with pytest.raises(UserError, match=r"HR of s / p: 56x32 cannot be compared with one of s / p: 48x32"):
        Pictures("s", "p", None, {"one": noise(32, 48), "HR": noise(32, 56)}).load()
    with pytest.raises(UserError, match=r"small.png: 12x8 is not one of p: 50x32 divided by a whole number"):
        Pictures("", "p", tmp_path / "small.png", {"one": noise(32, 50)}).load()
