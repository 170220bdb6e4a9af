"""How sure a difference between two systems is."""

import dataclasses
import itertools
import math

import numpy as np
from scipy.stats import bootstrap

from srgan_tf.evaluation.benchmark import BASELINES, METRICS

RESAMPLES = 9999
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Difference:
    """The mean of a metric of `system` less that of `baseline` over the same pictures, and its interval.

    Attributes:
        system: A name.
        baseline: Another.
        metric: The name of a field of `benchmark.Score`.
        mean: The difference.
        low: Lower end of the 95 % interval; NaN with fewer than two pictures.
        high: Upper end.
        pictures: How many pictures both systems have.
    """

    system: str
    baseline: str
    metric: str
    mean: float
    low: float
    high: float
    pictures: int


def difference(scores, system, baseline, metric, seed=0):
    """Compares two systems picture by picture.

    The interval is the percentile bootstrap over pictures (Efron 1979): the means of 9999 draws of as many pictures,
    with replacement. It says what other pictures like these would give; five pictures say little.

    Args:
        scores: `benchmark.Score`s of one test set.
        system: The name of the one.
        baseline: The name of the other, which is subtracted.
        metric: A field of `benchmark.Score`, such as `"psnr"`.
        seed: Of the draws.

    Returns:
        A `Difference`, or None if no picture has a finite value of both.
    """
    ours, theirs = (
        {score.picture: getattr(score, metric) for score in scores if score.system == name}
        for name in (system, baseline)
    )
    values = [
        ours[picture] - theirs[picture]
        for picture in ours
        if picture in theirs and _finite(ours[picture]) and _finite(theirs[picture])
    ]
    if not values:
        return None
    low = high = math.nan
    if len(values) > 1:
        interval = bootstrap(
            (np.array(values),),
            np.mean,
            vectorized=True,
            method="percentile",
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return Difference(system, baseline, metric, float(np.mean(values)), low, high, len(values))


def _finite(value):
    return value is not None and math.isfinite(value)


def differences(scored):
    """What follows a table on request: each system against bicubic, then our own, each against those after it.

    Args:
        scored: A `benchmark.SetScores`.

    Returns:
        A list of `Difference`, of the metrics that were measured.
    """
    ours = [system for system in scored.systems if system not in BASELINES]
    pairs = [(system, "bicubic") for system in (*scored.systems, *scored.external) if system != "bicubic"]
    pairs += itertools.combinations(ours, 2)
    found = [difference(scored.scores, *pair, metric) for pair in pairs for metric in METRICS]
    return [entry for entry in found if entry is not None]
