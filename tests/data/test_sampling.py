import numpy as np
import pytest

from srgan_tf.data.sampling import Sampler


def _sampler(count=40, *, seed=1, size=(50, 70), **options):
    options = {"crop_size": 32, "batch_size": 4, "scale": 4} | options
    return Sampler([size] * count, seed=seed, **options)


@pytest.mark.parametrize("crops_per_image", [1, 2, 3, 8])
def test_a_sample_is_the_same_however_it_is_asked_for(crops_per_image):
    whole = _sampler(7, crops_per_image=crops_per_image).samples(0, 60)
    assert whole.corners.shape == (60, crops_per_image, 2)
    for first, count in ((0, 1), (13, 2), (5, 40), (59, 1)):
        part = _sampler(7, crops_per_image=crops_per_image).samples(first, count)
        for name in ("pictures", "corners", "flips"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first : first + count])


def test_every_epoch_has_every_picture_in_an_order_of_its_own():
    order = _sampler(40).samples(0, 400).pictures.reshape(10, 40)
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(40), (10, 1)))
    assert len(set(map(tuple, order))) == 10
    assert (order[0] != _sampler(40, seed=2).samples(0, 40).pictures).any()


@pytest.mark.parametrize("count, apart", [(12, 4), (40, 4), (7, 2), (2, 0)])
def test_a_picture_does_not_return_soon_where_epochs_meet(count, apart):
    pictures = _sampler(count).samples(0, 3000).pictures
    for picture in range(count):
        assert np.diff(np.flatnonzero(pictures == picture)).min() > apart


def test_the_order_is_as_random_after_the_pictures_are_kept_apart():
    # Each picture stands at each place equally often: of 3000 epochs in 250, give or take 15.
    order = _sampler(12).samples(0, 12 * 3000).pictures.reshape(3000, 12)
    counts = np.stack([np.bincount(column, minlength=12) for column in order.T])
    assert abs(counts - 250).max() < 5 * 15.2


def test_corners_and_flips_are_uniform_on_the_grid():
    samples = _sampler(3, crop_size=32, size=(49, 63)).samples(0, 40_000)  # 5 rows and 8 columns of positions
    rows, columns = np.divmod(samples.corners[:, 0], 4)[0].T
    assert not (samples.corners % 4).any()
    counts = np.zeros((5, 8, 8), int)
    np.add.at(counts, (rows, columns, samples.flips[:, 0]), 1)
    assert abs(counts - 125).max() < 5 * 11.2  # 40,000 / 320, and five standard deviations


def test_a_block_is_whole_batches_and_shrinks_with_few_pictures():
    assert _sampler(1000).block == 4
    assert _sampler(1000, crops_per_image=2).block == 64
    assert _sampler(1000, crops_per_image=2, batch_size=100).block == 100
    assert _sampler(50, crops_per_image=2).block == 16
    assert _sampler(3, crops_per_image=2).block == 4
