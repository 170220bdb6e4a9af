"""Reads crops of photographs, decoding no more of a file than needed."""

import abc
import collections
import contextlib
import dataclasses
import io
import threading
from collections.abc import Iterator

import numpy as np

from srgan_tf.imaging import files
from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.header import read_header
from srgan_tf.imaging.resize import crop_to_multiple
from srgan_tf.system.errors import UserError

# The chroma at the edge of a decoded box is wrong, since its neighbour is missing: one column, so a block is cut off.
_EDGE = 8
_MAX_PENDING = 1024  # JPEGs that the decoder may hold, more than can be in flight at once


@dataclasses.dataclass(frozen=True)
class JpegCrops:
    """Crops of a JPEG that is still to be decoded, in a box around the crops.

    Attributes:
        data: The content of the file.
        box: int32 `(4,)`: top, left, height and width in the image, pixels.
        rows: int32 `(n, side)`: the rows of each crop within the box.
        columns: int32 `(n, side)`: its columns.
    """

    data: bytes
    box: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


class Store(abc.ABC):
    """Square crops of the images of a `data.folders.Scan`, which are cut to multiples of `scale` at the bottom and the
    right. Beyond the image, a crop repeats the image's border."""

    def __init__(self, pictures, scale):
        self._pictures = pictures
        self._scale = scale
        self._error = None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The pictures' `(height, width)`."""
        return [(picture.height, picture.width) for picture in self._pictures]

    @contextlib.contextmanager
    def unwrapped_errors(self) -> Iterator[None]:
        """Raises the `UserError` of `crops` instead of the error in which tf.data wraps it.

        A JPEG that was read but cannot be decoded becomes a `UserError`, too.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if plain := self._error or self._undecodable(str(error)):
                raise plain from None
            raise

    def _undecodable(self, message):
        """A `UserError` that names the file, if `message` is of a decoder and the file can be found; else None."""
        return None

    def crops(self, index: int, corners: np.ndarray, side: int) -> list[np.ndarray] | JpegCrops:
        """Crops of image number `index`: `side` rows and columns from corners `(n, 2)`, which may be negative.

        Returns:
            A list of `n` uint8 `(side, side, 3)`, not to be written to, since they may be views of a cached image. Or a
            `JpegCrops` with the same crops, still to be decoded.

        Raises:
            UserError: The file cannot be read any more, or holds another image.
        """
        picture = self._pictures[index]
        steps = np.arange(side)
        rows = np.clip(corners[:, :1] + steps, 0, picture.height - picture.height % self._scale - 1)
        columns = np.clip(corners[:, 1:] + steps, 0, picture.width - picture.width % self._scale - 1)
        try:
            return self._crops(index, picture, rows, columns)
        except UserError as error:
            self._error = error
            raise

    @abc.abstractmethod
    def _crops(self, index, picture, rows, columns):
        """`crops` of the rows and columns `(n, side)`."""


def cut(pixels, rows, columns, top=0):
    """Crops of `pixels`, which start at row `top` of the image; `rows` and `columns` count in the image."""
    crops = []
    for down, across in zip(rows - top, columns):
        inner = pixels[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        if inner.shape[:2] != (len(down), len(across)):
            inner = inner[(down - down[0])[:, None], across - across[0]]
        crops.append(inner)
    return crops


class PhotographStore(Store):
    """Crops of image files; decoded photographs are cached in memory up to `cache_bytes`.

    Photographs are never evicted: then a part of them always comes from memory, while least-recently-used eviction
    would hardly ever find one after shuffling. A JPEG that is not cached is decoded only around its crops; other files
    are decoded as a whole.
    """

    def __init__(self, pictures, scale, cache_bytes):
        super().__init__(pictures, scale)
        self._cache_bytes_left = cache_bytes
        self._cache = {}
        self._lock = threading.Lock()
        self._pending = collections.deque(maxlen=_MAX_PENDING)

    def _crops(self, index, picture, rows, columns):
        pixels = self._cache.get(index)
        if pixels is not None:
            return cut(pixels, rows, columns)
        cached = self._reserve_cache(index, picture)
        if not cached and (crops := _jpeg_crops(picture, rows, columns)):
            self._pending.append(picture.path)
            return crops
        pixels = files.read_rgb(picture.path)
        if pixels.shape[:2] != (picture.height, picture.width):
            raise _changed(picture, *pixels.shape[:2])
        if cached:
            pixels = self._cache[index] = np.ascontiguousarray(crop_to_multiple(pixels, self._scale))
        return cut(pixels, rows, columns)

    def _undecodable(self, message):
        if "JPEG" not in message:
            return None
        import tensorflow as tf  # here, since it takes seconds

        for path in list(self._pending):
            try:
                files.read_rgb(path)
                tf.io.decode_jpeg(path.read_bytes())
            except UserError as error:
                return error
            except tf.errors.OpError:
                return PictureError(path, "a JPEG that TensorFlow cannot decode; save it again, or remove it")
        return None

    def _reserve_cache(self, index, picture):
        """Reserves room in the cache for an image, once; returns whether it has room."""
        needed = 3 * (picture.height - picture.height % self._scale) * (picture.width - picture.width % self._scale)
        with self._lock:
            if index not in self._cache:
                if needed > self._cache_bytes_left:
                    return False
                self._cache_bytes_left -= needed
                self._cache[index] = None  # until it is decoded; other threads may decode it meanwhile
            return True


def _changed(picture, height, width):
    was, now = f"{picture.width}x{picture.height}", f"{width}x{height}"
    return PictureError(picture.path, f"was {was} when the run started and is {now} now; restart it")


def _jpeg_crops(picture, rows, columns):
    """A `JpegCrops`; None if the file is not a JPEG, or TensorFlow decodes it differently from `files.read_rgb`."""
    try:
        data = picture.path.read_bytes()
        header = read_header(io.BytesIO(data))
    except Exception:  # `files.read_rgb` reports it
        return None
    if header.kind != "jpeg" or header.channels not in (1, 3) or header.orientation != 1:
        return None
    height, width = header.size
    if (height, width) != (picture.height, picture.width):
        raise _changed(picture, height, width)
    top, left = max(0, rows.min() - _EDGE), max(0, columns.min() - _EDGE)
    bottom, right = min(height, rows.max() + 1 + _EDGE), min(width, columns.max() + 1 + _EDGE)
    box = np.array([top, left, bottom - top, right - left], np.int32)
    return JpegCrops(data, box, (rows - top).astype(np.int32), (columns - left).astype(np.int32))
