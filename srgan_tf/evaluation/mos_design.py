"""The design of a study of opinions: how many raters it needs, and which pairs they compare."""

import math
from collections.abc import Mapping, Sequence

from scipy import stats

SIGNIFICANCE, POWER = 0.05, 0.8  # the t test's, two-sided
_TEST = f"paired t test, two-sided at {SIGNIFICANCE:g}, power {POWER:g}"
TOLD_APART = 0.2  # points between two mean opinion scores
PREFERENCE = 0.6  # part of the choices that are for one of two systems
MAX_PAIRS = 200  # that a rater compares: a quarter of an hour at 4 or 5 s each; BT.500 allows half an hour
# Of the difference of two systems' scores on a picture, standard deviations of what differs between raters: what a
# rater finds on all pictures, and what he finds on this one besides. Computed from the 24 people's scores, 1 to 5, of
# 9 systems on 8 scenes in VQEG's experiment HD3 (2010; published in Netflix's package `sureal`): variance components,
# the mean of all 36 pairs of systems.
_BETWEEN_RATERS, _BETWEEN_PICTURES = 0.32, 0.79


def raters_needed(difference: float, deviation: float) -> int:
    """How many raters a paired t test needs to find a difference, by its power under the noncentral t distribution.

    Args:
        difference: Between the means of two systems, above 0.
        deviation: Standard deviation of the raters' own differences, above 0.

    Returns:
        The least number, 2 or more, with a power of `POWER` at `SIGNIFICANCE`.
    """

    def power(raters):
        critical = stats.t.ppf(1 - SIGNIFICANCE / 2, raters - 1)
        return stats.nct.sf(critical, raters - 1, difference / deviation * math.sqrt(raters))

    low, high = 1, 2  # bisected, as the power grows with the raters
    while power(high) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high


def score_deviation(pictures: int) -> float:
    """What `raters_needed` is to assume of a rater's mean difference between two systems, in points of five.

    Args:
        pictures: Of each system, 1 or more.
    """
    return math.hypot(_BETWEEN_RATERS, _BETWEEN_PICTURES / math.sqrt(pictures))


def scores_plan(pictures: Mapping[str, int]) -> str:
    """The raters that a study of scores needs, in a line; `pictures` has how many there are, by the test set's name."""
    found = []
    for name, count in pictures.items():
        deviation = score_deviation(count)
        found.append(f"{raters_needed(TOLD_APART, deviation)} on {name} (SD {deviation:.2f})")
    return (
        f"raters needed to tell two systems {TOLD_APART} points apart: {', '.join(found)}; {_TEST};"
        " SD of a rater's mean difference, estimated from the raters of VQEG's experiment HD3"
    )


def pairs_plan(pictures: Mapping[str, int], systems: int) -> str:
    """The raters that a study of pairs needs, in a line; `pictures` as of `scores_plan`.

    A rater's share of choices between two systems has a standard deviation of 0.5 / sqrt(n), n of them being
    independent.
    """
    part = rounds_each(sum(pictures.values()), systems) / all_rounds(systems)  # of the pictures, for two systems
    found = [
        f"{raters_needed(PREFERENCE - 0.5, 0.5 / math.sqrt(count * part))} on {name} ({count * part:g} choices a rater)"
        for name, count in pictures.items()
    ]
    return (
        f"raters needed to tell that one system is preferred to another in {PREFERENCE:g} of the choices:"
        f" {', '.join(found)}; {_TEST}; more if a rater's choices depend on each other"
    )


def rounds_each(pictures: int, systems: int) -> int:
    """How many rounds the systems, 2 or more, play on each picture: all, if `MAX_PAIRS` allows; at least one."""
    return min(max(1, MAX_PAIRS // (pictures * (systems // 2))), all_rounds(systems))


def all_rounds(systems: int) -> int:
    """The rounds of a tournament in which each of the systems meets every other once."""
    return systems - 1 + systems % 2


def pairs_of(number: int, pictures: int, systems: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of systems that are compared on picture `number`, from 0.

    All of them, if a rater has no more than `MAX_PAIRS` so; else rounds of a tournament by the circle method, other
    ones on the next picture: on each picture all systems appear equally often, and over the pictures all pairs do (a
    balanced incomplete design: David 1988, The Method of Paired Comparisons, chapter 5). The first and the last of the
    systems meet in the first round.
    """
    ring: list[str | None] = list(systems)
    if len(ring) % 2:
        ring.insert(1, None)  # whoever meets it has no comparison in this round
    rounds = []
    for _ in range(len(ring) - 1):
        facing = zip(ring[: len(ring) // 2], reversed(ring))
        rounds.append([(one, other) for one, other in facing if one is not None and other is not None])
        ring = [ring[0], ring[-1], *ring[1:-1]]
    each = rounds_each(pictures, len(systems))
    return [pair for played in range(each) for pair in rounds[(number * each + played) % len(rounds)]]
