import keras
import numpy as np
import tensorflow as tf

from srgan_tf.models.generator import build_generator
from srgan_tf.training.ema import MovingAverage


def _values(model):
    return [value.copy() for value in model.get_weights()]


def test_equals_the_closed_form_and_leaves_out_skipped_steps():
    keras.utils.set_random_seed(0)
    model = build_generator(blocks=0, filters=4)
    average = MovingAverage(model, 0.75, xla=False)
    courses = [[value] for value in _values(model)]
    rng = np.random.default_rng(0)
    skipped = (False, False, True, False, True, False)

    for skip in skipped:
        model.set_weights([value + rng.normal(size=value.shape).astype(np.float32) for value in _values(model)])
        average.update(tf.constant(float(skip)))
        if not skip:
            for course, value in zip(courses, _values(model)):
                course.append(value)

    for course, found in zip(courses, _values(average.model)):
        t = len(course) - 1
        powers = [0.75**t] + [0.25 * 0.75 ** (t - i) for i in range(1, t + 1)]
        expected = np.tensordot(powers, np.stack(course), axes=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    paths = [variable.path for variable in average.model.variables]
    assert paths == [variable.path for variable in model.variables]
    assert any("moving_mean" in path for path in paths)
