"""PSNR and the two SSIMs of super-resolution's tables, and the list of all that the tables show, `COLUMNS`.

Every figure is computed from 8-bit images without `SHAVE` pixels at each border; the published tables have Y, here
`channels="y"`: ITU-R BT.601 in studio range, in float64 and not rounded. Where the original's file is gray, they have
its own values, here `channels="gray"`: MATLAB reads one channel there, and scripts convert three. It is one image of
Set14, and 0.09 dB of that set's mean.

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

SHAVE = 4  # pixels cut at each border: 4x systems know least there
WINDOW = 11  # side of the Gaussian window of Wang's SSIM, pixels
CHANNELS = ("y", "gray", "rgb")
_PEAK = 255.0
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2  # Wang et al. 2004: K1 = 0.01, K2 = 0.03
_PAPER_SIGMA = 1.5 / 256  # daala: 1.5 pixels for a picture of 256 rows
_KERNEL_WEIGHT = 256  # daala's windows are integers in units of 1/256


def compared(
    reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y", window: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the metrics compare: a list of channels of each image, cut at the borders.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, the same type and shape.
        shave: Pixels cut at each of the four borders.
        channels: `"y"`, in [16, 235]; `"gray"`, the same stretched to [0, 255], so that R = G = B keeps its value; or
            `"rgb"`.
        window: Side of what must fit into what is left of them, pixels.

    Returns:
        `(references, images)`: two float64 arrays `(C, H - 2 shave, W - 2 shave)`, C 1 or 3.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or less than a window is left of them.
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
        image: The image to score, the same type and shape.
        shave: Pixels cut at each of the four borders.
        channels: As of `compared`.

    Returns:
        dB, a float; infinite if what is compared is equal.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or nothing is left of them.
    """
    return psnr_of(*compared(reference, image, shave, channels))


def psnr_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`psnr` of what `compared` returns."""
    error = np.mean((references - images) ** 2)
    return float(10 * np.log10(_PEAK**2 / error)) if error else float("inf")


def ssim(reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y") -> float:
    """Structural similarity of Wang et al. 2004: its equation 13, averaged over the image.

    Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, population covariance, and only windows that
    lie wholly inside what is left after the cut. With `channels="rgb"` it is the mean of the three channels' values.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, the same type and shape.
        shave: Pixels cut at each of the four borders.
        channels: As of `compared`.

    Returns:
        A float, at most 1; 1 if what is compared is equal.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or less than one window is left of them.
    """
    return ssim_of(*compared(reference, image, shave, channels, WINDOW))


def ssim_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`ssim` of what `compared` returns."""
    kernel = _wang_kernel()
    inside = np.s_[WINDOW // 2 : -(WINDOW // 2), WINDOW // 2 : -(WINDOW // 2)]
    maps = (_similarity(x, y, kernel, inside) for x, y in zip(references, images))
    return float(np.mean([np.mean(values) for values in maps]))


def paper_ssim(
    reference: NDArray[np.uint8], image: NDArray[np.uint8], shave: int = SHAVE, channels: str = "y"
) -> float:
    """The SSIM of Ledig et al. 2017 and of the slides: that of `dump_ssim` in Xiph's daala, on Y.

    Its Gaussian windows grow with the image: sigma is 1.5 pixels for each 256 rows of what is compared, in both
    directions. Their weights are integers in units of 1/256, ending where they would be under half of that. At the
    border the windows are cut; each counts by the sum of its weights, in its own moments and in the mean.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, the same type and shape.
        shave: Pixels cut at each of the four borders.
        channels: `"y"` or `"gray"`, see `compared`.

    Returns:
        A float, at most 1; 1 if the two channels are equal.

    Raises:
        ValueError: The images are not uint8 RGB, differ in shape, or nothing is left of them.
    """
    return paper_ssim_of(*compared(reference, image, shave, channels))


def paper_ssim_of(references: NDArray[np.float64], images: NDArray[np.float64]) -> float:
    """`paper_ssim` of what `compared` returns for `channels="y"`."""
    (x,), (y,) = references, images
    height, width = x.shape
    kernel = daala_kernel(height * _PAPER_SIGMA, min(height, width))
    weights = [_correlate(np.ones(length), kernel, 0) for length in (height, width)]
    counts = np.multiply.outer(*weights)
    return float(np.average(_similarity(x, y, kernel, np.s_[:], weights), weights=counts))


@functools.lru_cache(maxsize=64)  # the pictures of a set have few heights
def daala_kernel(sigma: float, longest: int) -> NDArray[np.float64]:
    """The window of `dump_ssim` along one axis, for a sigma in pixels; it reaches less than `longest` from its centre.

    Returns:
        `(2 n + 1,)` float64 of integers, symmetric, that sum to 256.
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
    from scipy.ndimage import correlate1d  # here, since all commands import this module, and few SciPy

    return correlate1d(values, kernel, axis, mode="constant")


def _similarity(x, y, kernel, inside, weights=None):
    """SSIM around each pixel, float64 of the shape that `inside` cuts from `(H, W)`.

    `kernel` is the window along either axis; `weights`, per axis, what is left of its sum where the border cuts it.
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
    """An image and its original, from which each metric takes the channels that it needs; they are made once.

    Args:
        reference: The original, uint8 RGB `(H, W, 3)`.
        image: The image to score, the same type and shape.
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
    """A number that is known of what a system makes, and how it is shown.

    Attributes:
        key: Its name in a `records.Score`, in CSV and in JSON.
        heading: Of its column.
        digits: Decimals that are shown.
        protocol: How it is measured, a sentence; `{net}` in it is LPIPS' network. Empty: nothing is said.
        function: From a `Comparison` to the number; None: `benchmark` or the publication has it from elsewhere.
        higher_is_better: Whether it is.
        option: The flag of mode evaluate that asks for it, `"rgb"` or `"lpips"`; None: it is always measured.
        missing: How to have it measured; its column stays while it is not, and the protocol says this.
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
        """The number among `values`, by key, as it is shown: empty if it is not known, ∞ if it is infinite."""
        value = values.get(self.key)
        if value is None or math.isnan(value):
            return ""
        return f"{value:.{self.digits}f}" if math.isfinite(value) else "∞"


_CROPPED = f"8-bit images, {SHAVE} pixels cut at each border; peak 255"
# What is measured on each picture and compared between systems.
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
