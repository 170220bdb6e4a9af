"""Makes the results of an `Upscaler` faithful to the input; see `imaging.back_projection`."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from srgan_tf.imaging.back_projection import BackProjection, Residual

Rows = Callable[[int, int], np.ndarray]


def describe(residual: Residual) -> str:
    """A sentence about the result of back-projection."""
    if residual.is_faithful:
        return f"faithful: {residual}"
    return (
        f"not faithful everywhere: {residual}; where the result stayed as the network made it, no image was found"
        " that has this reduction"
    )


def project(lr: np.ndarray, sr: np.ndarray) -> Residual:
    """Makes SR `(scale H, scale W, bands)` faithful to LR `(H, W, bands)`, in place."""
    height, width, bands = lr.shape
    projection = BackProjection(height, width, len(sr) // height, bands, lr.dtype)
    top = 0
    for rows in projection.push(lr, sr):
        sr[top : top + len(rows)] = rows
        top += len(rows)
    return projection.residual


def project_strips(
    upscale: Callable[[Rows], Iterable[np.ndarray]],
    rows: Rows,
    projection: BackProjection,
    on_residual: Callable[[Residual], object] | None = None,
) -> Iterator[np.ndarray]:
    """Upscales an image strip by strip and makes it faithful; yields strips `(h, scale width, bands)`.

    Args:
        upscale: Takes a function like `rows`, which it calls from the first row to the last, and returns strips of SR.
        rows: `rows(top, bottom)` returns rows of LR, see `Upscaler.upscale_strips`.
        projection: The `BackProjection` of this image.
        on_residual: Called after the last strip.
    """
    read: list[np.ndarray] = []

    def kept(top, bottom):
        read.append(rows(top, bottom))
        return read[-1]

    for strip in upscale(kept):
        lr = np.concatenate(read)
        count = len(strip) // projection.scale
        read = [lr[count:]]
        yield from projection.push(lr[:count], strip)
    if on_residual is not None:
        on_residual(projection.residual)
