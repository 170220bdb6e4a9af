"""Face verification by LFW's protocol, and the significance of the difference between two accuracies.

A pair is accepted as one person if the distance of its embeddings is below a threshold.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The share of pairs that are classified correctly: its mean over the folds, standard error, and which pairs."""

    mean: float
    standard_error: float
    correct: NDArray[np.bool_]


def best_threshold(distances: ArrayLike, same: ArrayLike) -> float:
    """The threshold that classifies most of the pairs, `(N,)`, correctly; of several, the middle one."""
    order = np.argsort(distances, kind="stable")
    values, found = np.asarray(distances)[order], np.asarray(same)[order]
    # For each place of the threshold, before, between and after the sorted distances: the number of correct pairs.
    correct = np.concatenate([[0], found.cumsum()]) + np.concatenate([(~found)[::-1].cumsum()[::-1], [0]])
    bounds = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])
    best = np.flatnonzero(possible & (correct == correct[possible].max()))
    return float(bounds[best[len(best) // 2]])


def centred_distances(first: NDArray, second: NDArray, folds: ArrayLike) -> NDArray[np.floating]:
    """The distances of pairs of embeddings, `first` and `second`, both `(N, D)`, for each of the F folds: the mean of
    all embeddings of the other folds is subtracted from both.

    This is what `validate_on_lfw.py --subtract_mean --distance_metric 1` of davidsandberg/facenet does.

    Returns:
        `(F, N)`, a row for each fold: squared Euclidean distances of the embeddings, normalised again: 2 - 2 cos.
    """
    rows = []
    for fold in np.unique(folds):
        others = np.asarray(folds) != fold
        mean = np.concatenate([first[others], second[others]]).mean(axis=0)
        centred = [each - mean for each in (first, second)]
        lengths = [np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-10) for each in centred]
        rows.append(((centred[0] / lengths[0] - centred[1] / lengths[1]) ** 2).sum(axis=1))
    return np.stack(rows)


def accuracy(distances: ArrayLike, same: ArrayLike, folds: ArrayLike) -> Accuracy:
    """LFW's accuracy (Huang et al. 2007, section 4): a fold is classified by the threshold that is best on the others.

    Args:
        distances: float `(F, N)`, a row for each of the F folds, see `centred_distances`.
        same: bool `(N,)`.
        folds: int `(N,)`, at least two different ones.

    Returns:
        An `Accuracy`; its standard error is the sample standard deviation of the folds' accuracies, divided by
        the square root of their number.
    """
    distances, same, folds = map(np.asarray, (distances, same, folds))
    correct = np.zeros(len(same), bool)
    shares = []
    for fold, measured in zip(np.unique(folds), distances, strict=True):
        own = folds == fold
        threshold = best_threshold(measured[~own], same[~own])
        correct[own] = (measured[own] < threshold) == same[own]
        shares.append(correct[own].mean())
    return Accuracy(float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(len(shares))), correct)


def roc(distances: ArrayLike, same: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The true accept rate (TAR) of pairs, `(N,)`, against the false accept rate (FAR), over all thresholds.

    Returns:
        `(far, tar)`, both rising from 0 to 1; pairs with equal distances are accepted together.
    """
    order = np.argsort(distances, kind="stable")
    values, found = np.asarray(distances)[order], np.asarray(same)[order]
    last = np.append(values[1:] > values[:-1], True)
    tar, far = found.cumsum()[last] / found.sum(), (~found).cumsum()[last] / (~found).sum()
    return np.append(0, far), np.append(0, tar)


def tar_at_far(distances: ArrayLike, same: ArrayLike, far: float) -> float:
    """The largest TAR at a FAR of at most `far`, over all pairs."""
    accepted, true = roc(distances, same)
    return float(true[accepted <= far].max())


def mcnemar(correct: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> tuple[int, int, float]:
    """McNemar's exact test of whether two methods are equally good on the same pairs, by the pairs that each classifies
    correctly.

    Returns:
        `(gained, lost, p)`: the number of pairs that only the method, or only the baseline, classifies correctly; and
        the two-sided p-value.
    """
    gained, lost = int((correct & ~baseline).sum()), int((baseline & ~correct).sum())
    return gained, lost, float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
