"""MATLAB's `imresize(..., 'bicubic')`, which made the LR pictures of every published table, as two weight matrices.

The image is first multiplied by a matrix for its rows, then by one for its columns. 8-bit images are rounded half up
after each of the two, as in MATLAB; rounding only once changes every ninth pixel.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from scipy import sparse


def keys_cubic(x: ArrayLike) -> np.ndarray:
    """The cubic convolution kernel with a = -0.5 (Keys 1981, equation 15); zero for |x| >= 2.

    Args:
        x: Distances in input samples, an array of any shape.

    Returns:
        Weights, float64, of the same shape.
    """
    x = np.abs(np.asarray(x, np.float64))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def resize_matrix(length: int, resized: int) -> "sparse.csr_array":
    """The weights that resize one axis.

    To shrink, the kernel is stretched by the factor (antialiasing). At a factor of 4 every weight is a multiple of
    1/4096, so that 8-bit images are resized exactly even in float32. Beyond the edge the outermost sample is repeated,
    as in the published LR files.

    Args:
        length: Samples along the axis before.
        resized: Samples along the axis after.

    Returns:
        A `scipy.sparse.csr_array` of float64, shape `(resized, length)`; each row sums to 1.

    Raises:
        ValueError: A length is not positive.
    """
    from scipy import sparse  # here, since networks upscale without it

    if length < 1 or resized < 1:
        raise ValueError(f"Lengths must be positive. Received: length={length}, resized={resized}")
    scale = resized / length
    stretch = max(1.0, 1.0 / scale)
    centers = (np.arange(resized) + 0.5) / scale - 0.5  # positions of the new samples, in old samples
    first = np.floor(centers - 2 * stretch).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(4 * stretch)) + 2)  # (resized, taps)
    weights = keys_cubic((centers[:, None] - taps) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    columns = np.clip(taps, 0, length - 1)
    rows = np.broadcast_to(np.arange(resized)[:, None], taps.shape)
    matrix = sparse.coo_array((weights.ravel(), (rows.ravel(), columns.ravel())), shape=(resized, length))
    matrix = matrix.tocsr()
    matrix.eliminate_zeros()
    return matrix


def _apply(matrix, image, axis):
    moved = np.moveaxis(image, axis, 0)
    product = matrix @ moved.reshape(moved.shape[0], -1).astype(np.float64)
    return np.moveaxis(product.reshape((matrix.shape[0],) + moved.shape[1:]), 0, axis)


def imresize(image: ArrayLike, height: int, width: int) -> np.ndarray:
    """Resizes an image as MATLAB's `imresize(image, [height width], 'bicubic')` does, if both axes have one factor.

    Rows are resized first. MATLAB begins with the smaller factor, so that with two factors integers, which are rounded
    in between, may differ from its by a few levels.

    Args:
        image: `(H, W)` or `(H, W, C)`; uint8, uint16 or floating point.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        `(height, width[, C])`. Integers are rounded half up and clipped to their range after each axis and keep their
        type; floating point comes back as float64, neither rounded nor clipped.
    """
    image = np.asarray(image)
    limit = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else None
    resized = image
    for axis, length in ((0, height), (1, width)):
        resized = _apply(resize_matrix(image.shape[axis], length), resized, axis)
        if limit is not None:
            resized = np.clip(np.floor(resized + 0.5), 0, limit)
    return resized if limit is None else resized.astype(image.dtype)


def crop_to_multiple(image: np.ndarray, factor: int) -> np.ndarray:
    """Cuts rows and columns off the bottom and the right until both are multiples of `factor`, as the papers do."""
    height, width = image.shape[:2]
    return image[: height - height % factor, : width - width % factor]


def downscale(image: np.ndarray, factor: int = 4) -> np.ndarray:
    """The published LR picture of an HR picture: `imresize(image, 1/factor, 'bicubic')`.

    Args:
        image: `(H, W[, C])`, H and W multiples of `factor`.
        factor: How many times smaller the result is.

    Returns:
        `(H / factor, W / factor[, C])` of the same type.

    Raises:
        ValueError: H or W is not a multiple of `factor`.
    """
    height, width = image.shape[:2]
    if height % factor or width % factor:
        raise ValueError(f"Height and width must be multiples of {factor}. Received: {height}x{width}")
    return imresize(image, height // factor, width // factor)


def upscale_bicubic(image: np.ndarray, factor: int = 4) -> np.ndarray:
    """The bicubic baseline of the tables: `imresize(image, factor, 'bicubic')`."""
    return imresize(image, image.shape[0] * factor, image.shape[1] * factor)


def upscale_nearest(image: np.ndarray, factor: int = 4) -> np.ndarray:
    """The nearest-neighbour baseline of the tables: every pixel becomes `factor` x `factor` pixels."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
