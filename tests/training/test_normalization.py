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


MIRRORED = """
import sys

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.training.normalization import BatchNormalization

one, two = (tf.config.LogicalDeviceConfiguration() for _ in range(2))
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, two])
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
policy, results = sys.argv[1], []
rng = np.random.default_rng(0)
start = [rng.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4)]
pictures = tf.constant(rng.normal(3, 2, (4, 6, 2, 5)), tf.float16)
weights = tf.constant(rng.normal(size=pictures.shape), tf.float32)


def run(layer, half=slice(None)):
    typed = tf.cast(pictures[half], layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(typed)
        outputs = layer(typed, training=True)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights[half])
    assert outputs.dtype == typed.dtype
    return outputs, tape.gradient(total, [typed, *layer.trainable_variables])


def on_replica():
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return run(layer, slice(2 * number, 2 * number + 2))


with strategy.scope():
    layer = BatchNormalization(momentum=0.8, dtype=policy, synchronized=True)
    layer.build(pictures.shape)
    layer.set_weights(start)
found = tf.function(lambda: strategy.run(on_replica), autograph=False)()
parts = [tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[n], found) for n in (0, 1)]
(first, (of_first, *of_mine)), (second, (of_second, *of_other)) = parts
found = [tf.concat([first, second], 0), tf.concat([of_first, of_second], 0), of_mine[0] + of_other[0],
         of_mine[1] + of_other[1], *layer.get_weights()]

own = keras.layers.BatchNormalization(momentum=0.8, dtype=policy)
own.build(pictures.shape)
own.set_weights(start)
outputs, gradients = run(own)
for mine, keras_own in zip(found, [outputs, *gradients, *own.get_weights()], strict=True):
    keras_own = np.float32(keras_own)
    print(np.abs(np.float32(mine) - keras_own).max() / np.abs(keras_own).max())
"""


@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_float16", 3e-3)])
def test_synchronized_it_is_keras_own_of_all_replicas_pictures(policy, tolerance, run_python):
    """The same, with a batch on two devices and Keras' layer on one."""
    done = run_python("-c", MIRRORED, policy, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == 8 and max(differences) < tolerance
