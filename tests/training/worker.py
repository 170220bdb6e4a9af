"""What test_distribution.py starts: one worker's part of a few steps. `python worker.py RESULT.npz [mirrored]`

With "mirrored" this machine's processor is two devices, which mirror each other as two GPUs do; it takes no steps
of whole batches, since those of batches in two parts hold all that differs.
"""

import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.models.discriminator import build_discriminator
from srgan_tf.models.generator import build_generator
from srgan_tf.training import losses, optimizers, steps
from srgan_tf.training.distribution import Distribution

BATCH = 8


def adversarial(distribution, accumulate):
    """Five steps by plain descent, so that the change of a weight is its gradient: all weights, and the last terms."""
    keras.utils.set_random_seed(0)
    with distribution.strategy.scope():
        generator = build_generator(1, filters=8, normalization=distribution.normalization)
        discriminator = build_discriminator(normalization=distribution.normalization)
        descents = [keras.optimizers.SGD(5e-4) for _ in range(2)]
        for network, descent in zip((generator, discriminator), descents):
            descent.build(network.trainable_variables)
        weights = steps.LossWeights(mse=1.0, adversarial=0.1)
        step = steps.make_adversarial_step(
            generator, discriminator, *descents, weights, accumulate=accumulate, xla=False
        )
    step = distribution.on_devices(step, accumulate)
    places = distribution.share(BATCH, accumulate)
    rng = np.random.default_rng(0)
    for _ in range(5):
        hr = rng.integers(0, 256, (BATCH, 32, 32, 3), np.uint8)[places]
        terms = step(tf.constant(hr[:, ::4, ::4]), tf.constant(hr))
    found = {f"term {name}": float(value) for name, value in terms.items()}
    return found | {variable.path: variable.numpy() for variable in generator.variables + discriminator.variables}


def infinite_in_the_last_crop(distribution):
    """Of a step in float16: whether it was skipped, how far it moved the weights, and the loss scale before and after.

    Then of one by Adam whose gradients are finite: how far it moved them, and how far apart the devices are.
    """
    keras.config.set_dtype_policy("mixed_float16")
    real = losses.mse
    # Infinite where the last crop of the replica is black.
    losses.mse = lambda hr, sr: real(hr, sr) / tf.cast(tf.reduce_max(hr[-1]) > -1, tf.float32)
    with distribution.strategy.scope():
        generator = build_generator(1, filters=8, normalization=distribution.normalization)
        optimizer = optimizers.make_optimizer(generator, optimizers.LearningRate(1e-3))
        step = steps.make_content_step(generator, optimizer, steps.LossWeights(), xla=False)
    step = distribution.on_devices(step, 1)
    hr = np.full((BATCH, 16, 16, 3), 200, np.uint8)
    hr[-1] = 0
    hr = hr[distribution.share(BATCH, 1)]
    before, scales = [value.numpy() for value in generator.variables], [float(optimizers.loss_scale(optimizer))]
    skipped, moved = [], []
    for crops in (hr, np.full_like(hr, 200)):
        skipped.append(float(step(tf.constant(crops[:, ::4, ::4]), tf.constant(crops))["skipped"]))
        moved.append(max(np.abs(new.numpy() - old).max() for new, old in zip(generator.variables, before)))
        scales.append(float(optimizers.loss_scale(optimizer)))
    kept = [variable.value for variable in (*generator.variables, *optimizer.variables)]
    devices = [[each.numpy() for each in getattr(value, "values", [value])] for value in kept]
    apart = max(np.abs(each - values[0]).max() for values in devices for each in values)
    return {"skipped": skipped, "moved": moved, "scales": scales, "apart": apart}


if __name__ == "__main__":
    results = {}
    if "mirrored" in sys.argv:
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
        found = Distribution("mirrored", ["CPU:0", "CPU:1"])
    else:
        received = []
        signal.signal(signal.SIGTERM, lambda *_: received.append(True))
        found = Distribution("auto")
        signal.raise_signal(signal.SIGTERM)
        assert received, "TensorFlow has kept SIGTERM for itself"
        results["step"] = adversarial(found, 1)
    results |= {"two": adversarial(found, 2), "half": infinite_in_the_last_crop(found)}
    arrays = {f"{group}/{name}": value for group, values in results.items() for name, value in values.items()}
    np.savez(sys.argv[1], **arrays)
