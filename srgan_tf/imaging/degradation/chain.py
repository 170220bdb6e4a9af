"""Draws a chain of steps, and applies it to an image."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np

from srgan_tf.imaging.degradation import steps
from srgan_tf.imaging.degradation.random import Random
from srgan_tf.imaging.degradation.ranges import Ranges
from srgan_tf.imaging.degradation.steps import Picture, Scene, Step

_CHAIN, _NOISE = 0, 1  # streams of random numbers
_MIN_SIGMA = 0.01  # pixels, practically no blur; also the smallest strength that divides photons
_PARTS, _NUMBERS = 12, 8  # parts of a chain, each with random numbers of its own, whatever the others are


@dataclasses.dataclass(frozen=True)
class Chain:
    """One draw of steps.

    Attributes:
        steps: The steps in their order; the last resizing is to the size of LR.
        seed: The seed of the `Degradation`.
        number: The number of the image or crop.
    """

    steps: tuple[Step, ...]
    seed: int
    number: int

    def apply(self, hr: Picture, corner: tuple[int, int] = (0, 0)) -> Picture:
        """Makes LR from HR.

        Args:
            hr: uint8 `(H, W, 3)`, H and W multiples of the scale.
            corner: First row and column of the crop `hr` in its photograph, on which JPEG's grid of blocks depends.

        Returns:
            uint8 `(H / scale, W / scale, 3)`, exactly aligned with `hr`.
        """
        scene = Scene(hr.shape[:2], corner, Random(self.seed, self.number, _NOISE))
        picture = hr
        for step in self.steps:
            picture = step.apply(picture, scene)
        return picture

    def record(self) -> list[dict]:
        """The name and the parameters of each step, for JSON."""
        return [{"step": type(step).__name__} | dataclasses.asdict(step) for step in self.steps]


@dataclasses.dataclass(frozen=True)
class Degradation:
    """Random chains of one kind.

    A chain is, in random order, blur, resizing, noise and JPEG; then blur, resizing and noise in random order; then, in
    either order, the resizing to the size of LR, perhaps with a sinc filter after it, and JPEG. The parts (equation 1),
    having them twice (section 3.2) and the exchange at the end (section 3.3) are those of Real-ESRGAN (Wang et al.
    2021), the random order is that of BSRGAN (Zhang et al. 2021).

    Attributes:
        scale: Factor between HR and LR.
        strength: In [0, 1]. It multiplies the probabilities of steps, standard deviations and JPEG's distance from
            quality 100; factors are raised to its power, photons divided by its square, and cutoffs moved towards pi.
            At 0 LR is MATLAB's bicubic and nothing else.
        ranges: The ranges to draw from.
        seed: In [0, 2**32).
    """

    scale: int
    strength: float = 1.0
    ranges: Ranges = Ranges()
    seed: int = 0

    def draw(self, number: int) -> Chain:
        """The chain of image or crop number `number`, in [0, 2**64)."""
        numbers = Random(self.seed, number, _CHAIN).uniforms(_PARTS, _NUMBERS)
        drawer = _Drawer(self.ranges, self.strength)
        orders, first, second, final = numbers[0], numbers[1:5], numbers[5:9], numbers[9:]
        if self.strength == 0 or orders[-1] < self.ranges.clean:
            return Chain((steps.Resize(1 / self.scale, "bicubic"),), self.seed, number)
        made = _shuffled(drawer.round(first, self.ranges.sigma_1, self.ranges.resize_1, 1), orders[:4])
        *rest, jpeg = drawer.round(second, self.ranges.sigma_2, self.ranges.resize_2, 1 / self.scale)
        made += _shuffled(rest, orders[4:7])
        to_lr = [drawer.resize_to(1 / self.scale, final[0]), drawer.final_sinc(final[1])]
        made += [*to_lr, jpeg] if final[2, 0] < 0.5 else [jpeg, *to_lr]
        return Chain(tuple(step for step in made if step is not None), self.seed, number)

    def draw_for(self, name: str) -> Chain:
        """The chain of an image by its name, so that it does not depend on the rest of the set.

        Args:
            name: Its relative path in the set without suffix, POSIX. The first 8 bytes of its SHA-256, big-endian, are
                the number of the draw.
        """
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return self.draw(int.from_bytes(digest[:8], "big"))


def _shuffled(made: Sequence[Step | None], numbers) -> list[Step | None]:
    return [made[index] for index in np.argsort(numbers, kind="stable")]


class _Drawer:
    """Makes steps from uniform random numbers; None if a step is left out."""

    def __init__(self, ranges, strength):
        self._ranges, self._strength = ranges, strength

    def round(self, numbers, sigmas, factors, side):
        """Blur, resizing, noise and JPEG; `factors` are relative to `side` times the sides of HR."""
        blur, resize, noise, jpeg = numbers
        return [self.blur(blur, sigmas), self.resize(resize, factors, side), self.noise(noise), self.jpeg(jpeg)]

    def blur(self, numbers, sigmas):
        ranges = self._ranges
        if not self._happens(ranges.blur, numbers[0]):
            return None
        size = self._kernel_size(numbers[1])
        if numbers[2] < ranges.sinc:
            return steps.SincFilter(size, self._cutoff(numbers[3]))
        along, across = (max(_MIN_SIGMA, self._strength * _between(sigmas, number)) for number in numbers[3:5])
        angle = math.pi * float(numbers[5])
        if numbers[6] >= ranges.anisotropic:
            across, angle = along, 0.0
        # The same number decides on the kind of Gaussian and, rescaled, draws the exponent.
        exponent = (
            _between(ranges.exponent, numbers[7] / ranges.generalised) if numbers[7] < ranges.generalised else 1.0
        )
        return steps.GaussianBlur(size, (along, across), angle, exponent)

    def resize(self, numbers, factors, side):
        if not self._happens(self._ranges.resize, numbers[0]):
            return None
        return self.resize_to(side * _between_logs(factors, numbers[1]) ** self._strength, numbers[2:])

    def resize_to(self, factor, numbers):
        return steps.Resize(factor, steps.METHODS[int(len(steps.METHODS) * self._strength * numbers[0])])

    def noise(self, numbers):
        ranges = self._ranges
        if not self._happens(ranges.noise, numbers[0]):
            return None
        gray = bool(numbers[1] < ranges.gray)
        if numbers[2] < ranges.poisson:
            photons = _between_logs(ranges.photons, numbers[3]) / max(self._strength, _MIN_SIGMA) ** 2
            return steps.PoissonNoise(photons, gray)
        return steps.GaussianNoise(self._strength * _between(ranges.noise_sigma, numbers[3]), gray)

    def jpeg(self, numbers):
        ranges = self._ranges
        if not self._happens(ranges.jpeg, numbers[0]):
            return None
        quality = 100 - self._strength * (100 - _between(ranges.quality, numbers[1]))
        return steps.Jpeg(round(quality), "4:2:0" if numbers[2] < ranges.subsampling else "4:4:4")

    def final_sinc(self, numbers):
        if not self._happens(self._ranges.final_sinc, numbers[0]):
            return None
        return steps.SincFilter(self._kernel_size(numbers[1]), self._cutoff(numbers[2]))

    def _happens(self, probability, number):
        return number < self._strength * probability

    def _kernel_size(self, number):
        lowest, highest = self._ranges.kernel_size
        reach, most = math.ceil((lowest - 1) / 2), math.floor((highest - 1) / 2)
        return 2 * (reach + int(max(1, most - reach + 1) * number)) + 1

    def _cutoff(self, number):
        return math.pi - self._strength * (math.pi - _between(self._ranges.cutoff, number))


def _between(limits, number):
    return limits[0] + (limits[1] - limits[0]) * float(number)


def _between_logs(limits, number):
    return limits[0] * (limits[1] / limits[0]) ** float(number)
