"""PSNR and SSIM as the published tables of super-resolution have them."""

import numpy as np
from skimage.metrics import structural_similarity

from srgan_tf.imaging.color import luma

SHAVE = 4  # pixels cut at each border: 4x systems know least there
WINDOW = 11  # side of SSIM's Gaussian window, pixels


def _compared(reference, image, shave, least):
    """The two Y channels, float64 `(H - 2 shave, W - 2 shave)`, each side at least `least`."""
    reference, image = np.asarray(reference), np.asarray(image)
    for picture in (reference, image):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"Pictures must be uint8 (H, W, 3). Received: {picture.dtype} {picture.shape}")
    if reference.shape != image.shape:
        raise ValueError(f"Pictures must be equally large. Received: {reference.shape} and {image.shape}")
    height, width = reference.shape[:2]
    if min(height, width) < 2 * shave + least:
        raise ValueError(f"Each side must be at least {2 * shave + least} pixels. Received: {height}x{width}")
    inside = np.s_[shave : height - shave, shave : width - shave]
    return luma(reference[inside]), luma(image[inside])


def psnr(reference, image, shave=SHAVE):
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE).

    The MSE is that of Y (ITU-R BT.601 in studio range, not rounded) without `shave` pixels at each border. The peak is
    255, though Y ends at 235, as in every published table.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The picture to judge, the same type and shape.
        shave: Pixels cut at each of the four borders.

    Returns:
        dB, a float; infinite if the two Y channels are equal.

    Raises:
        ValueError: The pictures are not uint8 RGB, differ in shape, or nothing is left of them.
    """
    reference, image = _compared(reference, image, shave, 1)
    error = np.mean((reference - image) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(reference, image, shave=SHAVE):
    """Structural similarity: Wang et al. 2004, equation 13, averaged over the picture.

    On the same Y as `psnr`: Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, population
    covariance, and only windows that lie wholly inside what is left after the cut.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The picture to judge, the same type and shape.
        shave: Pixels cut at each of the four borders.

    Returns:
        A float, at most 1; 1 if the two Y channels are equal.

    Raises:
        ValueError: The pictures are not uint8 RGB, differ in shape, or less than one window is left of them.
    """
    reference, image = _compared(reference, image, shave, WINDOW)
    return float(
        structural_similarity(
            reference, image, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
    )
