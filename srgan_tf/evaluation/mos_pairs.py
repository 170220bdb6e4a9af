"""The statistics of a study of pairs: from the raters' choices to scores of the Bradley-Terry model."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse, special, stats

from srgan_tf.evaluation.mos_page import EXPECTED, WORST
from srgan_tf.evaluation.records import HR

CONFIDENCE = 0.95  # of the intervals of the scores
_MOST_WRONG = 0.25  # of a rater's choices between HR and nearest
_NO_VARIANCE = 1e-12  # of a difference of scores, by rounding, where all raters chose alike


@dataclasses.dataclass(frozen=True)
class PairRater:
    """What one rater chose in a study of pairs.

    Attributes:
        name: As given, or else the page's number.
        path: Of the file.
        study: Which page it was.
        calibration: The system chosen where the page asked for HR; None if the rater did not get there.
        choices: Dict from `(set, picture, both systems)` to the one that was chosen.
    """

    name: str
    path: Path
    study: str
    calibration: str | None
    choices: Mapping[tuple[str, str, frozenset[str]], str]

    def fault(self) -> str | None:
        """Why this rater fails the calibration, or None.

        Where the page asks for HR, the rater chooses nearest neighbour; or, later and blind, does so for more than a
        quarter of the pictures.
        """
        if self.calibration != HR:
            return f"chose {self.calibration or 'nothing'} where {HR} was asked for"
        own = [winner for (_, _, systems), winner in self.choices.items() if systems == EXPECTED.keys()]
        if not own:
            return f"has not compared {HR} with {WORST}"
        if own.count(WORST) > _MOST_WRONG * len(own):
            return f"prefers {WORST} to {HR} on {own.count(WORST)} of {len(own)} images"
        return None


@dataclasses.dataclass(frozen=True)
class Preference:
    """How a system does against the others on a test set.

    Attributes:
        set: The test set's name.
        system: The system's name.
        score: Of the Bradley-Terry model, the mean of all finite ones 0: a system is preferred to another in 1 / (1 +
            exp(-d)) of the choices, d the difference of their scores. Infinite if no finite one is most likely, see
            `preferences`; NaN if it is not known which of the two infinities.
        margin: Half of the score's 95 % confidence interval; None if the score is not finite.
        chosen: How often it was chosen.
        shown: How often it was compared.
        p: Of the difference to the next system; None of the last one, where one of the scores is not finite, or
            where all raters chose alike.
    """

    set: str
    system: str
    score: float
    margin: float | None
    chosen: int
    shown: int
    p: float | None


def preferences(raters: Sequence[PairRater]) -> list[Preference]:
    """Bradley-Terry scores, set by set, the best system first.

    The intervals say what other raters would have chosen, on the same pictures: a rater's choices are not independent
    of each other, so that the covariance is clustered by rater, and Student's t has a degree of freedom less than there
    are raters. (In simulated studies of 2 to 26 raters with tastes of their own, 94 to 97 % of the intervals held the
    true score; of those that took all choices as independent, 82 to 91 %.) Of a single rater, they say what he would
    choose another time, if his choices were independent.

    A maximum of the likelihood exists only among systems each of which was chosen over each other, be it by way of
    third ones (Ford 1957). The largest such group has finite scores; whoever always, or never, is chosen against it has
    an infinite one.
    """
    by_set: dict[str, list[tuple[int, str, str]]] = {}  # set -> (rater, winner, loser)
    for number, rater in enumerate(raters):
        for (set_name, _, systems), winner in rater.choices.items():
            (loser,) = systems - {winner}
            by_set.setdefault(set_name, []).append((number, winner, loser))
    return [preference for set_name, choices in by_set.items() for preference in _of_set(set_name, choices)]


def _of_set(set_name, choices):
    systems = sorted({system for _, *both in choices for system in both})
    places = {system: place for place, system in enumerate(systems)}
    raters = list(dict.fromkeys(number for number, _, _ in choices))
    wins = np.zeros((len(raters), len(systems), len(systems)))  # how often each chose the row over the column
    for number, winner, loser in choices:
        wins[raters.index(number), places[winner], places[loser]] += 1
    total = wins.sum(0)
    chosen, shown = total.sum(1), (total + total.T).sum(1)
    group, scores = connected(total)
    if len(group):
        scores[group], covariance = bradley_terry(wins[:, group][:, :, group])
    quantiles = stats.t(len(raters) - 1) if len(raters) > 1 else stats.norm()
    factor = quantiles.ppf((1 + CONFIDENCE) / 2)
    order = np.lexsort((-chosen / shown, -np.nan_to_num(scores)))
    for index, following in zip(order, [*order[1:], None]):
        margin = p = None
        if index in group:
            margin = float(factor * math.sqrt(_variance(covariance, group == index)))
        if index in group and following in group:
            variance = _variance(covariance, (group == index) * 1 - (group == following))
            if variance > _NO_VARIANCE:
                p = float(2 * quantiles.sf((scores[index] - scores[following]) / math.sqrt(variance)))
        score, counts = float(scores[index]), (int(chosen[index]), int(shown[index]))
        yield Preference(set_name, systems[index], score, margin, *counts, p)


def _variance(covariance, weights):
    """The variance of a sum of scores with weights; at least 0, which rounding may miss."""
    return max(0.0, float(weights @ covariance @ weights))


def connected(wins: NDArray[np.float64]) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """The systems that can have finite scores: the largest group that is strongly connected by choices.

    Args:
        wins: How often the row's system was chosen over the column's, `(systems, systems)`.

    Returns:
        `(group, scores)`: the group's numbers, none if no two systems were each chosen over the other; and a score for
        each system: 0 in the group, infinity of whoever is better or worse than all of it, NaN of others.
    """
    _, labels = sparse.csgraph.connected_components(wins, connection="strong")
    group = np.flatnonzero(labels == np.bincount(labels).argmax())
    scores = np.full(len(wins), np.nan)
    if len(group) == 1:
        return group[:0], scores
    reached = np.isfinite(sparse.csgraph.shortest_path(wins, unweighted=True))
    scores[reached[:, group[0]]] = np.inf
    scores[reached[group[0]]] = -np.inf
    scores[group] = 0
    return group, scores


def bradley_terry(wins: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of the Bradley-Terry model by maximum likelihood, P(i over j) = 1 / (1 + exp(s_j - s_i)).

    Args:
        wins: How often each rater chose the row's system over the column's, `(raters, systems, systems)`; their sum
            strongly connected, see `connected`.

    Returns:
        `(scores, covariance)`: `(systems,)`, the mean 0, and `(systems, systems)`. The covariance of two raters or more
        is clustered by rater (Liang and Zeger 1986, with G / (G - 1) of G raters), of one it is the inverse of the
        information, of which the choices are taken as independent.
    """
    total = wins.sum(0)

    def cost(scores):
        return (total * np.logaddexp(0, scores - scores[:, None])).sum()

    def gradient(scores, own=total):
        unexpected = own * special.expit(scores - scores[:, None])
        return unexpected.sum(-2) - unexpected.sum(-1)

    def information(scores):
        chance = special.expit(scores - scores[:, None])
        weights = (total + total.T) * chance * chance.T
        return np.diag(weights.sum(1)) - weights

    found = optimize.minimize(  # the first score stays 0, since only differences matter
        lambda others: cost(np.append(0, others)),
        np.zeros(len(total) - 1),
        jac=lambda others: gradient(np.append(0, others))[1:],
        hess=lambda others: information(np.append(0, others))[1:, 1:],
        method="trust-exact",
        options={"gtol": 1e-9},
    )
    scores = np.append(0, found.x)
    scores -= scores.mean()
    covariance = np.linalg.pinv(information(scores), hermitian=True)
    if len(wins) > 1:
        pulls = gradient(scores, wins)  # (raters, systems)
        covariance = covariance @ (pulls.T @ pulls) @ covariance * len(wins) / (len(wins) - 1)
    return scores, covariance


def agreement(raters: Sequence[PairRater]) -> float | None:
    """How often two raters agree on a pair, as Kendall's u: 1 is always, 0 is in half of the cases, chance.

    It is that of Kendall and Babington Smith (1940), of all pairs that two raters have in common; None without any.
    """
    same = shared = 0
    for key in {key for rater in raters for key in rater.choices}:
        given = [rater.choices[key] for rater in raters if key in rater.choices]
        shared += math.comb(len(given), 2)
        same += sum(math.comb(given.count(system), 2) for system in key[2])
    return 2 * same / shared - 1 if shared else None
