import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.training.optimizers import LearningRate, make_optimizer, unscale, update


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


def test_unknown_schedule():
    with pytest.raises(ValueError, match="Received: 'linear'"):
        LearningRate(1e-4, "linear")


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


def _scaled_adam(seed=0):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        optimizer = make_optimizer(model, LearningRate(0.1))
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer.dynamic_growth_steps = 3
    return model, optimizer


def test_the_loss_scale_moves_as_keras_own():
    """The same gradients through `LossScaleOptimizer.apply`: overflow, good steps, growth, overflow again."""
    (model, optimizer), (reference, kerass) = _scaled_adam(), _scaled_adam()
    rng = np.random.default_rng(0)
    scales = []

    @tf.function
    def step(gradients):
        gradients, _, finite = unscale(optimizer, gradients)
        update(optimizer, gradients, model.trainable_variables, finite, finite)

    for bad in (True, False, False, False, False, True, False, False, False, False):
        gradients = [tf.constant(rng.normal(size=v.shape) * 2**14, tf.float32) for v in model.trainable_variables]
        if bad:
            gradients[1] = gradients[1] * np.inf
        step(gradients)
        kerass.apply(gradients, reference.trainable_variables)
        scales.append(float(optimizer.dynamic_scale))
        for found, expected in zip([*model.variables, *optimizer.variables], [*reference.variables, *kerass.variables]):
            np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=found.path)
    assert scales == [2.0**exponent for exponent in (14, 14, 14, 15, 15, 14, 14, 14, 15, 15)]


def test_a_step_refused_from_outside_leaves_weights_and_scale_alone():
    model, optimizer = _scaled_adam()
    before = [variable.numpy() for variable in (*model.variables, *optimizer.variables)]
    gradients, _, finite = unscale(optimizer, [tf.ones(v.shape) for v in model.trainable_variables])
    update(optimizer, gradients, model.trainable_variables, finite, tf.constant(False))
    for old, variable in zip(before, (*model.variables, *optimizer.variables)):
        np.testing.assert_array_equal(old, variable.numpy(), err_msg=variable.path)


@pytest.mark.parametrize("clip_norm, expected", [(0.0, 26), (13.0, 13), (2.0, 2), (100.0, 26)])
def test_gradients_are_clipped_after_the_loss_scale_is_out(clip_norm, expected):
    _, optimizer = _scaled_adam()
    scale = 2.0**15
    gradients = [tf.constant([6.0, 8.0]) * scale, tf.constant([[24.0]]) * scale]
    clipped, norm, finite = unscale(optimizer, gradients, clip_norm)
    assert float(norm) == pytest.approx(26) and bool(finite)
    whole = np.concatenate([value.numpy().ravel() for value in clipped])
    np.testing.assert_allclose(whole, np.array([6, 8, 24]) * expected / 26, rtol=1e-6)
