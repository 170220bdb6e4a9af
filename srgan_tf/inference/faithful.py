"""Makes what an `Upscaler` computes faithful to its input; see `imaging.back_projection`."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from srgan_tf.imaging.back_projection import BackProjection, Residual

Rows = Callable[[int, int], np.ndarray]


def describe(residual: Residual) -> str:
    """A sentence about a picture that was made faithful."""
    if residual.is_faithful:
        return f"faithful: {residual}"
    return (
        f"not faithful everywhere: {residual}; where the result stayed as the network made it, no image was found"
        " that has this reduction"
    )


def project(lr: np.ndarray, sr: np.ndarray) -> Residual:
    """Makes the SR `(scale H, scale W, bands)` of one picture `(H, W, bands)` faithful in its place."""
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
    """Makes a picture faithful that is upscaled strip by strip, `(h, scale width, bands)`.

    Args:
        upscale: Gives the strips of SR by a function for the rows of LR, which it calls from the first to the last.
        rows: Such a function.
        projection: Of this picture.
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
