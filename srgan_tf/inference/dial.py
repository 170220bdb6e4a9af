"""Interpolates between two networks with different goals, such as SRResNet's PSNR and SRGAN's sharpness.

Deep network interpolation (Wang et al. 2019, arXiv 1811.10515) takes the weighted mean of the weights, layer by layer,
including BN's statistics: (1 - strength) of the first and strength of the second. That works if one network was trained
from the other, and not for long. Otherwise the networks in between make hazy images, 16 dB worse; then the weighted
mean of the two results is taken instead, for twice the work.
"""

from pathlib import Path

import keras
import numpy as np

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging.color import to_network
from srgan_tf.imaging.files import read_rgb
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.inference.networks import to_inference_network
from srgan_tf.models.blend import Blend
from srgan_tf.models.generator import describe, load_generator
from srgan_tf.system.errors import UserError

_PROBE_SIDE = 32  # side of the LR image on which networks are compared, pixels
# The largest distance of the middle network's result from the mean of the two results, in halves of the distance
# between these: 0.6 to 1.0 for SRResNet and the SRGAN trained from it on five photographs, 12 to 35 for two networks
# that were trained separately.
_FARTHEST = 2.0


def load_between(start: Path | str, end: Path | str, strength: float) -> keras.Model:
    """Loads the model at a strength, 0 to 1, between the models of two weights files: `start` at 0 and `end` at 1.

    Returns:
        A model with the weighted mean of the weights; or, if that does not lie between the two, a `models.blend.Blend`
        of both. At 0 and 1 one of the two itself.

    Raises:
        UserError: See `models.generator.load_generator`; or the two differ in shape.
        ValueError: `strength` is out of its range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1. Received: {strength}")
    models = load_generator(start), load_generator(end)
    shapes = [describe(model) for model in models]
    if shapes[0] != shapes[1]:
        texts = [", ".join(f"{name} {value}" for name, value in shape.items()) for shape in shapes]
        raise UserError(f"{end}: has {texts[1]}, but {start} {texts[0]}; give weights of one shape")
    if strength in (0, 1):
        return models[int(strength)]
    middle = load_generator(start)
    _set_between(middle, *models, 0.5)
    if not _is_between(middle, *models):
        return Blend(*models, strength)
    _set_between(middle, *models, strength)
    return middle


def _set_between(model, start, end, strength):
    pairs = zip(start.get_weights(), end.get_weights(), strict=True)
    model.set_weights([(1 - strength) * first + strength * second for first, second in pairs])


def _is_between(middle, start, end):
    """Whether the result of a network is about the mean of the results of two others."""
    source = next(iter(embedded_pictures().values()))
    lr = downscale(crop_to_multiple(read_rgb(source), 4), 4)
    lr = to_network(lr[:_PROBE_SIDE, :_PROBE_SIDE])[None]
    middle, start, end = (np.float64(to_inference_network(model)(lr)) for model in (middle, start, end))
    distance = np.linalg.norm(middle - (start + end) / 2)
    return bool(distance <= _FARTHEST * np.linalg.norm(end - start) / 2)
