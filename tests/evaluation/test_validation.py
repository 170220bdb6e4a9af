import gc

import keras
import numpy as np
import pytest

from srgan_tf.data.folders import Pair
from srgan_tf.evaluation import metrics, validation
from srgan_tf.evaluation.picture_sets import load_pair
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale, upscale_bicubic, upscale_nearest
from srgan_tf.inference.tile_runner import TileRunner
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import build_generator
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.system.errors import UserError


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def pairs(tmp_path):
    """Four pictures: one wider than a strip shows, one to be cut, one with an LR file, one more than is shown."""
    hr = {"a": noise(48, 240, 1), "b": noise(42, 35, 2), "c": noise(40, 40, 3), "d": noise(24, 28, 4)}
    for name, pixels in hr.items():
        files.write(tmp_path / "HR" / f"{name}.png", pixels)
    files.write(tmp_path / "LR" / "c.png", downscale(hr["c"]))
    lr = {"c": tmp_path / "LR" / "c.png"}
    return [Pair(name, tmp_path / "HR" / f"{name}.png", lr.get(name)) for name in hr]


class Nearest:
    """Stands in for an Upscaler, with something that is neither bicubic nor the original."""

    def __init__(self, generator):
        pass

    def upscale(self, lr):
        return upscale_nearest(lr, 4)


def test_scores_are_the_means_of_the_metrics(pairs, monkeypatch):
    monkeypatch.setattr(validation, "Upscaler", Nearest)
    scores, _ = validation.Validation(None, pairs, 4)()
    loaded = [load_pair(pair) for pair in pairs]
    assert scores == {
        "psnr": pytest.approx(np.mean([metrics.psnr(hr, upscale_nearest(lr, 4)) for hr, lr in loaded])),
        "ssim": pytest.approx(np.mean([metrics.ssim(hr, upscale_nearest(lr, 4)) for hr, lr in loaded])),
    }


def test_an_image_that_is_reproduced_exactly_does_not_hide_the_others(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "Upscaler", Nearest)
    files.write(tmp_path / "black.png", np.zeros((40, 40, 3), np.uint8))
    scores, _ = validation.Validation(None, [*pairs[:1], Pair("black", tmp_path / "black.png", None)], 4)()
    hr, lr = load_pair(pairs[0])
    assert scores["psnr"] == pytest.approx((metrics.psnr(hr, upscale_nearest(lr, 4)) + 100) / 2)


def test_strips_show_bicubic_sr_and_hr_of_the_centre(pairs, monkeypatch):
    monkeypatch.setattr(validation, "Upscaler", Nearest)
    _, strips = validation.Validation(None, pairs, 4)()
    assert {name: strip.shape for name, strip in strips.items()} == {
        "a": (48, 3 * 192, 3),
        "b": (40, 3 * 32, 3),
        "c": (40, 3 * 40, 3),
    }
    hr = noise(48, 240, 1)
    lr = downscale(hr)
    bicubic, sr, original = np.split(strips["a"], 3, axis=1)
    centre = np.s_[:, 24 : 24 + 192]
    np.testing.assert_array_equal(bicubic, upscale_bicubic(lr, 4)[centre])
    np.testing.assert_array_equal(sr, upscale_nearest(lr, 4)[centre])
    np.testing.assert_array_equal(original, hr[centre])


def test_a_generators_weights_at_the_time_of_the_call_count(tmp_path):
    hr = np.tile(np.linspace(0, 255, 40).astype(np.uint8)[:, None, None], (1, 40, 3))
    files.write(tmp_path / "ramp.png", hr)
    keras.utils.set_random_seed(0)
    generator = build_generator(blocks=1, filters=40)
    validate = validation.Validation(generator, [Pair("ramp", tmp_path / "ramp.png", None)], 4)
    before, _ = validate()
    initialize_as_bilinear(generator)
    after, strips = validate()
    assert after["psnr"] > before["psnr"] + 10
    assert after["psnr"] == pytest.approx(metrics.psnr(hr, Upscaler(generator, tile=0).upscale(downscale(hr))))
    assert strips["ramp"].shape == (40, 3 * 40, 3)


def test_nothing_of_a_validation_stays_in_memory(pairs):
    def alive():
        gc.collect()  # that of the validation does nothing while another thread of this process collects
        return [held for held in gc.get_objects() if isinstance(held, Upscaler | TileRunner)]

    validate = validation.Validation(build_generator(blocks=0, filters=4), pairs, 4)
    before = alive()  # of other tests
    validate()
    assert not [held for held in alive() if not any(held is other for other in before)]


def test_a_picture_too_large_for_the_memory_is_named(pairs, monkeypatch):
    def full(upscaler, lr):
        if lr.shape == (10, 10, 3):
            raise MemoryError("out of memory while upscaling")
        return upscale_nearest(lr, 4)

    monkeypatch.setattr(Nearest, "upscale", full)
    monkeypatch.setattr(validation, "Upscaler", Nearest)
    with pytest.raises(UserError) as caught:
        validation.Validation(None, pairs, 4)()
    assert str(caught.value) == f"{pairs[2].lr}, to validate on: out of memory while upscaling"


def test_unusable_pairs_are_skipped_with_their_reason(pairs, tmp_path):
    for name, size in {"short": (40, 40), "small": (19, 60), "just": (20, 20), "other": (40, 40)}.items():
        files.write(tmp_path / "bad" / f"{name}.png", noise(*size))
    short, small, just, other = (tmp_path / "bad" / f"{name}.png" for name in ("short", "small", "just", "other"))
    short.write_bytes(short.read_bytes()[:-12])
    missing = tmp_path / "bad" / "missing.png"
    given = [
        Pair("short", short, None),
        pairs[0],
        Pair("small", small, None),
        Pair("just", just, None),
        Pair("lost", missing, None),
        Pair("bad LR", other, short),
        Pair("other LR", other, pairs[1].hr),
        pairs[2],
    ]
    usable, skipped = validation.usable_pairs(given)
    assert usable == [pairs[0], given[3], pairs[2]]
    assert skipped == [
        (short, "truncated: its end is missing"),
        (small, "60x19 is too small to be scored; 20 pixels a side are needed"),
        (missing, "no such file"),
        (short, "truncated: its end is missing"),
        (pairs[1].hr, f"35x42 is not {other}: 40x40 divided by 4"),
    ]
    for pair in usable:
        load_pair(pair)


@pytest.mark.parametrize("scale, needed", [(2, 20), (4, 20), (8, 24)])
def test_the_smallest_picture_is_what_can_be_scored(tmp_path, scale, needed):
    for side in (needed - 1, needed):
        pair = Pair("a", tmp_path / f"{side}.png", None)
        files.write(pair.hr, noise(side, 40))
        if side == needed:
            assert validation.usable_pairs([pair], scale) == ([pair], [])
            hr, _ = load_pair(pair, scale)
            metrics.ssim(hr, hr)
        else:
            with pytest.raises(UserError, match=f"40x{side} is too small to be scored; {needed} pixels"):
                load_pair(pair, scale)
            match = f"validate on, 1 skipped; the first: {pair.hr}: 40x{side} is too small"
            with pytest.raises(UserError, match=match):
                validation.usable_pairs([pair], scale)


def test_no_pairs_at_all():
    with pytest.raises(UserError, match="^no image to validate on, 0 skipped$"):
        validation.usable_pairs([])
