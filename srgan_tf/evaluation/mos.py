"""Mean opinion scores from the raters' files of a study."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NotRequired, TypedDict

import numpy as np
from scipy import stats

from srgan_tf.evaluation.mos_page import EXPECTED, PAIRS_FORMAT, SCORES_FORMAT, WORST
from srgan_tf.evaluation.mos_pairs import PairRater
from srgan_tf.evaluation.records import HR
from srgan_tf.system.errors import UserError, file_errors
from srgan_tf.system.json_files import check_shape, read_json

SCORES = range(1, 6)
CONFIDENCE = 0.95  # of the intervals of the means
_MAX_SHOWN = 100  # test sets, and systems, in the figure
_MIN_GAP = 1.0  # points by which a rater's mean of HR must exceed that of nearest


class _Rating(TypedDict):
    """A score in a rater's file; in the calibration with the expected score."""

    set: str
    picture: str
    system: str
    score: int
    expected: NotRequired[int]


class _Choice(TypedDict):
    """A choice between two systems in a rater's file; in the calibration with the expected one."""

    set: str
    picture: str
    systems: list[str]
    winner: str
    expected: NotRequired[str]


class _Saved(TypedDict):
    """A rater's file, of either kind of study."""

    format: str
    study: str
    rater: str
    name: str
    items: int


class _SavedScores(_Saved):
    ratings: list[_Rating]


class _SavedChoices(_Saved):
    ratings: list[_Choice]


@dataclasses.dataclass(frozen=True)
class Rater:
    """The scores of one rater.

    Attributes:
        name: As given, or else the page's number.
        path: The rater's file.
        study: The identifier of the page.
        calibration: Dict from system, nearest and HR, to the score in the calibration.
        ratings: Dict from `(set, picture, system)` to the score, 1 to 5.
    """

    name: str
    path: Path
    study: str
    calibration: Mapping[str, int]
    ratings: Mapping[tuple[str, str, str], int]

    def fault(self) -> str | None:
        """Why this rater fails the calibration, or None: other scores in the calibration than the page asks for; or,
        later and blind, a mean for HR that is not a point above that of nearest neighbour."""
        for system, expected in EXPECTED.items():
            given = self.calibration.get(system)
            if given != expected:
                return f"gave {system} {'nothing' if given is None else given} where {expected} was asked for"
        means = {}
        for wanted in EXPECTED:
            own = [score for (_, _, system), score in self.ratings.items() if system == wanted]
            if not own:
                return f"has not rated {wanted}"
            means[wanted] = fmean(own)
        if means[HR] < means[WORST] + _MIN_GAP:
            return f"finds {HR} ({means[HR]:.2f}) no better than {WORST} ({means[WORST]:.2f}) by a point"
        return None


@dataclasses.dataclass(frozen=True)
class Opinion:
    """The opinion of all raters on a system on a test set.

    Attributes:
        mean: The mean opinion score, 1 to 5: the mean of the raters' means.
        margin: Half of its 95 % confidence interval, see `mean_and_margin`.
        counts: The number of times that each score, 1 to 5, was given.
    """

    set: str
    system: str
    mean: float
    margin: float | None
    counts: tuple[int, ...]


def read_raters(paths: Iterable[Path | str]) -> list[Rater] | list[PairRater]:
    """Reads the raters' files; `PairRater`s if they compared pairs.

    Raises:
        UserError: A file is missing, damaged or not a rater's, two are of one rater, or they are of different studies.
    """
    raters: list = []
    known: dict[str, Path] = {}
    for path in map(Path, paths):
        rater, number = _read(path)
        if number in known:
            raise UserError(f"{path}: the same rater as in {known[number]}; leave one of them out")
        known[number] = path
        if raters and (type(rater), rater.study) != (type(raters[0]), raters[0].study):
            raise UserError(f"{path}: of another study than {raters[0].path}; score them separately")
        raters.append(rater)
    return raters


def _read(path):
    fault = "not a rater's file, as the page of `srgan mos make` saves it"
    saved = read_json(path, _Saved, fault)
    with file_errors(path, fault):
        if saved["format"] not in _READERS:
            raise ValueError(f"format is {saved['format'][:40]!r}, not {' or '.join(map(repr, _READERS))}")
        read, shape = _READERS[saved["format"]]
        check_shape(saved, shape)
        rater = read(path, saved)
    return rater, saved["rater"]


def _read_scores(path, saved):
    calibration, ratings = {}, {}
    for entry in saved["ratings"]:
        if (score := entry["score"]) not in SCORES:
            raise ValueError(f"a score of {score}")
        if "expected" in entry:
            calibration[entry["system"]] = score
            continue
        key = (entry["set"], entry["picture"], entry["system"])
        if key in ratings:
            raise ValueError(f"{' '.join(key)[:80]} rated twice")
        ratings[key] = score
    _check_room({key[0] for key in ratings}, {key[2] for key in ratings})
    return Rater(saved["name"] or saved["rater"], path, saved["study"], calibration, ratings)


def _read_choices(path, saved):
    calibration, choices = None, {}
    for entry in saved["ratings"]:
        systems, winner = entry["systems"], entry["winner"]
        if len(set(systems)) != 2 or len(systems) != 2:
            raise ValueError(f"a choice between {' and '.join(systems)[:80] or 'nothing'}, not two systems")
        if winner not in systems:
            raise ValueError(f"{winner[:40]!r} was chosen, but not shown")
        if "expected" in entry:
            calibration = winner
            continue
        key = (entry["set"], entry["picture"], frozenset(systems))
        if key in choices:
            raise ValueError(f"{' and '.join(systems)[:80]} compared twice")
        choices[key] = winner
    _check_room({key[0] for key in choices}, {system for key in choices for system in key[2]})
    return PairRater(saved["name"] or saved["rater"], path, saved["study"], calibration, choices)


_READERS = {SCORES_FORMAT: (_read_scores, _SavedScores), PAIRS_FORMAT: (_read_choices, _SavedChoices)}


def _check_room(sets, systems):
    for what, names in (("test sets", sets), ("systems", systems)):
        if len(names) > _MAX_SHOWN:
            raise ValueError(f"{len(names)} {what}, more than the figure has room for")


def opinions(raters: Iterable[Rater]) -> list[Opinion]:
    """The mean opinion scores, set by set, the best system first."""
    by_rater: dict[tuple[str, str], dict[int, list[int]]] = {}  # (set, system) -> a list for each rater
    for number, rater in enumerate(raters):
        for (set_name, _, system), score in rater.ratings.items():
            by_rater.setdefault((set_name, system), {}).setdefault(number, []).append(score)
    found = []
    for (set_name, system), own in by_rater.items():
        mean, margin = mean_and_margin([fmean(scores) for scores in own.values()])
        given = [score for scores in own.values() for score in scores]
        found.append(Opinion(set_name, system, mean, margin, tuple(map(given.count, SCORES))))
    sets = list(dict.fromkeys(opinion.set for opinion in found))
    return sorted(found, key=lambda opinion: (sets.index(opinion.set), -opinion.mean))


def mean_and_margin(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of the raters' means and half of its 95 % confidence interval by Student's t, None for a single value.

    The interval is over raters, since the scores of one rater are not independent: it says what to expect of other
    raters on the same images.
    """
    if len(values) < 2:
        return fmean(values), None
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return fmean(values), float(error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))


def agreement(raters: Sequence[Rater]) -> float | None:
    """Krippendorff's alpha of the raters for ordinal scores: 1 is perfect agreement, 0 is chance; None for a single
    rater, or if all scores are equal.

    Raises:
        UserError: The package `krippendorff` is not installed.
    """
    try:
        import krippendorff
    except ImportError:
        raise UserError("it needs one more package: pip install 'srgan_tf[mos]'") from None
    keys = sorted({key for rater in raters for key in rater.ratings})
    table = np.array([[rater.ratings.get(key, np.nan) for key in keys] for rater in raters])
    shared = table[:, (~np.isnan(table)).sum(0) > 1]
    if len(np.unique(shared[~np.isnan(shared)])) < 2:
        return None
    return float(krippendorff.alpha(shared, level_of_measurement="ordinal"))
