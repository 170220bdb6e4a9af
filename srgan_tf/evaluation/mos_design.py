"""The design of a study of opinions: the number of raters, and the pairs that they compare."""

import math
from collections.abc import Mapping, Sequence

from scipy import stats

SIGNIFICANCE, POWER = 0.05, 0.8  # of a two-sided t test
_TEST = f"paired t test, two-sided at {SIGNIFICANCE:g}, power {POWER:g}"
TOLD_APART = 0.2  # points between two mean opinion scores to detect
PREFERENCE = 0.6  # share of the choices for one of two systems to detect
MAX_PAIRS = 200  # for each rater: a quarter of an hour at 4 or 5 s each; BT.500 allows half an hour
# Standard deviations of the difference of two systems' scores on an image between raters: of the part that is the same
# on all images, and of the part that changes from image to image. These are variance components of the scores, 1 to 5,
# of 24 people for 9 systems on 8 scenes in VQEG's experiment HD3 (2010; published in Netflix's package `sureal`), the
# mean of all 36 pairs of systems.
_BETWEEN_RATERS, _BETWEEN_PICTURES = 0.32, 0.79


def raters_needed(difference: float, deviation: float) -> int:
    """The number of raters for a paired t test to find a difference, by its power (noncentral t distribution).

    Args:
        difference: Between the means of two systems, above 0.
        deviation: Standard deviation of the raters' own differences, above 0.

    Returns:
        The smallest number, 2 or more, with a power of `POWER` at `SIGNIFICANCE`.
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
    """The standard deviation to assume for a rater's mean difference between two systems on so many images, points."""
    return math.hypot(_BETWEEN_RATERS, _BETWEEN_PICTURES / math.sqrt(pictures))


def scores_plan(pictures: Mapping[str, int]) -> str:
    """The number of raters for a study of scores, in a line; `pictures` is the number of images by test set."""
    found = []
    for name, count in pictures.items():
        deviation = score_deviation(count)
        found.append(f"{raters_needed(TOLD_APART, deviation)} on {name} (SD {deviation:.2f})")
    return (
        f"raters needed to tell two systems {TOLD_APART} points apart: {', '.join(found)}; {_TEST};"
        " SD of a rater's mean difference, estimated from the raters of VQEG's experiment HD3"
    )


def pairs_plan(pictures: Mapping[str, int], systems: int) -> str:
    """The number of raters for a study of pairs, in a line; `pictures` is the number of images by test set.

    A rater's share of n independent choices between two systems has a standard deviation of 0.5 / sqrt(n).
    """
    part = rounds_each(sum(pictures.values()), systems) / all_rounds(systems)  # share of images where two systems meet
    found = [
        f"{raters_needed(PREFERENCE - 0.5, 0.5 / math.sqrt(count * part))} on {name} ({count * part:g} choices a rater)"
        for name, count in pictures.items()
    ]
    return (
        f"raters needed to tell that one system is preferred to another in {PREFERENCE:g} of the choices:"
        f" {', '.join(found)}; {_TEST}; more if a rater's choices depend on each other"
    )


def rounds_each(pictures: int, systems: int) -> int:
    """The number of rounds of the tournament on each image: all if `MAX_PAIRS` allows, at least one."""
    return min(max(1, MAX_PAIRS // (pictures * (systems // 2))), all_rounds(systems))


def all_rounds(systems: int) -> int:
    """The rounds of a tournament in which each of the systems meets every other once."""
    return systems - 1 + systems % 2


def pairs_of(number: int, pictures: int, systems: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of systems that are compared on picture `number`, from 0.

    All pairs, if a rater then has no more than `MAX_PAIRS`; else some rounds of a tournament by the circle method, and
    the next rounds on the next image. On each image all systems appear equally often, and over the images all pairs do
    (a balanced incomplete design: David 1988, The Method of Paired Comparisons, chapter 5). The first and the last
    system meet in the first round.
    """
    ring: list[str | None] = list(systems)
    if len(ring) % 2:
        ring.insert(1, None)  # the system that meets it pauses in this round
    rounds = []
    for _ in range(len(ring) - 1):
        facing = zip(ring[: len(ring) // 2], reversed(ring))
        rounds.append([(one, other) for one, other in facing if one is not None and other is not None])
        ring = [ring[0], ring[-1], *ring[1:-1]]
    each = rounds_each(pictures, len(systems))
    return [pair for played in range(each) for pair in rounds[(number * each + played) % len(rounds)]]
