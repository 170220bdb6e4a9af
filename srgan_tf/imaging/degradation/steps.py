"""The steps of a chain. Each makes an 8-bit image from an 8-bit image, as a camera or a program would.

Every step rounds to 8 bits, and computes in integers, in double precision or without sums, so that the same draw gives
the same image on every machine. No step shifts the image: kernels are symmetric, and resizing aligns the outer borders.
"""

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy import fft, special

from srgan_tf.imaging.degradation.random import Random
from srgan_tf.imaging.resize import imresize

Picture = NDArray[np.uint8]  # RGB, (H, W, 3)
METHODS = ("bicubic", "area", "bilinear", "lanczos")
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}
_MCU = 16  # pixels a side that JPEG encodes together at 4:2:0


@dataclasses.dataclass(frozen=True)
class Scene:
    """The context of a step.

    Attributes:
        hr: `(height, width)` of HR.
        corner: First row and column of HR in the photograph that it is a crop of.
        random: The random numbers for noise.
    """

    hr: tuple[int, int]
    corner: tuple[int, int]
    random: Random


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Blur by a Gaussian or generalised Gaussian kernel (Real-ESRGAN, section 3.1).

    Attributes:
        size: Side of the kernel, odd, pixels.
        sigmas: Standard deviations along its two axes, pixels.
        angle: From the row to the first axis, radians.
        exponent: 1 for the common Gaussian, less for longer tails, more for a plateau.
    """

    size: int
    sigmas: tuple[float, float]
    angle: float
    exponent: float

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        return convolve(picture, gaussian_kernel(self.size, self.sigmas, self.angle, self.exponent))


@dataclasses.dataclass(frozen=True)
class SincFilter:
    """The ideal low-pass filter within a kernel, which causes ringing (Real-ESRGAN, section 3.3).

    Attributes:
        size: Side of the kernel, odd, pixels.
        cutoff: Radians a pixel.
    """

    size: int
    cutoff: float

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        return convolve(picture, sinc_kernel(self.size, self.cutoff))


@dataclasses.dataclass(frozen=True)
class Resize:
    """Resizes with antialiasing.

    Attributes:
        factor: Relative to the sides of HR, not of the image before the step; sides are rounded to whole pixels.
        method: One of `METHODS`: bicubic is MATLAB's, area the mean over the area of a new pixel, the others Pillow's.
    """

    factor: float
    method: str

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        height, width = (max(1, round(side * self.factor)) for side in scene.hr)
        if picture.shape[:2] == (height, width):
            return picture
        if self.method == "bicubic":
            return imresize(picture, height, width)
        if self.method == "area":  # Pillow's box filter weights pixels by 0 or 1, which shifts the image
            rows = _mean_rows(picture, height)
            return _rounded(_mean_rows(rows.swapaxes(0, 1), width).swapaxes(0, 1))
        return np.asarray(Image.fromarray(picture).resize((width, height), _FILTERS[self.method]))


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Adds normal noise.

    Attributes:
        sigma: Standard deviation, in levels of 255.
        gray: Whether all channels get the same.
    """

    sigma: float
    gray: bool

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        height, width, channels = picture.shape
        normals = scene.random.normals(height, width, 1 if self.gray else channels)
        return _rounded(picture + np.float32(self.sigma) * normals)


@dataclasses.dataclass(frozen=True)
class PoissonNoise:
    """Photon noise, whose variance is proportional to the brightness.

    The quantile of the Poisson distribution comes from its Cornish-Fisher expansion, with an error of one photon at
    most.

    Attributes:
        photons: Number of photons of white.
        gray: Whether all channels get the same noise, that of the luma.
    """

    photons: float
    gray: bool

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        counted = np.asarray(Image.fromarray(picture).convert("L"))[..., None] if self.gray else picture
        means = counted * np.float32(self.photons / 255)
        counts = poisson_quantiles(means, scene.random.normals(*means.shape))
        return _rounded(picture + (counts - means) * np.float32(255 / self.photons))


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """Encodes and decodes the image as JPEG. The grid of blocks is that of the photograph, not of the crop.

    Attributes:
        quality: 1 to 100.
        subsampling: "4:4:4" or "4:2:0".
    """

    quality: int
    subsampling: str

    def apply(self, picture: Picture, scene: Scene) -> Picture:
        top, left = (
            round(corner * side / hr) % _MCU for corner, side, hr in zip(scene.corner, picture.shape, scene.hr)
        )
        whole = np.pad(picture, ((top, 0), (left, 0), (0, 0)), mode="edge")
        file = io.BytesIO()
        Image.fromarray(whole).save(file, "JPEG", quality=self.quality, subsampling=self.subsampling)
        file.seek(0)
        # `Image.open` would warn of more than 89 megapixels, and refuse 179.
        return np.asarray(JpegImagePlugin.JpegImageFile(file))[top:, left:]


Step = GaussianBlur | SincFilter | Resize | GaussianNoise | PoissonNoise | Jpeg


def _mean_rows(picture, count):
    """Resizes to `count` rows, each the mean over the area that it covers; float64."""
    height = len(picture)
    edges = np.arange(count + 1) * height / count
    rows = np.minimum(edges.astype(np.int64), height - 1)
    sums = np.cumsum(picture, axis=0, dtype=np.float64)
    # The sum up to each edge: all rows before it, and a part of the row that it divides.
    up_to = sums[rows] - picture[rows] * (1 - (edges - rows))[:, None, None]
    return np.diff(up_to, axis=0) * (count / height)


def _rounded(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def gaussian_kernel(size: int, sigmas: tuple[float, float], angle: float = 0.0, exponent: float = 1.0) -> np.ndarray:
    """Weights proportional to `exp(-(x' C^-1 x)^exponent / 2)`, C the covariance; float64 `(size, size)`, sum 1."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    squares = (along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2
    kernel = np.exp(-0.5 * squares**exponent)
    return kernel / kernel.sum()


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """The circular low-pass filter `cutoff / (2 pi r) J1(cutoff r)`; float64 `(size, size)`, sum 1."""
    radii = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2))
    radii[size // 2, size // 2] = 1
    kernel = cutoff / (2 * np.pi * radii) * special.j1(cutoff * radii)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)  # its limit
    return kernel / kernel.sum()


def convolve(picture: Picture, kernel: np.ndarray) -> Picture:
    """Filters an image by an odd, symmetric kernel by FFT; beyond the border, the outermost pixels are repeated."""
    height, width, channels = picture.shape
    reach = kernel.shape[0] // 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    size = [fft.next_fast_len(side, real=True) for side in padded.shape[:2]]
    spectrum = fft.rfft2(kernel, size)
    filtered = np.empty_like(picture)
    for channel in range(channels):  # one at a time, to save memory with large images
        values = fft.irfft2(fft.rfft2(padded[..., channel].astype(np.float64), size) * spectrum, size)
        # The transform is periodic: the first rows and columns have the end of the image mixed in.
        filtered[..., channel] = _rounded(values[2 * reach :, 2 * reach :][:height, :width])
    return filtered


def poisson_quantiles(means: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Poisson counts for standard normal numbers, by the first terms of the Cornish-Fisher expansion; float32."""
    counts = np.rint(means + np.sqrt(means) * normals + (normals**2 - 1) / 6)
    return np.where(means > 0, np.maximum(counts, 0), 0)
