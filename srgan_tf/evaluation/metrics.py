"""PSNR and the two SSIMs of super-resolution's tables, and the list of all columns of the tables, `COLUMNS`.

All are computed from 8-bit images after cutting `SHAVE` pixels at each border. The published tables use Y, here
`channels="y"`: ITU-R BT.601 in studio range, in float64 and not rounded. For a gray file they use its values, here
`channels="gray"`, since MATLAB reads one channel then, and scripts convert only three. That is one image of Set14, and
0.09 dB of that set's mean.

To add a metric, write its function and add a `Metric` to `METRICS`. Tables, CSV, intervals, report and protocol follow.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from srgan_tf.evaluation.lpips import HOW_TO_GET
from srgan_tf.imaging.color import full_range_luma, luma

SHAVE = 4  # pixels cut at each border, where 4x systems see least
WINDOW = 11  # side of the Gaussian window of Wang's SSIM, pixels
CHANNELS = ("y", "gray", "rgb")
_PEAK = 255.0
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2  # Wang et al. 2004: K1 = 0.01, K2 = 0.03
_PAPER_SIGMA = 1.5 / 256  # daala: 1.5 pixels for an image of 256 rows
_KERNEL_WEIGHT = 256  # daala's windows are integers in units of 1/256


def compared(
    reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y", window: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The channels of two images that the metrics compare, cut at the borders.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, of the same type and shape.
        shave: Pixels to cut at each of the four borders.
        channels: `"y"`, in [16, 235]; `"gray"`, the same stretched to [0, 255], so that R = G = B keeps its value; or
            `"rgb"`.
        window: Side of a window that must fit into what is left, pixels.

    Returns:
        `(references, images)`: two float64 arrays `(C, H - 2 shave, W - 2 shave)`, C 1 or 3.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or are too small.
    """
    reference, image = np.asarray(reference), np.asarray(image)
    for picture in (reference, image):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"Images must be uint8 (H, W, 3). Received: {picture.dtype} {picture.shape}")
    if reference.shape != image.shape:
        raise ValueError(f"Images must be equally large. Received: {reference.shape} and {image.shape}")
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {CHANNELS}. Received: {channels!r}")
    height, width = reference.shape[:2]
    if min(height, width) < (min_side := 2 * shave + window):
        raise ValueError(f"Each side must be at least {min_side} pixels. Received: {height}x{width}")
    inside = np.s_[shave : height - shave, shave : width - shave]
    if channels == "rgb":
        return _planes(reference[inside]), _planes(image[inside])
    convert = luma if channels == "y" else full_range_luma
    return convert(reference[inside])[None], convert(image[inside])[None]


def _planes(picture):
    return np.moveaxis(picture, 2, 0).astype(np.float64)


def psnr(reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y") -> float:
    """Peak signal-to-noise ratio, 10 log10(255^2 / MSE), as in the published tables.

    The peak is 255, though Y ends at 235, as in every published table. With `channels="rgb"` the MSE is over all three.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, of the same type and shape.
        shave: Pixels to cut at each of the four borders.
        channels: `"y"`; `"gray"`, for an original whose file is gray; or `"rgb"`.

    Returns:
        dB, a float; infinite for equal images.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or are too small.
    """
    return psnr_of(*compared(reference, image, shave, channels))


def psnr_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`psnr` of the result of `compared`."""
    error = np.mean((references - images) ** 2)
    return float(10 * np.log10(_PEAK**2 / error)) if error else float("inf")


def ssim(reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y") -> float:
    """Structural similarity of Wang et al. 2004: its equation 13, averaged over the image.

    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, population covariance, and only windows that
    lie wholly inside what is left after the cut. With `channels="rgb"` it is the mean of the three channels' values.
    Arguments and errors are those of `psnr`.

    Returns:
        A float, at most 1; 1 for equal images.
    """
    return ssim_of(*compared(reference, image, shave, channels, WINDOW))


def ssim_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`ssim` of the result of `compared`."""
    kernel = _wang_kernel()
    inside = np.s_[WINDOW // 2 : -(WINDOW // 2), WINDOW // 2 : -(WINDOW // 2)]
    maps = (_similarity(x, y, kernel, inside) for x, y in zip(references, images))
    return float(np.mean([np.mean(values) for values in maps]))


def paper_ssim(
    reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y"
) -> float:
    """The SSIM of Ledig et al. 2017 and of the slides: that of `dump_ssim` in Xiph's daala, on Y.

    Its Gaussian windows grow with the image: sigma is 1.5 pixels for each 256 rows that are compared, in both
    directions. Weights are integers in units of 1/256, and end where they would be below half a unit. At the border
    the windows are cut off; each counts by the sum of its weights, in its own moments and in the mean. Arguments and
    errors are those of `psnr`, but `channels` cannot be `"rgb"`.

    Returns:
        A float, at most 1; 1 for equal images.
    """
    return paper_ssim_of(*compared(reference, image, shave, channels))


def paper_ssim_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`paper_ssim` of the result of `compared` for one channel."""
    (x,), (y,) = references, images
    height, width = x.shape
    kernel = daala_kernel(height * _PAPER_SIGMA, min(height, width))
    weights = [_correlate(np.ones(length), kernel, 0) for length in (height, width)]
    counts = np.multiply.outer(*weights)
    return float(np.average(_similarity(x, y, kernel, np.s_[:], weights), weights=counts))


@functools.lru_cache(maxsize=64)  # the images of a set have few heights
def daala_kernel(sigma: float, longest: int) -> NDArray[np.float64]:
    """The window of `dump_ssim` along one axis, for a sigma in pixels.

    Returns:
        `(2 n + 1,)` float64, n < `longest`: symmetric integers with the sum 256.
    """
    cut = np.sqrt(np.pi / 2) * sigma / _KERNEL_WEIGHT
    reach = 0 if cut >= 1 else int(sigma * np.sqrt(-2 * np.log(cut)))
    distances = np.arange(1, min(reach, longest - 1) + 1)
    peak = _KERNEL_WEIGHT / (np.sqrt(2 * np.pi) * sigma)
    side = np.floor(peak * np.exp(-0.5 * (distances / sigma) ** 2) + 0.5)
    return np.concatenate([side[::-1], [_KERNEL_WEIGHT - 2 * side.sum()], side])


@functools.lru_cache(maxsize=1)
def _wang_kernel():
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / 1.5) ** 2)
    return weights / weights.sum()


def _correlate(values, kernel, axis):
    from scipy.ndimage import correlate1d  # here, since all commands import this module, but few need SciPy

    return correlate1d(values, kernel, axis, mode="constant")


def _similarity(x, y, kernel, inside, weights=None):
    """SSIM around each pixel, float64 of the shape that `inside` cuts from `(H, W)`.

    `kernel` is the window along either axis; `weights`, if the border cuts it off, its sum at each place of each axis.
    """

    def mean(values):
        filtered = _correlate(_correlate(values, kernel, 0), kernel, 1)
        if weights is not None:
            filtered /= weights[0][:, None]
            filtered /= weights[1]
        return filtered[inside]

    mx, my = mean(x), mean(y)
    product = mx * my
    squares = mx * mx + my * my
    covariance = mean(x * y) - product
    variances = mean(x * x + y * y) - squares
    return (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))


class Comparison:
    """An image and its original; the channels that metrics need are computed once.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, of the same type and shape.
        luma_channel: `"y"`, or `"gray"` for a gray original; see `compared`.
    """

    def __init__(self, reference: NDArray[np.uint8], image: NDArray[np.uint8], luma_channel: str = "y"):
        self.reference, self.image, self._luma_channel = reference, image, luma_channel

    @functools.cached_property
    def y(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `compared` returns for Y, or for gray."""
        return compared(self.reference, self.image, channels=self._luma_channel)

    @functools.cached_property
    def rgb(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `compared` returns for R, G and B."""
        return compared(self.reference, self.image, channels="rgb")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column of the tables: a number about the output of a system, and how to show it.

    Attributes:
        key: Its name in a `records.Score`, in CSV and in JSON.
        heading: Heading of the column.
        digits: Number of decimals.
        protocol: How it is measured, a sentence; `{net}` in it is LPIPS' network. Empty: not mentioned.
        function: From a `Comparison` to the number; None: it is measured otherwise, or only published.
        higher_is_better: Whether a higher number is better.
        option: The flag of mode evaluate that asks for it, `"rgb"` or `"lpips"`; None: it is always measured.
        missing: How to have it measured. If given, the column stays without it, and the protocol says this.
    """

    key: str
    heading: str
    digits: int
    protocol: str = ""
    function: Callable[[Comparison], float] | None = None
    higher_is_better: bool = True
    option: str | None = None
    missing: str = ""

    def text(self, values: Mapping[str, float | None]) -> str:
        """The number in `values`, a dict by key, as text: empty if it is unknown, ∞ if it is infinite."""
        value = values.get(self.key)
        if value is None or math.isnan(value):
            return ""
        return f"{value:.{self.digits}f}" if math.isfinite(value) else "∞"


_CROPPED = f"8-bit images, {SHAVE} pixels cut at each border; peak 255"
# Measured on each image, and compared between systems.
METRICS = (
    Metric(
        key="psnr",
        heading="PSNR dB",
        digits=2,
        protocol="on Y of BT.601, 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded, or on the values of a gray"
        f" file; {_CROPPED}",
        function=lambda pictures: psnr_of(*pictures.y),
    ),
    Metric(
        key="paper_ssim",
        heading="SSIM (daala)",
        digits=4,
        protocol="on the same; the paper's: dump_ssim of Xiph's daala, Gaussian windows, sigma 1.5 height / 256, cut at"
        " the border",
        function=lambda pictures: paper_ssim_of(*pictures.y),
    ),
    Metric(
        key="ssim",
        heading="SSIM (Wang)",
        digits=4,
        protocol="on the same; Wang et al. 2004: Gaussian window 11x11, sigma 1.5, inside the image",
        function=lambda pictures: ssim_of(*pictures.y),
    ),
    Metric(
        key="rgb_psnr",
        heading="PSNR RGB",
        digits=2,
        protocol=f"over R, G and B; {_CROPPED}",
        function=lambda pictures: psnr_of(*pictures.rgb),
        option="rgb",
    ),
    Metric(
        key="rgb_ssim",
        heading="SSIM RGB",
        digits=4,
        protocol=f"SSIM (Wang) of R, G and B, their mean; {_CROPPED}",
        function=lambda pictures: ssim_of(*pictures.rgb),
        option="rgb",
    ),
    Metric(
        key="lpips",
        heading="LPIPS",
        digits=4,
        protocol="Zhang et al. 2018, version 0.1, {net}; whole RGB images; lower is better",
        higher_is_better=False,
        option="lpips",
        missing=f"needs its weights; {HOW_TO_GET}",
    ),
)
MOS = Metric(key="mos", heading="MOS", digits=2)
SECONDS = Metric(
    key="seconds",
    heading="seconds",
    digits=3,
    protocol="of the upscaling alone, in memory, on this machine",
    higher_is_better=False,
)
SPEED = Metric(key="megapixels_per_s", heading="megapixels/s", digits=2, protocol="of the output, in these seconds")
COLUMNS = (*METRICS, MOS, SECONDS, SPEED)  # in the order of all tables
