"""Training under mixed precision comes out where float32 does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.evaluation import metrics
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.models.generator import build_generator
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.training import steps
from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.optimizers import LearningRate, make_optimizer

STEPS, BATCH, SIDE, FILTERS = 200, 4, 32, 36
MIXED = ("mixed_float16", "mixed_bfloat16")


@pytest.fixture(scope="module")
def pictures():
    return [crop_to_multiple(files.read_rgb(path), 4) for path in embedded_pictures().values()]


def _batches(pictures):
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        hr = []
        for number in rng.integers(len(pictures), size=BATCH):
            top, left = (4 * rng.integers((side - SIDE) // 4) for side in pictures[number].shape[:2])
            hr.append(pictures[number][top : top + SIDE, left : left + SIDE])
        yield tf.constant(np.stack([downscale(crop) for crop in hr])), tf.constant(np.stack(hr))


def _score(weights, pictures):
    """Mean PSNR of the middle of each picture, whatever the policy was, by a float32 generator."""
    keras.config.set_dtype_policy("float32")
    generator = build_generator(blocks=1, filters=FILTERS)
    generator.set_weights(weights)
    scores = []
    for picture in pictures:
        hr = picture[:200, :200]
        sr = generator(steps.to_network(downscale(hr)[None]), training=False).numpy()[0]
        scores.append(metrics.psnr(hr, np.uint8(np.round(np.clip((sr + 1) * 127.5, 0, 255)))))
    return np.mean(scores)


def _train(policy, pictures):
    """The PSNR before and after the training, and the optimizer."""
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        generator = build_generator(blocks=1, filters=FILTERS)
        # An upscaling with half the contrast.
        initialize_as_bilinear(generator)
        last = generator.get_layer("last_conv")
        last.set_weights([value / 2 for value in last.get_weights()])
        before = generator.get_weights()
        optimizer = make_optimizer(generator, LearningRate(3e-4, "cosine", STEPS))
        step = steps.make_content_step(generator, optimizer, steps.LossWeights())  # XLA: float16 crawls without
        skipped = sum(float(step(lr, hr)["skipped"]) for lr, hr in _batches(pictures))
        assert skipped <= 5
    finally:
        keras.config.set_dtype_policy("float32")
    return _score(before, pictures), _score(generator.get_weights(), pictures), optimizer


@pytest.fixture(scope="module")
def in_float32(pictures):
    before, after, _ = _train("float32", pictures)
    assert after > before + 3
    return after


@pytest.mark.parametrize("policy", MIXED)
def test_two_hundred_steps_come_out_where_float32_does(policy, pictures, in_float32, tmp_path):
    before, after, optimizer = _train(policy, pictures)
    assert after > before + 3
    assert after == pytest.approx(in_float32, abs=0.1)
    if policy == "mixed_bfloat16":
        return

    # The checkpoint carries the loss scale and how many steps it has been good for.
    assert 0 < int(optimizer.step_counter) < STEPS + 1
    optimizer.dynamic_scale.assign(2.0**9)
    checkpoints = Checkpoints(tmp_path, {"g_optimizer": optimizer.variables})
    checkpoints.save(Progress(STEPS))
    counter = int(optimizer.step_counter)
    optimizer.dynamic_scale.assign(1.0)
    optimizer.step_counter.assign(0)
    checkpoints.restore()
    assert (float(optimizer.dynamic_scale), int(optimizer.step_counter)) == (2.0**9, counter)
