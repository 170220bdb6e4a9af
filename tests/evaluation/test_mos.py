"""The statistics against published examples, and raters' files that are not as they should be."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

import evaluate
from srgan_tf.evaluation import mos, mos_report
from srgan_tf.evaluation.mos import Rater
from srgan_tf.system.errors import UserError

# Krippendorff's "C" data: four coders, twelve units (Computing Krippendorff's Alpha-Reliability, 2011, section C).
CODERS = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""
# Student 1908, The probable error of a mean: hours of sleep gained by ten patients, by each of two drugs.
SLEEP = ((0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0), (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4))


RATING = {"set": "Set5", "picture": "baby", "system": "srgan", "score": 3}


def rater(name, ratings, calibration=None):
    """A `Rater`; `ratings` from `(picture, system)` to the score."""
    own = {("Set5", picture, system): score for (picture, system), score in ratings.items()}
    return Rater(name, f"{name}.json", "s", calibration or {"nearest": 1, "HR": 5}, own)


def saved(path, who, scores, **changes):
    """Writes a rater's file as the page does: `scores` from system to those of two pictures."""
    ratings = [
        {"set": "Set5", "picture": "baby", "system": system, "expected": score, "score": score, "place": n}
        for n, (system, score) in enumerate((("nearest", 1), ("HR", 5)))
    ] + [
        {"set": "Set5", "picture": picture, "system": system, "score": score, "place": 3}
        for system, both in scores.items()
        for picture, score in zip(("baby", "bird"), both)
    ]
    content = {
        "format": "srgan_tf mos 1",
        "study": "abc",
        "title": "t",
        "rater": f"{who}-0",
        "name": who,
        "items": 8,
        "ratings": ratings,
    }
    path.write_text(json.dumps(content | changes))
    return path


GOOD = {"nearest": (1, 1), "bicubic": (2, 2), "srgan": (4, 3), "HR": (5, 5)}
OTHER = {"nearest": (1, 2), "bicubic": (3, 2), "srgan": (5, 4), "HR": (5, 4)}


def test_agreement_is_that_of_krippendorffs_example():
    pytest.importorskip("krippendorff")
    lines = [line.split() for line in CODERS.strip().splitlines()]
    raters = [
        rater(str(n), {(f"{unit:02}", "x"): int(text) for unit, text in enumerate(line) if text != "."})
        for n, line in enumerate(lines)
    ]
    assert mos.agreement(raters) == pytest.approx(0.815, abs=5e-4)


def test_agreement_is_unknown_of_one_rater_or_one_score():
    pytest.importorskip("krippendorff")
    assert mos.agreement([rater("a", {("p", "x"): 1, ("q", "x"): 4})]) is None
    assert mos.agreement([rater("a", {("p", "x"): 3}), rater("b", {("p", "x"): 3})]) is None


def test_agreement_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    with pytest.raises(UserError, match=r"pip install 'srgan_tf\[mos\]'"):
        mos.agreement([rater("a", {("p", "x"): 3})])


def test_the_interval_is_that_of_students_example():
    """R's documentation of t.test(sleep, paired): 1.58 with a 95 % interval from 0.7001142 to 2.4598858."""
    mean, margin = mos.mean_and_margin(list(np.subtract(SLEEP[1], SLEEP[0])))
    assert (mean - margin, mean + margin) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert mos.mean_and_margin([3.0]) == (3.0, None)


def test_opinions_are_means_of_the_raters_means():
    raters = [
        rater("a", {("p", "x"): 1, ("q", "x"): 3, ("p", "y"): 5}),
        rater("b", {("p", "x"): 4, ("p", "y"): 4, ("q", "y"): 2}),
    ]
    y, x = mos.opinions(raters)
    assert (x.system, x.mean, x.counts) == ("x", 3.0, (1, 0, 1, 1, 0))  # of 2 and 4
    assert (y.system, y.mean, y.counts) == ("y", 4.0, (0, 1, 0, 1, 1))  # of 5 and 3
    assert x.margin == pytest.approx(12.706, abs=1e-3)  # t of one degree of freedom, error 1


@pytest.mark.parametrize(
    "ratings, calibration, fault",
    [
        ({("p", "nearest"): 2, ("p", "HR"): 3}, None, None),
        ({("p", "nearest"): 2, ("p", "HR"): 3}, {"nearest": 2, "HR": 5}, "gave nearest 2 where 1 was asked for"),
        ({("p", "nearest"): 2, ("p", "HR"): 3}, {"nearest": 1}, "gave HR nothing where 5 was asked for"),
        ({("p", "nearest"): 2, ("p", "HR"): 2}, None, r"finds HR \(2.00\) no better than nearest \(2.00\) by a point"),
        ({("p", "nearest"): 2}, None, "has not rated HR"),
    ],
)
def test_who_fails_the_calibration(ratings, calibration, fault):
    import re

    found = rater("a", ratings, calibration).fault()
    assert found is None if fault is None else re.search(fault, found)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "other"}, "not a rater's file.*'other'"),
        ({"ratings": [RATING | {"score": 6}]}, "a score of 6"),
        ({"ratings": [RATING, RATING | {"score": 1}]}, "rated twice"),
        ({"ratings": [RATING | {"score": True}]}, r"ratings\[0\].score is True, not int"),
        ({"ratings": [{"score": 3}]}, "not a rater's file"),
        ({"ratings": [RATING | {"system": ["srgan"]}]}, r"ratings\[0\].system is list, not str"),
        ({"ratings": [RATING | {"set": str(number)} for number in range(101)]}, "101 test sets"),
        ({"items": 1e400}, "items is inf, not int"),
        ({"study": None}, "study is None, not str"),
        ({"name": "x", "rater": "a-0"}, "the same rater as in .*a.json"),
        ({"study": "another"}, "of another study than .*a.json"),
    ],
)
def test_files_that_do_not_belong_are_refused(tmp_path, changes, message):
    first = saved(tmp_path / "a.json", "a", GOOD)
    with pytest.raises(UserError, match=message) as raised:
        mos.read_raters([first, saved(tmp_path / "b.json", "b", OTHER, **changes)])
    assert "b.json" in str(raised.value)


def test_files_that_are_missing_or_damaged_are_refused(tmp_path):
    (tmp_path / "half.json").write_text('{"format": "srgan')
    for name, message in (("half.json", "not a rater's file"), ("none.json", "No such file")):
        with pytest.raises(UserError, match=f"{name}: .*{message}"):
            mos.read_raters([tmp_path / name])


def test_the_figure_has_a_bar_for_each_system():
    found = mos.opinions([rater("a", {("p", system): score for score, system in enumerate("vwxyz", 1)})])
    with Image.open(io.BytesIO(mos_report.distributions(found))) as figure:
        pixels = np.asarray(figure.convert("RGB"))
    for color in ((0xB2, 0x18, 0x2B), (0xEF, 0x8A, 0x62), (0xD9, 0xD9, 0xD9), (0x67, 0xA9, 0xCF), (0x21, 0x66, 0xAC)):
        assert (pixels == color).all(-1).sum() > 1000


def test_the_figure_takes_names_that_are_no_formula_and_no_text():
    found = mos.opinions([rater("a", {("p", system): 3 for system in ("$a_b^", "ne\udcffar")})])
    with Image.open(io.BytesIO(mos_report.distributions(found))) as figure:
        assert min(figure.size) > 100


def test_score_prints_the_table_with_the_published_rows(tmp_path, monkeypatch, capsys):
    pytest.importorskip("krippendorff")
    monkeypatch.chdir(tmp_path)
    for name, scores in (("ann", GOOD), ("bob", OTHER), ("cy", GOOD | {"HR": (1, 1)})):
        saved(tmp_path / f"{name}.json", name, scores)
    flags = ["evaluate.py", "--mode=mos", "--score", "ann.json", "bob.json", "cy.json"]
    assert evaluate.main([*flags, "--exclude_failed"]) == 0
    out = capsys.readouterr().out
    assert "cy (cy.json) fails the calibration: finds HR (1.00)" in out and "2 raters, 16 ratings" in out
    lines = {line.split("  ")[0]: line.split() for line in out.splitlines() if line}
    assert lines["srgan"][1:] == ["4.00", "±", "6.35"]  # means of 3.5 and 4.5: error 0.5, t 12.706
    assert lines["SRGAN-VGG54 (published)"][2] == "3.58"
    assert "Krippendorff's alpha" in out and (tmp_path / "mos.png").is_file()
    assert evaluate.main(flags) == 1
    assert capsys.readouterr().err == "srgan: error: mos.png: exists already; --overwrite replaces it\n"
    assert evaluate.main([*flags, "--overwrite"]) == 0 and "3 raters" in capsys.readouterr().out


def test_who_has_rated_nothing_does_not_count(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "ann.json", "ann", GOOD)
    saved(tmp_path / "idle.json", "idle", {})
    assert evaluate.main(["evaluate.py", "--mode=mos", "--score", "ann.json", "idle.json"]) == 0
    out = capsys.readouterr().out
    assert "1 rater, 8 ratings" in out and "idle (idle.json) has rated nothing and does not count" in out
    assert evaluate.main(["evaluate.py", "--mode=mos", "--score", "idle.json", "--output=new"]) == 1
    assert "idle.json: no ratings in it" in capsys.readouterr().err


def test_the_table_does_without_the_package_of_the_agreement(monkeypatch):
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    raters = [rater("a", {("p", "x"): 3}), rater("b", {("p", "x"): 4})]
    lines = mos_report.text(raters, mos.opinions(raters)).splitlines()
    assert any(line.startswith("x ") and "3.50" in line for line in lines)
    assert lines[-1] == "agreement: not known; it needs one more package: pip install 'srgan_tf[mos]'"


def test_mistakes_in_the_flags_get_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.json", "a", GOOD | {"HR": (1, 1)})
    (tmp_path / "there.html").write_text("")
    for status, flags, message in (
        (2, [], "`mos make` writes the page"),
        (2, ["--make", "--score=a.json"], "'score'"),
        (1, ["--score=a.json", "--exclude_failed"], "leaves no rater"),
        (2, ["--make", "--output=page.txt"], "must end in .html"),
        (1, ["--make", "--output=there.html"], "exists already"),
    ):
        assert evaluate.main(["evaluate.py", "--mode=mos", *flags]) == status
        err = capsys.readouterr().err
        assert message in err and len(err.splitlines()) == 1
