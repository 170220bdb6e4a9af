import keras
import numpy as np
import pytest

from srgan_tf.training.optimizers import LearningRate, make_optimizer


def _course(steps, **options):
    rate = LearningRate(2e-4, steps=100, **options)
    return [float(rate(step)) for step in steps]


def test_courses():
    np.testing.assert_allclose(_course([0, 50, 99]), [2e-4] * 3, rtol=1e-6)
    np.testing.assert_allclose(_course([0, 49, 50, 99], schedule="step"), [2e-4, 2e-4, 2e-5, 2e-5], rtol=1e-5)
    expected = [1e-4 * (1 + np.cos(np.pi * step / 100)) for step in (0, 25, 50, 100, 120)]
    expected[-1] = 0
    np.testing.assert_allclose(_course([0, 25, 50, 100, 120], schedule="cosine"), expected, rtol=1e-5, atol=1e-10)
    np.testing.assert_allclose(_course([0, 4, 9, 20], warmup_steps=10), [2e-5, 1e-4, 2e-4, 2e-4], rtol=1e-5)


def test_the_fraction_of_the_steps_that_remains():
    assert [float(LearningRate(1.0, steps=4).remaining(step)) for step in (0, 1, 9)] == [1, 0.75, 0]


def test_adam_has_the_slides_numbers_and_scales_only_float16():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    plain = make_optimizer(model, LearningRate(1e-4))
    assert isinstance(plain, keras.optimizers.Adam) and plain.beta_1 == 0.9
    assert float(plain.learning_rate) == pytest.approx(1e-4)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        scaled = make_optimizer(model, LearningRate(1e-4))
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    assert float(scaled.dynamic_scale) == 2.0**15
