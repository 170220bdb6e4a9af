"""Upscales pictures of any size with a trained generator, in tiles where the memory asks for it."""

import math

import numpy as np
import psutil
import tensorflow as tf

from srgan_tf.imaging.color import to_network
from srgan_tf.imaging.files import Picture
from srgan_tf.imaging.resize import upscale_bicubic
from srgan_tf.models.generator import generator_shape, receptive_margin

LARGEST_TILE = 512  # side that is chosen at most, LR pixels: the margins of 16 blocks are a third more work there
SMALLEST_TILE = 32  # side that is chosen at least, LR pixels: the margins are ten times the work there
_LIVE_TENSORS = 3  # of the full resolution at once: a layer's input, its output and what the convolution needs between


def upscale_batch_function(generator):
    """The generator on 8-bit pictures, as one graph for all sizes.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`.

    Returns:
        A `tf.function` from uint8 `(N, H, W, 3)` in [0, 255] to uint8 `(N, scale H, scale W, 3)`, rounded to nearest
        and clipped: `from_network(generator(to_network(image), training=False))`, on the processor to the last bit.
    """
    # Looked up, because TensorFlow turns a division by a constant into a multiplication, which rounds otherwise: one
    # value of 7,000 came out a level off.
    network_values = to_network(np.arange(256, dtype=np.uint8))

    # Not inlined, because the graph optimizer would then change the order of G's sums, adding its skips before BN's
    # offset: four values of 100,000 came out a level off.
    @tf.function(experimental_attributes={"_noinline": True})
    def generate(lr):
        return tf.cast(generator(lr, training=False), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")], jit_compile=False)
    def upscale_batch(image):
        sr = generate(tf.gather(network_values, tf.cast(image, tf.int32)))
        return tf.cast(tf.clip_by_value(tf.round((sr + 1.0) * 127.5), 0.0, 255.0), tf.uint8)

    return upscale_batch


class Upscaler:
    """Upscales one picture after another.

    A tile is computed with a margin of the generator's receptive field, so that a picture upscaled in tiles equals the
    same picture upscaled whole, but for values that lie so near to a half that float32 rounds them either way.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`.
        tile: Side of the LR tiles in pixels, without the margin; 0 takes every picture whole; None takes a picture
            whole where it fits into `memory_limit`, and else tiles that do, with a side of 32 to 512.
        memory_limit: Bytes that the features of one tile may take, when `tile` is None. They are estimated as three
            float32 tensors of the full resolution: 12 KiB for each LR pixel at 64 channels and scale 4. By default a
            quarter of the computer's free memory at the time of the call.

    Attributes:
        scale: The enlargement.
    """

    def __init__(self, generator, tile=None, memory_limit=None):
        if tile is not None and tile < 0:
            raise ValueError(f"tile must not be negative. Received: {tile}")
        _, self.scale, filters = generator_shape(generator)
        self._margin = receptive_margin(generator)
        self._bytes_per_pixel = _LIVE_TENSORS * filters * np.dtype(np.float32).itemsize * self.scale**2
        self._tile = tile
        self._memory_limit = memory_limit
        self._upscale_batch = upscale_batch_function(generator)

    def tile_side(self, height, width):
        """The side of the tiles, without margin, that an LR picture of this size is cut into; 0: taken whole."""
        if self._tile is not None:
            return self._tile
        limit = psutil.virtual_memory().available // 4 if self._memory_limit is None else self._memory_limit
        pixels = min(limit // self._bytes_per_pixel, (LARGEST_TILE + 2 * self._margin) ** 2)
        if height * width <= pixels:
            return 0
        return max(SMALLEST_TILE, math.isqrt(pixels) - 2 * self._margin)

    def upscale(self, image):
        """Upscales an RGB picture.

        Args:
            image: uint8 `(H, W, 3)`, H and W at least 1.

        Returns:
            uint8 `(scale H, scale W, 3)`.

        Raises:
            MemoryError: The memory did not suffice.
            ValueError: `image` has another type or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"image must be uint8 (H, W, 3). Received: {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        side = self.tile_side(height, width) or max(height, width)
        result = np.empty((height * self.scale, width * self.scale, 3), np.uint8)
        for top in range(0, height, side):
            for left in range(0, width, side):
                self._upscale_tile(image, result, top, left, side)
        return result

    def _upscale_tile(self, image, result, top, left, side):
        """Fills one tile of `result`. Its window is cut off at the picture's border, where the network pads anyway."""
        scale, margin = self.scale, self._margin
        bottom, right = min(top + side, image.shape[0]), min(left + side, image.shape[1])
        above, before = max(top - margin, 0), max(left - margin, 0)
        window = image[above : bottom + margin, before : right + margin]
        try:
            sr = self._upscale_batch(window[None]).numpy()[0]
        except tf.errors.ResourceExhaustedError:
            size = f"{window.shape[1]}x{window.shape[0]}"
            raise MemoryError(f"out of memory while upscaling {size} pixels at once; set a smaller --tile") from None
        rows = slice((top - above) * scale, (bottom - above) * scale)
        columns = slice((left - before) * scale, (right - before) * scale)
        result[top * scale : bottom * scale, left * scale : right * scale] = sr[rows, columns]

    def upscale_picture(self, picture):
        """Upscales a picture of any kind: the colors by the generator, the transparency by MATLAB's bicubic.

        Args:
            picture: An `imaging.files.Picture`.

        Returns:
            A `Picture`, `scale` times as high and wide; a gray one stays gray (the mean of the three channels).

        Raises:
            MemoryError: The memory did not suffice.
        """
        pixels = self.upscale(picture.pixels)
        if picture.gray:
            mean = np.rint(pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
            pixels = np.repeat(mean, 3, axis=2)
        alpha = None if picture.alpha is None else upscale_bicubic(picture.alpha, self.scale)
        return Picture(pixels, alpha, picture.gray)
