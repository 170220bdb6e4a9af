import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.training.normalization import BatchNormalization


@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_normalization_is_keras_own(training, policy, tolerance):
    """Values, the moving statistics, and the gradients of input, gamma and beta."""
    rng = np.random.default_rng(0)
    start = [rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4)]
    inputs = tf.constant(rng.normal(1, 2, (3, 4, 2, 5)), tf.float16)
    weights = rng.normal(size=inputs.shape).astype(np.float32)
    results = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(momentum=0.8, dtype=policy)
        layer.build(inputs.shape)
        layer.set_weights(start)
        typed = tf.cast(inputs, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(typed)
            outputs = layer(typed, training=training)
            assert outputs.dtype == typed.dtype
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
        gradients = tape.gradient(total, [typed, *layer.trainable_variables])
        results.append([np.float32(value) for value in [outputs, *layer.get_weights(), *gradients]])
    assert [value.shape for value in results[0]] == [value.shape for value in results[1]]
    for expected, found in zip(*results):
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())
    moved = [np.abs(new - old).max() > 0.01 for new, old in zip(results[1][3:5], start[2:])]
    assert moved == [training] * 2
