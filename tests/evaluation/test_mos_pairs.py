"""Bradley-Terry scores against published ones, and files of choices that are not as they should be."""

import io
import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

import evaluate
from srgan_tf.evaluation import mos, mos_pairs, mos_pairs_report
from srgan_tf.evaluation.mos_pairs import PairRater, bradley_terry, connected, preferences
from srgan_tf.system.errors import UserError

# Citations among Biometrika, Communications in Statistics, JASA and JRSS-B (Stigler 1994; Agresti 2002, page 448): how
# often the row's journal was cited by the column's. R's package BradleyTerry2 has them as `citations`.
CITED = ((0, 730, 498, 221), (33, 0, 68, 17), (320, 813, 0, 142), (284, 276, 325, 0))


def rater(name, choices, calibration="HR"):
    """A `PairRater`; `choices` of `(set, picture, winner, loser)`."""
    own = {(set_name, picture, frozenset(both)): both[0] for set_name, picture, *both in choices}
    return PairRater(name, f"{name}.json", "s", calibration, own)


def saved(path, who, winners, **changes):
    """Writes a rater's file as the page does: `winners` of all pairs of four systems, in order, for each picture."""
    pairs = list(itertools.combinations(("nearest", "bicubic", "srgan", "HR"), 2))
    ratings = [{"set": "Set5", "picture": "baby", "systems": ["nearest", "HR"], "expected": "HR", "winner": "HR"}]
    ratings += [
        {"set": "Set5", "picture": f"p{number}", "systems": pair, "winner": pair[int(digit)], "first": pair[0]}
        for number, digits in enumerate(winners)
        for pair, digit in zip(pairs, digits)
    ]
    content = {"format": "srgan_tf pairs 1", "study": "abc", "rater": f"{who}-0", "name": who, "items": 13}
    path.write_text(json.dumps(content | {"ratings": ratings} | changes))
    return path


# Of nearest-bicubic, nearest-srgan, nearest-HR, bicubic-srgan, bicubic-HR, srgan-HR: 1 is the second one.
GOOD = ("111111", "011110", "101011")
OTHER = ("111101", "111110", "011011")
CHOICE = {"set": "Set5", "picture": "baby", "systems": ["nearest", "HR"], "winner": "HR"}


def test_the_scores_are_those_of_r():
    """BTabilities of BradleyTerry2, by contrasts to Biometrika and by those that sum to zero."""
    scores, covariance = bradley_terry(np.array([CITED], float))
    assert scores == pytest.approx((0.7899221, -2.1591504, 0.3103523, 1.0588761), abs=1e-7)
    errors = np.sqrt(np.diag(covariance))
    assert errors == pytest.approx((0.04333047, 0.07257974, 0.04164102, 0.05304699), abs=1e-8)
    assert scores - scores[0] == pytest.approx((0, -2.9490725, -0.4795698, 0.2689541), abs=1e-7)
    errors = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    assert errors == pytest.approx((0, 0.10254534, 0.06058873, 0.07082997), abs=1e-8)


def test_the_covariance_is_clustered_by_rater():
    """GLM of statsmodels 0.15.0: binomial, cov_type="cluster" without its correction, times 4 / 3 for four raters."""
    first, second = [[0, 5, 2], [3, 0, 4], [6, 1, 0]], [[0, 7, 4], [1, 0, 2], [4, 5, 0]]
    third, fourth = [[0, 6, 3], [2, 0, 6], [5, 4, 0]], [[0, 4, 1], [4, 0, 1], [7, 6, 0]]
    scores, covariance = bradley_terry(np.array([first, second, third, fourth], float))
    assert scores - scores[0] == pytest.approx((0, -0.34277625, 0.34277625), abs=1e-7)
    errors = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    assert errors == pytest.approx((0, 0.34521051, 0.41752058), abs=1e-7)


def test_preferences_have_intervals_and_p_values():
    """Of a single rater they are R's: z = 0.2689541 / 0.07082997 between JRSS-B and Biometrika, two-sided."""
    names = ("Biometrika", "Comm Statist", "JASA", "JRSS-B")
    choices = [
        ("journals", str(number), names[row], names[column])
        for row, column in itertools.permutations(range(4), 2)
        for number in range(sum(CITED[column][:row]) * 1000, sum(CITED[column][:row]) * 1000 + CITED[row][column])
    ]
    counted = [(set_name, f"{winner}{picture}", winner, loser) for set_name, picture, winner, loser in choices]
    found = preferences([rater("a", counted)])
    assert [preference.system for preference in found] == ["JRSS-B", "Biometrika", "JASA", "Comm Statist"]
    first, second, _, last = found
    assert first.margin == pytest.approx(1.959964 * 0.05304699, abs=1e-6)
    assert first.p == pytest.approx(math.erfc(0.2689541 / 0.07082997 / math.sqrt(2)), rel=1e-4) and last.p is None
    assert (second.chosen, second.shown) == (730 + 498 + 221, 730 + 498 + 221 + 33 + 320 + 284)


def test_who_always_wins_or_loses_has_no_finite_score():
    beaten = [("s", "p", "HR", "a"), ("s", "p", "a", "nearest"), ("s", "p", "a", "b"), ("s", "q", "b", "a")]
    found = preferences([rater("x", [*beaten, ("s", "q", "c", "d")])])
    scores = {preference.system: preference.score for preference in found}
    assert scores.pop("c") != scores.pop("c", 0) and math.isnan(scores.pop("d"))  # compared with none of the others
    assert scores == {"HR": math.inf, "a": 0, "b": 0, "nearest": -math.inf} and found[0].system == "HR"
    assert found[0].margin is found[0].p is None
    text = mos_pairs_report.text([rater("x", beaten)], preferences([rater("x", beaten)]))
    assert "∞: always (-∞: never) chosen against systems with a finite score" in text and "inf" not in text
    mos_pairs_report.intervals(found)


def test_choices_that_never_contradict_each_other_have_no_scores():
    ordered = [("s", "p", *pair) for pair in itertools.combinations("abc", 2)]
    found = preferences([rater("x", ordered), rater("y", ordered)])
    assert [(preference.system, preference.chosen) for preference in found] == [("a", 4), ("b", 2), ("c", 0)]
    assert all(math.isnan(preference.score) for preference in found)
    assert "no score, since these choices do not contradict" in mos_pairs_report.text([rater("x", ordered)], found)
    assert connected(np.zeros((2, 2), int))[0].size == 0


def test_raters_who_choose_alike_have_no_p():
    both = [("s", "p", "a", "b"), ("s", "q", "b", "a"), ("s", "r", "a", "b")]
    better, worse = preferences([rater("x", both), rater("y", both)])
    assert better.score == pytest.approx(math.log(2) / 2) and better.p is None and worse.score == -better.score


def test_agreement_is_kendalls_u():
    one, other = ("s", "p", "a", "b"), ("s", "p", "b", "a")
    assert mos_pairs.agreement([rater("x", [one]), rater("y", [one])]) == 1
    assert mos_pairs.agreement([rater("x", [one]), rater("y", [one]), rater("z", [other])]) == pytest.approx(-1 / 3)
    assert mos_pairs.agreement([rater("x", [one])]) is None


@pytest.mark.parametrize(
    "choices, calibration, fault",
    [
        ("HHHn", "HR", None),
        ("HHnn", "HR", "prefers nearest to HR on 2 of 4 images"),
        ("HHHn", "nearest", "chose nearest where HR was asked for"),
        ("HHHn", None, "chose nothing where HR was asked for"),
        ("", "HR", "has not compared HR with nearest"),
    ],
)
def test_who_fails_the_calibration(choices, calibration, fault):
    names = {"H": ("HR", "nearest"), "n": ("nearest", "HR")}
    own = [("s", str(number), *names[letter]) for number, letter in enumerate(choices)]
    assert rater("a", [*own, ("s", "p", "nearest", "bicubic")], calibration).fault() == fault


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "srgan_tf pairs 2"}, "format is 'srgan_tf pairs 2', not 'srgan_tf mos 1' or 'srgan_tf pairs 1'"),
        ({"format": "srgan_tf mos 1"}, "'system' is missing in .ratings"),
        ({"ratings": [CHOICE | {"winner": "srgan"}]}, "'srgan' was chosen, but not shown"),
        ({"ratings": [CHOICE | {"winner": None}]}, r"ratings\[0\].winner is None, not str"),
        ({"ratings": [CHOICE | {"systems": ["HR", "HR"]}]}, "a choice between HR and HR, not two systems"),
        (
            {"ratings": [CHOICE | {"systems": ["HR", "HR", "nearest"]}]},
            "a choice between HR and HR and nearest, not two",
        ),
        ({"ratings": [CHOICE | {"systems": []}]}, "a choice between nothing, not two systems"),
        ({"ratings": [CHOICE, CHOICE | {"systems": ["HR", "nearest"]}]}, "HR and nearest compared twice"),
        ({"ratings": [CHOICE | {"set": str(number)} for number in range(101)]}, "101 test sets"),
        ({"ratings": [CHOICE | {"systems": [str(n), "HR"]} for n in range(101)]}, "102 systems"),
        ({"rater": "a-0"}, "the same rater as in .*a.json"),
        ({"study": "another"}, "of another study than .*a.json"),
        ({"format": "srgan_tf mos 1", "ratings": []}, "of another study than .*a.json"),
    ],
)
def test_files_that_do_not_belong_are_refused(tmp_path, changes, message):
    first = saved(tmp_path / "a.json", "a", GOOD)
    with pytest.raises(UserError, match=message) as raised:
        mos.read_raters([first, saved(tmp_path / "b.json", "b", OTHER, **{"name": "b"} | changes)])
    assert "b.json" in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_score_prints_the_table_and_draws_the_intervals(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, winners in (("ann", GOOD), ("bob", OTHER), ("cy", ("000000", "111111", "000000"))):
        saved(tmp_path / f"{name}.json", name, winners)
    flags = ["evaluate.py", "--mode=mos", "--score", "ann.json", "bob.json", "cy.json"]
    assert evaluate.main([*flags, "--exclude_failed"]) == 0
    out = capsys.readouterr().out
    assert "cy (cy.json) fails the calibration: prefers nearest to HR on 2 of 3 images" in out
    assert "2 raters, 36 choices; 95 % intervals over the raters (Student's t)" in out
    lines = [line.split() for line in out.splitlines() if line.startswith("Set5")]
    assert [line[1] for line in lines] == ["HR", "srgan", "bicubic", "nearest"]
    assert lines[0][3] == "±" and lines[0][5:8] == ["15", "of", "18"]
    assert "agreement: two raters choose alike in 78% (Kendall's u 0.556" in out
    with Image.open(io.BytesIO((tmp_path / "mos.png").read_bytes())) as figure:
        assert (np.asarray(figure.convert("RGB")) == (0x21, 0x66, 0xAC)).all(-1).sum() > 100
    saved(tmp_path / "ann.json", "ann", ())
    assert evaluate.main([*flags[:4], "--overwrite"]) == 1 and "ann.json: no choices in it" in capsys.readouterr().err
