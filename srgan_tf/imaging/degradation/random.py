"""Random numbers that depend only on a seed and a number, on every machine and with every version of NumPy."""

import functools

import numpy as np
from scipy import special

_KEY = (1 << 64) - 1  # different from the streams of `data.sampling`, which count from 1
_LEVELS = 1 << 16


class Random:
    """The random numbers for a seed, in [0, 2**32), and the number of an image or crop, in [0, 2**64).

    NumPy never changes the raw numbers of Philox, but may change its distributions, so these are computed here.
    """

    def __init__(self, seed: int, number: int, stream: int):
        self._bits = np.random.Philox(key=seed | _KEY << 64, counter=number << 128 | stream << 64)

    def uniforms(self, *shape: int) -> np.ndarray:
        """float64 in [0, 1)."""
        return (self._bits.random_raw(int(np.prod(shape))) >> np.uint64(11)).reshape(shape) * 2.0**-53

    def normals(self, *shape: int) -> np.ndarray:
        """float32, standard normal: quantiles of 65536 equally probable levels, up to 4.3 in magnitude."""
        count = int(np.prod(shape))
        words = self._bits.random_raw(-(-count // 4)).astype("<u8", copy=False)
        return _normal_quantiles()[words.view("<u2")[:count]].reshape(shape)


@functools.cache
def _normal_quantiles():
    return special.ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)
