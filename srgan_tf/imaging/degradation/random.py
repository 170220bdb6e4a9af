"""Random numbers that are a function of a seed and a number alone, on every machine and with every NumPy."""

import functools

import numpy as np
from scipy import special

_KEY = (1 << 64) - 1  # apart from those of `data.sampling`, which counts from 1
_LEVELS = 1 << 16


class Random:
    """The stream of random numbers of a seed, in [0, 2**32), and of the number of a picture or crop, in [0, 2**64).

    Philox's raw numbers are kept by NumPy as they are, its distributions are not; so those are made here.
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
