import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.imaging.resize import downscale
from srgan_tf.system.errors import UserError
from srgan_tf.training.balance import CROPS, balanced_vgg_weight


def double(pictures, training):
    """In the place of VGG19, whose distance is then four times the MSE."""
    return 2 * pictures


def test_the_weight_makes_both_terms_equal():
    hr = np.random.default_rng(0).integers(0, 256, (CROPS, 16, 16, 3), np.uint8)
    lr = np.stack([downscale(crop, 4) for crop in hr])
    assert balanced_vgg_weight([(tf.constant(lr), tf.constant(hr))], double, 4) == pytest.approx(1 / 4)


def test_crops_of_one_colour_are_a_line_instead_of_a_division_by_zero():
    lr, hr = (tf.fill((CROPS, side, side, 3), tf.constant(128, tf.uint8)) for side in (4, 16))
    with pytest.raises(UserError, match="--vgg_loss_weight=auto: cannot be measured .*; give a number"):
        balanced_vgg_weight([(lr, hr)], double, 4)
