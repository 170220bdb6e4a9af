"""How gradients become an update: accumulation, the loss scale, clipping, steps that are skipped."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.models.generator import build_generator
from srgan_tf.training import losses, steps
from srgan_tf.training.optimizers import LearningRate, make_optimizer
from srgan_tf.training.update import Updater, apply_gradients, unscale


@pytest.mark.parametrize("xla", [False, True])
def test_the_mean_over_micro_batches(xla):
    values = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    weights = np.arange(6, dtype=np.float32)

    def function(values, weights, factor):
        return {"max": tf.reduce_max(values)}, [factor * tf.einsum("nij,n->ij", values, weights)]

    maximum, (weighted,) = Updater({}, accumulate=3, xla=xla).mean(function)(
        tf.constant(values), tf.constant(weights), 2
    )
    parts = [(values[at : at + 2], weights[at : at + 2]) for at in (0, 2, 4)]
    np.testing.assert_allclose(maximum["max"], np.mean([part.max() for part, _ in parts]), rtol=1e-6)
    expected = np.mean([2 * np.einsum("nij,n->ij", *part) for part in parts], axis=0)
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)


def _networks(adversarial):
    keras.utils.set_random_seed(0)
    generator = build_generator(blocks=1, filters=8)
    # D without BN, which would take its statistics from each micro-batch.
    discriminator = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, 2, activation="leaky_relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
        ]
    )
    return [generator, discriminator] if adversarial else [generator]


def _make_step(networks, **options):
    # Plain descent, so that the change of a weight is its gradient.
    optimizers = [keras.optimizers.SGD(1.0) for _ in networks]
    for network, optimizer in zip(networks, optimizers):
        optimizer.build(network.trainable_variables)
    make = steps.make_adversarial_step if len(networks) == 2 else steps.make_content_step
    return make(*networks, *optimizers, steps.LossWeights(mse=1.0, adversarial=0.1), **options)


def _crops(count):
    lr = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return tf.constant(lr), tf.constant(lr.repeat(4, 1).repeat(4, 2))


def _changes(networks, before):
    return [new - old for network, values in zip(networks, before) for new, old in zip(network.get_weights(), values)]


@pytest.mark.parametrize("adversarial, options", [(False, {}), (True, {}), (True, {"sequential": True})])
def test_accumulated_equals_one_large_batch(adversarial, options):
    results = []
    for accumulate in (1, 4):
        networks = _networks(adversarial)
        before = [network.get_weights() for network in networks]
        step = _make_step(networks, accumulate=accumulate, xla=accumulate == 4 and not adversarial, **options)
        terms = {name: float(value) for name, value in step(*_crops(8), freeze_bn=True).items()}
        results.append((terms, _changes(networks, before)))
    (whole_terms, whole), (terms, found) = results
    assert terms["skipped"] == 0 and terms.keys() == whole_terms.keys()
    for name in terms:
        assert terms[name] == pytest.approx(whole_terms[name], rel=1e-5), name
    largest = max(np.abs(change).max() for change in whole)
    assert largest > 1e-3
    for one, other in zip(whole, found):
        assert np.linalg.norm(other - one) < 1e-5 * max(np.linalg.norm(one), 1e-2 * largest)


def test_one_bad_micro_batch_of_four_skips_the_step_and_leaves_batch_norm_alone(monkeypatch):
    real = losses.mse
    # Infinite where HR is black, which only the third micro-batch is.
    monkeypatch.setattr(losses, "mse", lambda hr, sr: real(hr, sr) / (tf.reduce_mean(hr) + 1))
    networks = _networks(False)
    before = networks[0].get_weights()
    step = _make_step(networks, accumulate=4, xla=False)
    lr, hr = _crops(4)
    black = tf.constant(np.array([1, 1, 0, 1], np.uint8)[:, None, None, None])
    assert float(step(lr, hr * black)["skipped"]) == 1
    for old, new in zip(before, networks[0].get_weights()):
        np.testing.assert_array_equal(old, new)
    assert float(step(lr, hr)["skipped"]) == 0
    assert (before[0] != networks[0].get_weights()[0]).any()


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
        apply_gradients(optimizer, gradients, model.trainable_variables, finite, finite)

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
    apply_gradients(optimizer, gradients, model.trainable_variables, finite, tf.constant(False))
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
