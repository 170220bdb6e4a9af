"""Upscales images of any kind and size with a trained generator, within a bounded memory."""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

from srgan_tf.imaging.back_projection import BackProjection, Residual, working_bytes
from srgan_tf.inference import arrays, faithful, tiling
from srgan_tf.inference.memory_budget import plan_tiles
from srgan_tf.inference.networks import BlendedNetworks, EnsembledNetwork, load_network, to_inference_network
from srgan_tf.inference.precision import FLOAT32
from srgan_tf.inference.tile_runner import Strip, TileRunner, refuse_fork, row_reach
from srgan_tf.weights import DEFAULT_WEIGHTS, DIAL, find_pretrained, find_weights

if TYPE_CHECKING:
    import keras

ImageT = TypeVar("ImageT", np.ndarray, Image.Image)


class Upscaler:
    """Upscales images of any size, without recompiling for each size.

        import numpy as np
        from PIL import Image
        from srgan_tf import Upscaler

        upscaler = Upscaler()
        upscaler.upscale(Image.open("photo.jpg")).save("large.png")
        assert upscaler.upscale(np.zeros((20, 30, 3), np.uint8)).shape == (80, 120, 3)

    An image is computed in tiles, each with a margin of the generator's receptive field, so that the result equals that
    of the whole image, except for values so near to a half that float32 rounds them either way. If a device's memory
    runs out, a batch and then its tiles are halved and stay so.

    One `Upscaler` may be used from several threads: their tiles are computed one at a time (a lock). `max_memory` then
    applies to each image separately. Other processes must be spawned: TensorFlow hangs in a process that was forked
    after TensorFlow had been used. An `Upscaler` with a weights file or pretrained weights can be pickled for them; it
    is then made again from the same arguments.

    Args:
        weights: A weights file (`.weights.h5`, `.keras`); the name of pretrained weights, see `from_pretrained`; a
            generator, see `models.generator.build_generator`, whose weights are copied; a network to run as it is, see
            `inference.networks`; or None, "srgan".
        toward: A second weights file of the same shape, or its name, for `strength`. None: "srgan", if `weights` is
            None, too.
        strength: 0 to 1: upscales with a network between `weights` (0), then by default "srresnet", and `toward` (1),
            see `dial.load_between`. None: with `weights` alone.
        ensemble: Whether to take the mean over the eight flips and quarter turns of the image, for a higher PSNR and 8
            times the work. See `networks.EnsembledNetwork`.
        tile: Side of the largest tile in LR pixels, without its margin; 0: the whole image; None: the size with the
            least work within the memory.
        max_memory: Bytes of the host's memory that the process may have at its peak, with all that it has already.
            None: half of the free memory more, at the time of the call, or the smallest tile if that is not enough.
        precision: The number format in which G is computed: "float32"; "bfloat16" or "float16", see
            `fused.FusedGenerator`; or "auto", the fastest on this machine, see `precision.choose_precision`. Other
            networks are computed in float32.
        faithful: Whether to change SR as little as possible so that MATLAB's bicubic of it,
            `imaging.resize.downscale`, is the input again: no value of LR differs by more than 1 level, and 99.9 % by
            none; with 16 bits, by 257 and 128. Alpha stays, and colors of fully transparent pixels are ignored. Where
            no such image is found, as at lines one pixel wide, SR stays as it is, and `upscale` and `upscale_batch`
            give a `UserWarning`.

    Attributes:
        scale: The scale factor.
        network: The network, without its self-ensemble; see `inference.networks`.
        precision: "float32", "bfloat16" or "float16".
        blended: Whether `strength` mixes the results of both networks, for twice the work, since their weights cannot
            be mixed.
        tile: As it was given.
        max_memory: As it was given.
        faithful: As it was given.

    Raises:
        UserError: There are no such weights, they are damaged, or Keras has another backend than TensorFlow, under
            which only G runs; or `toward` has another shape.
        RuntimeError: The process was forked after the first `Upscaler` was made.
        ValueError: `tile` is negative, `max_memory` is not positive, `weights`, `precision` or `strength` is invalid,
            or one of `weights`, `toward` and `strength` is missing.
    """

    def __init__(
        self,
        weights: Union[str, Path, "keras.Model", Callable, None] = None,
        *,
        toward: str | Path | None = None,
        strength: float | None = None,
        ensemble: bool = False,
        tile: int | None = None,
        max_memory: int | None = None,
        precision: str = FLOAT32,
        faithful: bool = False,
    ):
        refuse_fork()
        if tile is not None and tile < 0:
            raise ValueError(f"tile must not be negative. Received: {tile}")
        if max_memory is not None and max_memory <= 0:
            raise ValueError(f"max_memory must be positive. Received: {max_memory}")
        self._arguments = {"weights": weights, "toward": toward, "strength": strength, "ensemble": ensemble}
        self._arguments["precision"] = precision
        if strength is not None or toward is not None:
            weights = _between(weights, toward, strength)
        network = _network(weights, precision)
        self.network = network
        self._runner = TileRunner(EnsembledNetwork(network) if ensemble else network)
        self.scale = self._runner.scale
        self.precision = str(getattr(network, "precision", FLOAT32))
        self.blended = isinstance(network, BlendedNetworks)
        self.tile = tile
        self.max_memory = max_memory
        self.faithful = faithful

    def __reduce__(self):
        weights = self._arguments["weights"]
        if not (weights is None or isinstance(weights, (str, Path))):
            raise TypeError("an Upscaler of a model cannot be pickled; save the model, and give the file as weights")
        limits = {"tile": self.tile, "max_memory": self.max_memory, "faithful": self.faithful}
        return partial(type(self), **self._arguments, **limits), ()

    def __copy__(self):
        other = object.__new__(type(self))  # with the same network, not by `__reduce__`
        other.__dict__.update(self.__dict__)
        return other

    def running(self, network: Callable) -> "Upscaler":
        """A copy that runs another network, without back-projection."""
        other = copy.copy(self)
        other.network, other.faithful, other._runner = network, False, TileRunner(network)
        other._arguments = {"weights": network}
        return other

    @classmethod
    def from_pretrained(cls, name: str = DEFAULT_WEIGHTS, **options: Any) -> "Upscaler":
        """An `Upscaler` with pretrained weights of the package, whatever files are in the current folder.

            large = Upscaler.from_pretrained("srresnet").upscale(image)

        Args:
            name: "srgan", sharp; "srresnet", smooth and with the highest PSNR; "srgan-x2" and "srresnet-x2", for 2x;
                "espcn", by far the fastest on a CPU; "srcnn"; "srresnet-faces", for small faces; or "srgan-photo", for
                photographs with noise, blur or JPEG artefacts.
            **options: See `Upscaler`.

        Raises:
            UserError: There are no weights of this name, or their file is damaged.
            ValueError: As `Upscaler`.
        """
        return cls(find_pretrained(name), **options)

    def upscale(self, image: ImageT) -> ImageT:
        """Upscales an image.

        The generator upscales color, and gray as three equal channels, of whose results the mean is taken; alpha is
        upscaled by MATLAB's bicubic. Colors of fully transparent pixels are first replaced by those nearby.

        Args:
            image: A NumPy array, uint8 or uint16: `(H, W)` or `(H, W, 1)` gray, `(H, W, 2)` gray and alpha, `(H, W, 3)`
                RGB, `(H, W, 4)` RGBA, not premultiplied. Or a `PIL.Image.Image` of mode L, LA, RGB, RGBA or I;16, or of
                another that is converted to one of these: 1 to L, P to RGB or RGBA, CMYK to RGB. The orientation in its
                EXIF is not applied; `PIL.ImageOps.exif_transpose` does so, before or after.

        Returns:
            The image, `scale` times as high and wide, of the same type and bands as `image`. A `PIL.Image.Image` keeps
            the EXIF in its `info`, where Pillow has none of a TIFF, and, unless it was CMYK, its ICC profile.

        Raises:
            MemoryError: The memory does not suffice, even for the smallest tile.
            RuntimeError: The process was forked after the first `Upscaler` was made.
            UserError: `max_memory` does not suffice, or the network's result has NaN.
            ValueError: `image` is something else, such as floating point.
        """
        values = arrays.to_array(image)
        copies = 2 if isinstance(image, Image.Image) else 1  # Pillow makes its own
        return arrays.from_array(self._upscale_arrays(values[None], copies)[0], image)

    def upscale_batch(self, images: np.ndarray) -> np.ndarray:
        """Upscales images of one size, as many at once as the memory allows; see `upscale`.

        Args:
            images: uint8 or uint16 `(N, H, W, bands)`: 1 is gray, 2 gray and alpha, 3 RGB, 4 RGBA.

        Returns:
            `(N, scale H, scale W, bands)` of the same type.

        Raises:
            MemoryError: As `upscale`.
            UserError: As `upscale`.
            ValueError: `images` is something else.
        """
        if not isinstance(images, np.ndarray) or images.ndim != 4 or not len(images):
            received = getattr(images, "shape", type(images).__name__)
            raise ValueError(f"images must be a NumPy array (N, H, W, bands). Received: {received}")
        arrays.to_array(images[0])
        return self._upscale_arrays(arrays.native(images))

    def _upscale_arrays(self, values, copies=1):
        """Upscales `(N, H, W, bands)`; the caller holds the result `copies` times."""
        count, height, width, bands = values.shape
        picture = tiling.Tiling(height, width, self._runner.margin)
        result_bytes = values.nbytes * self.scale**2 * copies
        tile, max_pixels = self._plan_tiles(picture, bands, values.dtype, result_bytes=result_bytes)
        batch_size = max(1, min(count, max_pixels // (height * width))) if tile == (height, width) else 1
        result = np.empty((count, height * self.scale, width * self.scale, bands), values.dtype)
        for start in range(0, count, batch_size):
            batch, out = (array[start : start + batch_size] for array in (values, result))

            def rows(top, bottom, batch=batch):
                return batch[:, top:bottom]

            for _ in self._strips(rows, picture, tile, batch[:, :0], out):
                pass  # each strip is a part of `out`
        if self.faithful:
            for lr, sr in zip(values, result):
                residual = faithful.project(lr, sr)
                if not residual.is_faithful:
                    warnings.warn(faithful.describe(residual), stacklevel=3)
        return result

    def upscale_strips(
        self,
        rows: Callable[[int, int], np.ndarray],
        height: int,
        width: int,
        bands: int,
        dtype: DTypeLike,
        *,
        reserve: int = 0,
        progress: Callable[[int], object] | None = None,
        on_residual: Callable[[Residual], object] | None = None,
    ) -> Iterator[np.ndarray]:
        """Upscales an image strip by strip, so that it need not fit into the memory.

        Args:
            rows: `rows(top, bottom)` returns the rows from `top` to before `bottom`, `(bottom - top, width, bands)`. It
                is called from the first row to the last, for each row once.
            height: Of the image.
            width: Of the image.
            bands: 1 is gray, 2 gray and alpha, 3 RGB, 4 RGBA, as in `upscale`.
            dtype: uint8 or uint16.
            reserve: Bytes of memory that the caller needs besides its current strip, for example to write the result.
            progress: Called after each tile with the number of its LR pixels.
            on_residual: If `faithful`, called after the last strip with the `back_projection.Residual`.

        Returns:
            An iterator of arrays `(h, scale * width, bands)` of `dtype`, the result from top to bottom. The caller may
            change them.

        Raises:
            MemoryError: As `upscale`.
            UserError: As `upscale`.
            ValueError: An argument is out of its range, or `rows` returns another shape or type.
        """
        dtype = np.dtype(dtype).newbyteorder("=")
        if height < 1 or width < 1 or bands not in (1, 2, 3, 4) or dtype not in arrays.DTYPES:
            raise ValueError(
                "an image has a pixel at least, 1 to 4 bands, and is uint8 or uint16."
                f" Received: {height}x{width}, {bands} bands, {dtype}"
            )
        picture = tiling.Tiling(height, width, self._runner.margin)
        tile, _ = self._plan_tiles(picture, bands, dtype, reserve=reserve)
        no_rows = np.empty((1, 0, width, bands), dtype)

        def upscale(rows):
            strips = self._strips(partial(_checked, rows, no_rows), picture, tile, no_rows, progress=progress)
            return (strip[0] for strip in strips)

        if not self.faithful:
            return upscale(rows)
        projection = BackProjection(height, width, self.scale, bands, dtype)
        return faithful.project_strips(upscale, rows, projection, on_residual)

    def _plan_tiles(self, picture, bands, dtype, *, result_bytes=None, reserve=0):
        if self.max_memory is not None:
            self._runner.warm_up(bands, dtype)
        if self.faithful:
            reserve += working_bytes(picture.width, self.scale, bands, dtype)
        limits = {"side": self.tile, "max_memory": self.max_memory}
        return plan_tiles(self._runner, picture, bands, dtype, **limits, result_bytes=result_bytes, reserve=reserve)

    def _strips(self, rows, picture, tile, no_rows, out=None, progress=None):
        """Upscales N images strip by strip.

        Args:
            rows: `rows(top, bottom)` returns the rows from `top` to before `bottom`, `(N, bottom - top, W, bands)`.
            picture: A `tiling.Tiling`.
            tile: `(height, width)`.
            no_rows: An empty array `(N, 0, W, bands)` of the type of the rows.
            out: An array for the whole result; the strips are then views of it.
            progress: Called after each tile with the number of its pixels.

        Yields:
            `(N, h, scale W, bands)`.
        """
        count, _, width, bands = no_rows.shape
        held, first, padded_size, reach = no_rows, 0, picture.padded_size(tile), row_reach(bands)
        for top, bottom in tiling.split(picture.height, tile[0]):
            start, stop = tiling.padded(top, bottom, picture.margin + reach, picture.height, padded_size[0] + 2 * reach)
            end = first + held.shape[1]
            held, first = held[:, start - first :], start
            if end < stop:
                held = np.concatenate([held, rows(end, stop)], axis=1)
            if out is None:
                result = np.empty((count, (bottom - top) * self.scale, width * self.scale, bands), held.dtype)
            else:
                result = out[:, top * self.scale : bottom * self.scale]
            strip = Strip(picture, padded_size, held, first, result, top)
            for left, right in tiling.split(width, tile[1]):
                self._runner.run(strip, (top, bottom, left, right))
                if progress is not None:
                    progress((bottom - top) * (right - left))
            yield result


def _network(weights, precision):
    if weights is None or isinstance(weights, (str, Path)):
        return load_network(find_weights(DEFAULT_WEIGHTS if weights is None else weights), precision)
    return weights if hasattr(weights, "margin") else to_inference_network(weights, precision)


def _between(weights, toward, strength):
    """The model at a strength between two weights files or names."""
    if strength is None or (weights is None) != (toward is None):
        raise ValueError(
            "strength is between weights and toward: give it alone or with both."
            f" Received: weights={weights!r}, toward={toward!r}, strength={strength!r}"
        )
    start, end = DIAL if weights is None else (weights, toward)
    for name, value in (("weights", start), ("toward", end)):
        if not isinstance(value, (str, Path)):
            raise ValueError(f"{name} must be a file or a name for strength. Received: {type(value).__name__}")
    from srgan_tf.inference.dial import load_between  # here, since it imports Keras

    return load_between(find_weights(start), find_weights(end), strength)


def _checked(rows, like, top, bottom):
    """Calls the caller's `rows`, checks the result, and returns it as one image of a batch."""
    values = rows(top, bottom)
    expected = (bottom - top, *like.shape[2:])
    if isinstance(values, np.ndarray):
        values = arrays.native(values)
    if not isinstance(values, np.ndarray) or values.shape != expected or values.dtype != like.dtype:
        received = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"rows({top}, {bottom}) must give {like.dtype} {expected}. Received: {received}")
    return values[None]
