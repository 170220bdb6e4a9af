"""Scores a generator during training: whole pictures, in inference mode."""

import numpy as np

from srgan_tf.evaluation import metrics
from srgan_tf.evaluation.benchmark import load_pair
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.inference.upscaler import Upscaler

STRIPS = 3  # pictures that are shown
STRIP_SIDE = 192  # pixels of each that are shown


class Validation:
    """PSNR and SSIM over a test set, and strips of its first pictures.

    Args:
        generator: G; its weights at the time of the call count.
        pairs: A list of `data.folders.Pair`.
        scale: Factor.
    """

    def __init__(self, generator, pairs, scale):
        self._upscaler = Upscaler(generator)
        self._pairs = pairs
        self._scale = scale

    def __call__(self):
        """Scores the generator as it is.

        Returns:
            `(scores, strips)`: a dict with the mean `"psnr"` in dB and `"ssim"`; a dict from name to bicubic | SR | HR
            of the picture's centre, uint8 `(H, 3 W, 3)`.

        Raises:
            UserError: A picture cannot be read.
        """
        psnr, ssim, strips = [], [], {}
        for number, pair in enumerate(self._pairs):
            hr, lr = load_pair(pair, self._scale)
            sr = self._upscaler.upscale(lr)
            psnr.append(metrics.psnr(hr, sr))
            ssim.append(metrics.ssim(hr, sr))
            if number < STRIPS:
                parts = (upscale_bicubic(lr, self._scale), sr, hr)
                strips[pair.name] = np.concatenate([_centre(part) for part in parts], axis=1)
        return {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}, strips


def _centre(picture):
    height, width = picture.shape[:2]
    top, left = max(height - STRIP_SIDE, 0) // 2, max(width - STRIP_SIDE, 0) // 2
    return picture[top : top + STRIP_SIDE, left : left + STRIP_SIDE]
