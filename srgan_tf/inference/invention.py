"""Maps how much of an upscaled image the network invents, as the expected error at each pixel.

Where the detail follows from LR, a network gives the same result for an image and for the image rotated by 90 degrees;
where it invents detail, the results differ. The root mean square of the difference in Y around each pixel was
calibrated on twelve photographs that no training saw, in 23 parts of 512x512 pixels (docs/figures.py): it explains 0.85
of the variance of the logarithm of SRGAN's true error there. For an earlier SRGAN it explained 0.82; the alternatives
were all eight flips and rotations, 0.84 for four times the work; the difference from SRResNet, 0.81; and the part of SR
that bicubic downscaling removes, 0.77.
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike
from PIL import Image

from srgan_tf.imaging.color import LUMA
from srgan_tf.imaging.raster import open_raster
from srgan_tf.imaging.raster_writer import write_raster, writer_bytes
from srgan_tf.inference import arrays
from srgan_tf.inference.invention_map import LEGEND_ROWS, Invention, colored, legend
from srgan_tf.inference.networks import traced
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.system.errors import UserError

# The expected error, a root mean square in levels, is factor times difference plus floor; `(factor, floor)` by scale.
CALIBRATION = {2: (1.84, 0.50), 4: (1.54, 0.56)}
_SIGMA, _RADIUS = 2.0, 8  # of the Gaussian window around a pixel, pixels of the result
# Memory of the map besides the network, as channels of G: 270 to 330 bytes for each output pixel.
_MORE_FILTERS = 120
_LARGEST = 255.0  # the largest error that a map can hold, levels


class TurnedDifference(tf.Module):
    """A network, see `networks`, whose output is the expected error of another network: the difference between its
    results for an image and for the rotated image."""

    def __init__(self, network):
        super().__init__(name="turned_difference")
        self.scale, self.filters = network.scale, network.filters + _MORE_FILTERS
        self.margin = network.margin + math.ceil(_RADIUS / network.scale)
        self._factor, self._floor = CALIBRATION.get(network.scale, CALIBRATION[4])
        self._network = traced(network)
        window = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
        self._window = np.float32(window / window.sum())

    def __call__(self, lr):
        """The expected error of float32 `(N, H, W, 3)` in [-1, 1]: `(N, scale H, scale W, 3)`, -1 for none."""
        sr = self._network(lr)
        with tf.control_dependencies([sr]):  # not at the same time, to save memory
            turned = self._network(tf.reverse(tf.transpose(lr, (0, 2, 1, 3)), [1]))
        turned = tf.transpose(tf.reverse(turned, [1]), (0, 2, 1, 3))
        difference = 127.5 * tf.tensordot(sr - turned, np.float32(LUMA / 255), 1)[..., None]
        # At the borders the window is cut off.
        weight = self._blurred(tf.ones_like(difference))
        error = self._factor * tf.sqrt(self._blurred(difference**2) / weight) + self._floor
        return tf.repeat(error / (_LARGEST / 2) - 1, 3, axis=-1)

    def _blurred(self, values):
        for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
            values = tf.nn.conv2d(values, tf.reshape(self._window, shape), 1, "SAME")
        return values


class ErrorMapper:
    """Maps the expected error of images that an `Upscaler` upscales.

    The map is of the network without self-ensemble and back-projection, ignores alpha, and takes twice the work of
    upscaling.
    """

    def __init__(self, upscaler: Upscaler):
        self._mapper = upscaler.running(TurnedDifference(upscaler.network))
        self.scale = upscaler.scale

    def __call__(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """The map of an image, as `Upscaler.upscale` takes it: float32 `(scale * H, scale * W)`, see `strips`."""
        values = arrays.to_array(image)
        height, width, bands = values.shape
        strips = self.strips(lambda top, bottom: values[top:bottom], height, width, bands, values.dtype)
        return np.concatenate(list(strips))

    def strips(
        self,
        rows: Callable[[int, int], np.ndarray],
        height: int,
        width: int,
        bands: int,
        dtype: DTypeLike,
        *,
        reserve: int = 0,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[np.ndarray]:
        """The map of an image strip by strip; the arguments are those of `Upscaler.upscale_strips`.

        Returns:
            An iterator of float32 `(h, scale * width)`: the root mean square of the error in Y of BT.601 around each
            pixel, in levels of 255.
        """
        colors = bands - (bands in (2, 4))
        factor = 65535 // np.iinfo(np.dtype(dtype)).max  # in 16 bits, for a map with fine steps

        def wide(top, bottom):
            return rows(top, bottom)[..., :colors].astype(np.uint16) * np.uint16(factor)

        strips = self._mapper.upscale_strips(wide, height, width, colors, np.uint16, reserve=reserve, progress=progress)
        return (strip[..., 0] * np.float32(_LARGEST / 65535) for strip in strips)


def expected_error(upscaler: Upscaler, image: np.ndarray | Image.Image) -> np.ndarray:
    """The expected error of one image that an `Upscaler` upscales, see `ErrorMapper`."""
    return ErrorMapper(upscaler)(image)


def write_map(
    source: Path | str,
    target: Path | str,
    upscaler: Upscaler,
    max_pixels: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> Invention:
    """Writes the map of an image file: the expected error in the colors of viridis, with a legend below.

    Args:
        source: The image.
        target: The file of the map, in any format that can be written.
        upscaler: The `Upscaler` of which to map the error.
        max_pixels: See `open_raster`.
        progress: See `Upscaler.upscale_strips`.

    Raises:
        UserError: The image cannot be read, the map cannot be written, or the memory does not suffice.
    """
    invention = Invention()
    blank = io.BytesIO()
    Image.new("RGB", (1, 1)).save(blank, "PNG")
    with open_raster(source, max_pixels) as raster, open_raster(blank.getvalue()) as canvas:
        shape = raster.height * upscaler.scale + LEGEND_ROWS, raster.width * upscaler.scale
        reserve = writer_bytes(canvas, "png", *shape)
        size = raster.height, raster.width, raster.bands, raster.dtype
        try:
            strips = ErrorMapper(upscaler).strips(raster.rows, *size, reserve=reserve, progress=progress)
        except UserError as error:  # about memory, without the name of the file
            raise UserError(f"{source}: {error}") from None
        write_raster(target, canvas, _colored(strips, shape[1], invention), shape)
    return invention


def _colored(strips: Iterable[np.ndarray], width: int, invention: Invention):
    """Yields the strips in colors, then the legend, and counts the pixels in `invention`."""
    for strip in strips:
        invention.add(strip)
        yield colored(strip)
    yield legend(width, invention.legend)
