"""Converts pixel values between 8 bits and the network's [-1, 1], and computes luma, on which the tables are based."""

import numpy as np
from numpy.typing import ArrayLike

LUMA = np.array([65.481, 128.553, 24.966])  # Y of BT.601 in studio range, levels for 255 of R, G and B
LUMA_OF_UNIT_RGB = np.float32(LUMA / LUMA.sum())  # Y in [-1, 1] of RGB in [-1, 1], black to white


def to_network(image: ArrayLike) -> np.ndarray:
    """uint8 [0, 255] to float32 [-1, 1], any shape: the slides' `x / 127.5 - 1`."""
    return np.asarray(image, np.float32) / np.float32(127.5) - np.float32(1)


def from_network(image: ArrayLike) -> np.ndarray:
    """Float [-1, 1] to uint8 [0, 255], any shape; rounded, not truncated, and clipped."""
    return np.clip(np.rint((np.asarray(image, np.float32) + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)


def luma(image: ArrayLike) -> np.ndarray:
    """Y of ITU-R BT.601 in studio range, as MATLAB's `rgb2ycbcr` has it: what PSNR and SSIM are computed on.

    Args:
        image: `(..., 3)` RGB in [0, 255], uint8 or floating point.

    Returns:
        `(...)` float64 in [16, 235], not rounded.
    """
    return 16 + np.asarray(image, np.float64) @ (LUMA / 255)


def full_range_luma(image: ArrayLike) -> np.ndarray:
    """`luma` stretched to [0, 255], so that R = G = B keeps its value."""
    return np.asarray(image, np.float64) @ (LUMA / LUMA.sum())
