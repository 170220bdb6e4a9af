"""Confidence intervals of differences between systems."""

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
    """The mean of a metric of `system` minus `baseline` over the images that both have, its 95 % interval, which is NaN
    with fewer than two images, and their number."""

    system: str
    baseline: str
    metric: Metric
    mean: float
    low: float
    high: float
    pictures: int


def difference(scores: Sequence[Score], system: str, baseline: str, metric: Metric, seed: int = 0) -> Difference | None:
    """Compares two systems on the images of a test set; None if no image has finite values of both.

    The interval is the percentile bootstrap over images (Efron 1979): means of 9999 resamples with replacement. It
    says what to expect for other, similar images; with five images it says little.
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
    """The differences to show after a table: each system against bicubic, then all pairs of our own systems; for all
    metrics that were measured."""
    ours = [system for system in scored.systems if system not in BASELINES]
    pairs = [(system, "bicubic") for system in (*scored.systems, *scored.external) if system != "bicubic"]
    pairs += itertools.combinations(ours, 2)
    found = [difference(scored.scores, *pair, metric) for pair in pairs for metric in METRICS]
    return [entry for entry in found if entry is not None]
