"""The statistics of a study of opinions: from the raters' files to mean opinion scores."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal, NotRequired, TypedDict

import numpy as np
from scipy import stats

from srgan_tf.evaluation.mos_page import EXPECTED, WORST
from srgan_tf.evaluation.records import HR
from srgan_tf.system.errors import UserError, file_errors
from srgan_tf.system.json_files import read_json

SCORES = range(1, 6)
CONFIDENCE = 0.95  # of the intervals of the means
_MAX_SHOWN = 100  # test sets, and systems
_MIN_GAP = 1.0  # points that a rater's mean of HR must be above that of nearest


class _Rating(TypedDict):
    """A score of a rater's file; one that was asked for says which."""

    set: str
    picture: str
    system: str
    score: int
    expected: NotRequired[int]


class _Saved(TypedDict):
    """A rater's file."""

    format: Literal["srgan_tf mos 1"]
    study: str
    rater: str
    name: str
    items: int
    ratings: list[_Rating]


@dataclasses.dataclass(frozen=True)
class Rater:
    """What one rater said.

    Attributes:
        name: As given, or else the page's number.
        path: Of the file.
        study: Which page it was.
        items: How many pictures the page has.
        calibration: Dict from system, nearest and HR, to the score given where the page asked for a certain one.
        ratings: Dict from `(set, picture, system)` to the score, 1 to 5.
    """

    name: str
    path: Path
    study: str
    items: int
    calibration: Mapping[str, int]
    ratings: Mapping[tuple[str, str, str], int]

    def fault(self) -> str | None:
        """Why this rater fails the calibration, or None.

        Where the page asks for certain scores, the rater gives others; or, later and blind, does not find the originals
        better by a point than nearest neighbour.
        """
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
    """What the raters think of a system on a test set.

    Attributes:
        set: The test set's name.
        system: The system's name.
        mean: The mean opinion score, 1 to 5: the mean of the raters' means.
        margin: Half of its 95 % confidence interval, see `mean_and_margin`.
        raters: How many.
        counts: How often each score was given, 1 to 5.
    """

    set: str
    system: str
    mean: float
    margin: float | None
    raters: int
    counts: tuple[int, ...]


def read_raters(paths: Iterable[Path | str]) -> list[Rater]:
    """Reads the files that raters saved.

    Args:
        paths: Of the files.

    Returns:
        A list of `Rater`.

    Raises:
        UserError: A file is missing, damaged or not a rater's, a rater is there twice, or the studies differ.
    """
    raters: list[Rater] = []
    known: dict[str, Path] = {}
    for path in map(Path, paths):
        rater, number = _read(path)
        if number in known:
            raise UserError(f"{path}: the same rater as in {known[number]}; leave one of them out")
        known[number] = path
        if raters and rater.study != raters[0].study:
            raise UserError(f"{path}: of another study than {raters[0].path}; score them separately")
        raters.append(rater)
    return raters


def _read(path):
    fault = "not a rater's file, as the page of `srgan mos make` saves it"
    saved = read_json(path, _Saved, fault)
    with file_errors(path, fault):
        calibration, ratings = {}, {}
        for entry in saved["ratings"]:
            if (score := entry["score"]) not in SCORES:
                raise ValueError(f"a score of {score}")
            if "expected" in entry:
                calibration[entry["system"]] = score
            else:
                ratings[entry["set"], entry["picture"], entry["system"]] = score
        for what, names in (("test sets", {key[0] for key in ratings}), ("systems", {key[2] for key in ratings})):
            if len(names) > _MAX_SHOWN:
                raise ValueError(f"{len(names)} {what}, more than the figure has room for")
    rater = Rater(saved["name"] or saved["rater"], path, saved["study"], saved["items"], calibration, ratings)
    return rater, saved["rater"]


def opinions(raters: Iterable[Rater]) -> list[Opinion]:
    """The mean opinion scores, set by set, the best system first.

    Args:
        raters: `Rater`s.

    Returns:
        A list of `Opinion`.
    """
    by_rater: dict[tuple[str, str], dict[int, list[int]]] = {}  # (set, system) -> a list for each rater
    for number, rater in enumerate(raters):
        for (set_name, _, system), score in rater.ratings.items():
            by_rater.setdefault((set_name, system), {}).setdefault(number, []).append(score)
    found = []
    for (set_name, system), own in by_rater.items():
        mean, margin = mean_and_margin([fmean(scores) for scores in own.values()])
        given = [score for scores in own.values() for score in scores]
        found.append(Opinion(set_name, system, mean, margin, len(own), tuple(map(given.count, SCORES))))
    sets = list(dict.fromkeys(opinion.set for opinion in found))
    return sorted(found, key=lambda opinion: (sets.index(opinion.set), -opinion.mean))


def mean_and_margin(values: Sequence[float]) -> tuple[float, float | None]:
    """A mean and half of its 95 % confidence interval, by Student's t.

    The values are the raters' own means, since a rater's scores are not independent of each other: the interval says
    what other raters would have found, on the same pictures.

    Args:
        values: One a rater.

    Returns:
        `(mean, margin)`; the margin is None for a single value.
    """
    if len(values) < 2:
        return fmean(values), None
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return fmean(values), float(error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))


def agreement(raters: Sequence[Rater]) -> float | None:
    """Krippendorff's alpha of the raters, for ordinal scores: 1 is perfect agreement, 0 is chance.

    Args:
        raters: `Rater`s.

    Returns:
        A float; None for a single rater, or where all scores are the same.

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
