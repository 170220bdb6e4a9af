"""Face verification: LFW's protocol, and what a difference between two of its accuracies is worth.

Of each pair there is a distance; the pair is taken for one person where the distance is below a threshold.
"""

import dataclasses

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Shares of pairs that are told rightly: their mean over the folds, and its standard error; and which pairs."""

    mean: float
    standard_error: float
    right: np.ndarray


def best_threshold(distances, same):
    """The threshold with the most pairs told rightly; the middle one of those that are equally good.

    Args:
        distances: float `(N,)`.
        same: bool `(N,)`.
    """
    order = np.argsort(distances, kind="stable")
    values, found = np.asarray(distances)[order], np.asarray(same)[order]
    # Between two neighbours, as well as below and above all: how many are right with everything before it accepted.
    right = np.concatenate([[0], found.cumsum()]) + np.concatenate([(~found)[::-1].cumsum()[::-1], [0]])
    bounds = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])
    best = np.flatnonzero(possible & (right == right[possible].max()))
    return float(bounds[best[len(best) // 2]])


def accuracy(distances, same, folds):
    """LFW's accuracy: each fold is told by the threshold that is best on the others (Huang et al. 2007, section 4).

    Args:
        distances: float `(N,)`.
        same: bool `(N,)`.
        folds: int `(N,)`, at least two different ones.

    Returns:
        An `Accuracy`; its standard error is the standard deviation of the folds' shares, with one degree of freedom
        less, by the root of their number.
    """
    distances, same, folds = map(np.asarray, (distances, same, folds))
    right = np.zeros(len(distances), bool)
    shares = []
    for fold in np.unique(folds):
        own = folds == fold
        threshold = best_threshold(distances[~own], same[~own])
        right[own] = (distances[own] < threshold) == same[own]
        shares.append(right[own].mean())
    return Accuracy(float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(len(shares))), right)


def roc(distances, same):
    """The share of pairs of one person that are accepted (TAR) by that of pairs of two (FAR), over all thresholds.

    Args:
        distances: float `(N,)`.
        same: bool `(N,)`.

    Returns:
        `(far, tar)`, both rising from 0 to 1; of equal distances, all are accepted together.
    """
    order = np.argsort(distances, kind="stable")
    values, found = np.asarray(distances)[order], np.asarray(same)[order]
    last = np.append(values[1:] > values[:-1], True)
    tar, far = found.cumsum()[last] / found.sum(), (~found).cumsum()[last] / (~found).sum()
    return np.append(0, far), np.append(0, tar)


def tar_at_far(distances, same, far):
    """The largest TAR at a FAR of at most `far`, all pairs together."""
    accepted, true = roc(distances, same)
    return float(true[accepted <= far].max())


def mcnemar(right, other):
    """How likely two systems that are equally good differ as much as these on the same pairs: McNemar's exact test.

    Args:
        right: bool `(N,)`, the pairs that one tells rightly.
        other: bool `(N,)`, those of the other.

    Returns:
        `(gained, lost, p)`: pairs that only the first tells rightly, those that only the other does, and the p-value,
        two-sided.
    """
    gained, lost = int((right & ~other).sum()), int((other & ~right).sum())
    return gained, lost, float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
