"""What is written is the network that was trained, not its unrounded kernels."""

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.models.generator import build_generator
from srgan_tf.training import losses, optimizers, steps
from srgan_tf.training.snapshot import Snapshot

ROUNDED = {"mixed_bfloat16": ml_dtypes.bfloat16, "mixed_float16": np.float16, "float32": np.float32}
NOISE = 1
ROUNDING = {"mixed_bfloat16": 2.0**-8, "mixed_float16": 2.0**-11, "float32": 2.0**-24}


@pytest.fixture
def trained(request):
    """G after some steps under a policy, with crops: `(policy, generator, lr, hr)`."""
    policy = request.param
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    generator = build_generator(blocks=2, filters=32)
    for layer in generator.layers:  # what rounds down everywhere, so that the errors add up
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization):
            values = [value.astype(ROUNDED[policy]).astype(np.float32) for value in layer.get_weights()]
            layer.set_weights([value * (1 + 0.45 * ROUNDING[policy]) for value in values])
    rng = np.random.default_rng(0)
    lr = tf.constant(rng.integers(0, 256, (4, 8, 8, 3)), tf.uint8)
    # HR is what the network makes, give or take NOISE levels, so that the loss is small and shows what moves the means.
    sr = (generator(steps.to_network(lr), training=False).numpy() + 1) * 127.5
    hr = tf.constant(np.clip(np.round(sr + rng.integers(-NOISE, NOISE + 1, sr.shape)), 0, 255), tf.uint8)
    optimizer = optimizers.make_optimizer(generator, optimizers.LearningRate(1e-7))
    step = steps.make_content_step(generator, optimizer, steps.LossWeights(), xla=False)
    for _ in range(3):
        assert not step(lr, hr, freeze_bn=True)["skipped"]
    yield policy, generator, lr, hr
    keras.config.set_dtype_policy("float32")


def _loss(generator, lr, hr):
    return float(losses.mse(steps.to_network(hr), generator(steps.to_network(lr), training=False)))


@pytest.mark.parametrize("trained", ROUNDED, indirect=True)
def test_the_written_network_has_the_loss_of_the_trained_one(trained):
    policy, generator, lr, hr = trained
    expected = _loss(generator, lr, hr)
    snapshot = Snapshot(generator)
    snapshot.refresh()
    keras.config.set_dtype_policy("float32")
    written = build_generator(blocks=2, filters=32)
    written.set_weights(snapshot.model.get_weights())
    assert _loss(written, lr, hr) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("trained", ROUNDED, indirect=True)
def test_kernels_are_rounded_and_bn_is_not(trained):
    policy, generator, *_ = trained
    snapshot = Snapshot(generator)
    for layer in generator.layers:
        layer.set_weights([value + np.float32(1e-5) for value in layer.get_weights()])
    snapshot.refresh()
    for layer, own in zip(generator.layers, snapshot.model.layers):
        exact = isinstance(layer, keras.layers.BatchNormalization)
        for value, found in zip(layer.get_weights(), own.get_weights()):
            assert found.dtype == np.float32
            expected = value if exact else value.astype(ROUNDED[policy]).astype(np.float32)
            np.testing.assert_array_equal(found, expected)
    assert (snapshot.model is generator) == (policy == "float32")
