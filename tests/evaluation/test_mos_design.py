"""How many raters a study needs, and which pairs they compare."""

import itertools
from collections import Counter

import numpy as np
import pytest

from srgan_tf.evaluation.mos_design import all_rounds, pairs_of, pairs_plan, raters_needed, rounds_each, scores_plan
from srgan_tf.imaging import files


@pytest.mark.parametrize("effect, raters", [(0.2, 199), (0.3, 90), (0.4, 52), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_raters_needed_are_those_of_gpower(effect, raters):
    """G*Power 3.1, means, difference between two dependent means; two-sided at 0.05, power 0.8."""
    assert raters_needed(effect, 1) == raters
    assert raters_needed(0.2, 0.2 / effect) == raters


def test_more_pictures_need_fewer_raters_but_not_ever_fewer():
    """Tastes that a rater has on all pictures do not average out."""
    assert "47 on Set5 (SD 0.48), 31 on Set14 (SD 0.38)" in scores_plan({"Set5": 5, "Set14": 14})
    assert ": 23 on x (SD 0.32)" in scores_plan({"x": 100_000})
    assert "42 on Set5 (5 choices a rater)" in pairs_plan({"Set5": 5}, 5)


@pytest.mark.parametrize("systems, pictures", [*itertools.product((2, 3, 4, 5, 6, 7), (1, 5, 19, 100))])
def test_all_pairs_are_compared_equally_often(systems, pictures):
    names = "abcdefg"[:systems]
    chosen = [pairs_of(number, pictures, names) for number in range(pictures)]
    counts = Counter(frozenset(pair) for own in chosen for pair in own)
    assert len(counts) == systems * (systems - 1) // 2 and max(counts.values()) - min(counts.values()) <= 1
    assert all(len({*map(frozenset, own)}) == len(own) for own in chosen)
    assert frozenset((names[0], names[-1])) in map(frozenset, chosen[0])
    if rounds_each(pictures, systems) == all_rounds(systems):
        assert set(counts.values()) == {pictures}
    assert counts.total() <= 200 or rounds_each(pictures, systems) == 1


@pytest.mark.parametrize("kind, asked", [("scores", "5 images to rate"), ("pairs", "4 pairs of images to compare")])
def test_make_says_how_many_raters_the_study_needs(run, tmp_path, kind, asked):
    files.write(tmp_path / "set" / "a.png", np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
    page = tmp_path / "study.html"
    flags = [f"--data={tmp_path / 'set'}", f"--output={page}", "--weights=none", f"--kind={kind}"]
    status, out, err = run("--mode=mos", "--make", *flags)
    assert status == 0 and err == [] and out[-2].startswith(f"{page}: {asked}, ")
    plan = scores_plan({"set": 1}) if kind == "scores" else pairs_plan({"set": 1}, 3)
    assert out[-1] == plan and "\n" not in plan
