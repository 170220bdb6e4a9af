"""How sure a difference between two systems is."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap

from srgan_tf.evaluation.benchmark import BASELINES, SetScores
from srgan_tf.evaluation.metrics import METRICS, Metric
from srgan_tf.evaluation.records import Score

RESAMPLES = 9999
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Difference:
    """The mean of a metric of `system` less that of `baseline` over the pictures that both have, how many these are,
    and its 95 % interval, which is NaN with fewer than two."""

    system: str
    baseline: str
    metric: Metric
    mean: float
    low: float
    high: float
    pictures: int


def difference(scores: Sequence[Score], system: str, baseline: str, metric: Metric, seed: int = 0) -> Difference | None:
    """Compares two systems on the pictures of a test set; None if no picture has a finite value of both.

    The interval is the percentile bootstrap over pictures (Efron 1979): the means of 9999 draws of as many pictures,
    with replacement. It says what other pictures like these would give; five pictures say little.
    """
    ours, theirs = (
        {score.picture: score[metric.key] for score in scores if score.system == name} for name in (system, baseline)
    )
    values = []
    for picture, value in ours.items():
        other = theirs.get(picture)
        if value is not None and other is not None and math.isfinite(value) and math.isfinite(other):
            values.append(value - other)
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


def differences(scored: SetScores) -> list[Difference]:
    """What follows a table on request: each system against bicubic, then our own, each against those after it; of the
    metrics that were measured."""
    ours = [system for system in scored.systems if system not in BASELINES]
    pairs = [(system, "bicubic") for system in (*scored.systems, *scored.external) if system != "bicubic"]
    pairs += itertools.combinations(ours, 2)
    found = [difference(scored.scores, *pair, metric) for pair in pairs for metric in METRICS]
    return [entry for entry in found if entry is not None]
