import math

import numpy as np
import pytest

from srgan_tf.evaluation.benchmark import SetScores
from srgan_tf.evaluation.metrics import METRICS
from srgan_tf.evaluation.picture_sets import PictureSet
from srgan_tf.evaluation.records import Score
from srgan_tf.evaluation.statistics import difference, differences

PSNR, LPIPS = METRICS[0], METRICS[-1]


def scores_of(**systems):
    return [
        Score("set", str(number), system, {"psnr": value, "ssim": 0.5})
        for system, values in systems.items()
        for number, value in enumerate(values)
    ]


def test_the_interval_of_many_pictures_is_the_normal_one():
    rng = np.random.default_rng(0)
    theirs = rng.normal(27, 3, 100)
    gain = rng.normal(1.5, 0.4, 100)
    found = difference(scores_of(ours=theirs + gain, bicubic=theirs), "ours", "bicubic", PSNR)
    half = 1.96 * gain.std(ddof=1) / 10  # of the mean of 100; the systems' own spread of 3 dB must not count
    assert found.mean == pytest.approx(gain.mean(), abs=1e-9) and found.pictures == 100
    assert found.low == pytest.approx(gain.mean() - half, abs=0.01)
    assert found.high == pytest.approx(gain.mean() + half, abs=0.01)


def test_the_same_seed_gives_the_same_interval():
    scores = scores_of(ours=[1.0, 2.0, 4.0, 9.0], bicubic=[0.0, 0.0, 0.0, 0.0])
    assert difference(scores, "ours", "bicubic", PSNR) == difference(scores, "ours", "bicubic", PSNR)
    other = difference(scores, "ours", "bicubic", PSNR, seed=1)
    assert other.mean == 4 and 1 <= other.low < 4 < other.high <= 9


def test_pictures_are_paired_by_name_not_by_place():
    scores = scores_of(ours=[10.0, 20.0, 30.0], bicubic=[9.0, 19.0, 29.0])
    found = difference(scores[:3] + scores[:2:-1], "ours", "bicubic", PSNR)
    assert (found.mean, found.low, found.high) == (1, 1, 1)


def test_what_cannot_be_compared():
    one = difference(scores_of(ours=[2.0], bicubic=[1.0]), "ours", "bicubic", PSNR)
    assert one.mean == 1 and math.isnan(one.low) and math.isnan(one.high)
    infinite = difference(scores_of(ours=[2.0, math.inf, 4.0], bicubic=[1.0, 1.0, 3.0]), "ours", "bicubic", PSNR)
    assert infinite.mean == 1 and infinite.pictures == 2
    assert difference(scores_of(ours=[2.0], bicubic=[1.0]), "ours", "bicubic", LPIPS) is None
    assert difference(scores_of(ours=[2.0]), "ours", "bicubic", PSNR) is None


def test_which_systems_are_compared():
    values = {"a": [3.0, 3.5], "b": [2.0, 2.5], "nearest": [0.0, 0.5], "bicubic": [1.0, 1.5], "theirs": [4.0, 4.5]}
    scored = SetScores(
        PictureSet("set", ()), 4, ("a", "b", "nearest", "bicubic"), {"theirs": {}}, scores_of(**values), [], None
    )
    found = [(entry.system, entry.baseline, entry.mean) for entry in differences(scored) if entry.metric == PSNR]
    assert found == [
        ("a", "bicubic", 2),
        ("b", "bicubic", 1),
        ("nearest", "bicubic", -1),
        ("theirs", "bicubic", 3),
        ("a", "b", 1),
    ]
    assert {entry.metric.key for entry in differences(scored)} == {"psnr", "ssim"}
