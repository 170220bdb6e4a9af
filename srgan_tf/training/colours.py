"""Corrects the mean colours of a generator's images to those of the photographs."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np

from srgan_tf.models.generator import load_generator, save_generator
from srgan_tf.system.terminal import say
from srgan_tf.training.steps import to_network

CROPS = 1024  # to measure the mean colours on


def balance_colours(generator: keras.Model, batches: Iterable) -> np.ndarray:
    """Moves the last layer's bias so that over the given crops SR is on average as bright as HR, in each channel.

    Adversarial training does not constrain the mean colours, which end up a level of 255 or two off. Weights trained in
    bfloat16 were off by 0.5 levels before this, and by 0.1 after.

    Args:
        generator: G, which ends in `last_conv` and tanh; changed in place.
        batches: Iterable of `(lr, hr)`, uint8, see `data.pipeline.batches`; not empty.

    Returns:
        The error of SR's mean before, levels of 255 `(3,)`: positive if SR was too bright.
    """
    error, slope, count = np.zeros(3), np.zeros(3), 0
    for lr, hr in batches:
        sr = generator(to_network(lr), training=False).numpy().astype(np.float64)
        error += (sr - to_network(hr).numpy()).mean((0, 1, 2))
        slope += (1 - sr**2).mean((0, 1, 2))  # derivative of tanh
        count += 1
    bias = generator.get_layer("last_conv").bias
    # Without a slope, as where a channel is black in all images, no bias changes anything.
    bias.assign(bias.numpy() - np.float32(np.divide(error, slope, out=np.zeros(3), where=slope > 0)))
    return error / count * 127.5


def balance_file(path: Path, batches: Iterable) -> None:
    """Applies `balance_colours` to a weights file, in float32 as in inference; says how far the colours were off."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        generator = load_generator(path)
    finally:
        keras.config.set_dtype_policy(policy)  # mode srgan has another phase to come
    off = ", ".join(f"{name} {value:+.2f}" for name, value in zip("RGB", balance_colours(generator, batches)))
    save_generator(generator, path)
    say(f"colours    were off by {off} levels of 255, and are balanced in {path}")
