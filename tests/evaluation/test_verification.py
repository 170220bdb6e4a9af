import numpy as np
import pytest
from scipy.spatial import distance

from srgan_tf.evaluation import verification

# Two folds by hand. On fold 2 alone 0.4 < t <= 0.6 classifies all four correctly, on fold 1 alone 0.2 < t <= 0.3 does;
# so fold 1 is classified by 0.5, which accepts its pair at 0.3, and fold 2 by 0.25, which rejects its pair at 0.4.
DISTANCES = [0.1, 0.2, 0.3, 0.9, 0.2, 0.4, 0.6, 0.8]
SAME = np.array([True, True, False, False] * 2)
FOLDS = [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_threshold_of_a_fold_comes_from_the_others():
    found = verification.accuracy([DISTANCES] * 2, SAME, FOLDS)
    assert found.correct.tolist() == [True, True, False, True, True, False, True, True]
    assert (found.mean, found.standard_error) == (0.75, 0)
    assert verification.best_threshold(DISTANCES[:4], SAME[:4]) == 0.25
    assert verification.best_threshold(DISTANCES[4:], SAME[4:]) == 0.5


def test_the_standard_error_is_that_of_the_mean_of_folds():
    # The threshold of either fold, 0.5, is right for all of its own four pairs and for three of the other's.
    found = verification.accuracy([[0.4, 0.4, 0.6, 0.6, 0.4, 0.7, 0.6, 0.6]] * 2, SAME, FOLDS)
    assert found.mean == 0.875
    assert found.standard_error == pytest.approx(np.std([1, 0.75], ddof=1) / np.sqrt(2))


def test_a_fold_is_classified_by_its_own_measure():
    # As each fold measures, the other's pairs lie on the right sides of 0.5, and its own on the wrong ones.
    right, wrong = [0.1, 0.1, 0.9, 0.9], [0.9, 0.9, 0.1, 0.1]
    assert not verification.accuracy([wrong + right, right + wrong], SAME, FOLDS).correct.any()
    found = verification.accuracy([right + right, right + wrong], SAME, FOLDS)
    assert found.correct.tolist() == [True] * 4 + [False] * 4


def test_distances_are_from_the_mean_of_the_other_folds():
    first, second = np.random.default_rng(0).normal(3, 1, (2, 8, 5))
    found = verification.centred_distances(first, second, FOLDS)
    for row, others in zip(found, (slice(4, 8), slice(0, 4)), strict=True):
        mean = (first[others].mean(axis=0) + second[others].mean(axis=0)) / 2
        expected = [2 * distance.cosine(one - mean, other - mean) for one, other in zip(first, second)]
        np.testing.assert_allclose(row, expected)


def test_equal_distances_cannot_be_parted():
    assert verification.best_threshold([0.5, 0.5, 0.5], np.array([True, True, False])) > 0.5
    assert verification.best_threshold([0.5, 0.5, 0.5], np.array([False, True, False])) < 0.5
    far, tar = verification.roc([0.5, 0.5, 0.5, 0.7], np.array([True, False, True, False]))
    assert (far.tolist(), tar.tolist()) == ([0, 0.5, 1], [0, 1, 1])


def test_roc_and_tar_at_far_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    same = rng.random(500) < 0.5
    distances = np.round(rng.normal(np.where(same, 0, 1), 0.7), 2)
    far, tar, _ = sklearn.roc_curve(same, -distances, drop_intermediate=False)
    np.testing.assert_allclose(verification.roc(distances, same), (far, tar))
    for bound in (0.001, 0.01, 0.1):
        assert verification.tar_at_far(distances, same, bound) == tar[far <= bound].max()


def test_mcnemar_is_the_exact_binomial_test():
    # 10 gained, 2 lost: 2 * (C(12, 0) + C(12, 1) + C(12, 2)) / 2^12
    right = np.array([True] * 10 + [False] * 2 + [True] * 5)
    other = np.array([False] * 10 + [True] * 2 + [True] * 5)
    assert verification.mcnemar(right, other) == (10, 2, pytest.approx(2 * (1 + 12 + 66) / 4096))
    assert verification.mcnemar(right, right) == (0, 0, 1.0)
