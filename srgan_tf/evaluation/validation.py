"""Scores a generator during training on whole images, in inference mode."""

import gc
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from srgan_tf.data.folders import Pair
from srgan_tf.evaluation import metrics
from srgan_tf.evaluation.picture_sets import load_pair, luma_channel, min_side, too_small
from srgan_tf.imaging import files
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system.errors import UserError

STRIPS = 3  # number of images to show
STRIP_SIDE = 192  # side of the part that is shown, pixels
# dB that an image counts at most. The PSNR of one that is reproduced exactly, such as a black one, is infinite, and so
# would be the mean: no later weights would be better.
_MOST_PSNR = 100.0


def usable_pairs(pairs: Iterable[Pair], scale: int = 4) -> tuple[list[Pair], list[tuple[Path, str]]]:
    """Leaves out pairs that cannot be scored, by the headers of their files; see `files.probe`.

    Returns:
        `(pairs, skipped)`: the pairs to validate on; and `(path, reason)` of the others, with the path of the file that
        is at fault.

    Raises:
        UserError: No pair is left.
    """
    usable, skipped = [], []
    for pair in pairs:
        fault = _fault(pair, scale)
        if fault:
            skipped.append(fault)
        else:
            usable.append(pair)
    if not usable:
        first = "; the first: {}: {}".format(*skipped[0]) if skipped else ""
        raise UserError(f"no image to validate on, {len(skipped)} skipped{first}")
    return usable, skipped


def _fault(pair, scale):
    """The `(path, reason)` to skip a pair, or None."""
    try:
        height, width = files.probe(pair.hr)
        if min(height, width) < min_side(scale):
            return pair.hr, too_small(height, width, scale)
        if pair.lr is not None:
            size = files.probe(pair.lr)
            if size != (height // scale, width // scale):
                return pair.lr, f"{size[1]}x{size[0]} is not {pair.hr}: {width}x{height} divided by {scale}"
    except PictureError as error:
        return error.path, error.reason
    return None


class Validation:
    """Computes PSNR and SSIM of a generator over a test set, see `usable_pairs`, with its weights at the time of the
    call; and strips of the first images. For `degradation` see `load_pair`."""

    def __init__(
        self, generator: keras.Model, pairs: Sequence[Pair], scale: int, degradation: Degradation | None = None
    ):
        self._generator = generator
        self._pairs = pairs
        self._scale = scale
        self._degradation = degradation

    def __call__(self) -> tuple[dict[str, float], dict[str, NDArray[np.uint8]]]:
        """Scores the generator as it is.

        Returns:
            `(scores, strips)`: a dict with the mean `"psnr"` in dB, at most 100 of each image, and `"ssim"`; a dict
            from name to bicubic | SR | HR of the picture's centre, uint8 `(H, 3 W, 3)`.

        Raises:
            UserError: A picture cannot be read or upscaled.
        """
        psnr, ssim, strips = [], [], {}
        upscaler = Upscaler(self._generator)  # copies the weights
        for number, pair in enumerate(self._pairs):
            hr, lr = load_pair(pair, self._scale, self._degradation)
            with image_errors(f"{pair.lr or pair.hr}, to validate on"):
                sr = upscaler.upscale(lr)
            channels = luma_channel(pair)
            psnr.append(min(metrics.psnr(hr, sr, channels=channels), _MOST_PSNR))
            ssim.append(metrics.ssim(hr, sr, channels=channels))
            if number < STRIPS:
                parts = (upscale_bicubic(lr, self._scale), sr, hr)
                strips[pair.name] = np.concatenate([_centre(part) for part in parts], axis=1)
        # TensorFlow's graphs are reference cycles, which would keep a copy of the weights for each validation.
        del upscaler
        gc.collect()
        return {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}, strips


def _centre(picture):
    height, width = picture.shape[:2]
    top, left = max(height - STRIP_SIDE, 0) // 2, max(width - STRIP_SIDE, 0) // 2
    return picture[top : top + STRIP_SIDE, left : left + STRIP_SIDE]
