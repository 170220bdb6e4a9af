"""The table of ranges from which random degradations are drawn; each row is a setting."""

import dataclasses
import math
import re
from typing import Any

PROBABILITY = "probability"


def _row(default: Any, what: str, unit: str = PROBABILITY, lower: float = 0.0, upper: float = 1.0) -> Any:
    return dataclasses.field(default=default, metadata={"what": what, "unit": unit, "limits": (lower, upper)})


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Probabilities, and ranges `(lowest, highest)` of amounts.

    Lengths are pixels of the image before the step. Amounts are drawn uniformly, those of `resize_1`, `resize_2` and
    `photons` uniformly on a logarithmic scale. Blur is as strong as in Real-ESRGAN (Wang et al. 2021) and its code;
    resizing and noise are weaker: there sides shrink to 0.15, and noise has up to 30 levels.
    """

    clean: float = _row(0.1, "nothing but MATLAB's bicubic")
    blur: float = _row(0.8, "a blur, in each of the two rounds")
    kernel_size: tuple[float, float] = _row((7, 21), "side of the kernel, odd", "pixels", 3, 63)
    sigma_1: tuple[float, float] = _row((0.2, 3.0), "standard deviation of the first blur", "pixels", 0.05, 20)
    sigma_2: tuple[float, float] = _row((0.2, 1.5), "the same of the second blur", "pixels", 0.05, 20)
    anisotropic: float = _row(0.5, "two different standard deviations, at a random angle, instead of one")
    generalised: float = _row(0.2, "a generalised Gaussian instead of the common one, whose exponent is 1")
    exponent: tuple[float, float] = _row((0.5, 4.0), "exponent of the generalised Gaussian", "", 0.1, 10)
    sinc: float = _row(0.1, "a sinc filter, which rings, instead of a Gaussian")
    cutoff: tuple[float, float] = _row((1.05, 3.14), "cutoff of the sinc filters", "radians a pixel", 0.3, math.pi)
    resize_1: tuple[float, float] = _row((0.3, 1.5), "first resizing: side, as a part of HR's", "factor", 0.05, 4)
    resize_2: tuple[float, float] = _row((0.5, 1.2), "second resizing: side, as a part of LR's", "factor", 0.1, 4)
    resize: float = _row(0.7, "a resizing, in each round")
    noise: float = _row(0.6, "noise, in each round")
    poisson: float = _row(0.4, "Poisson instead of Gaussian noise")
    gray: float = _row(0.4, "the same noise in all three channels")
    noise_sigma: tuple[float, float] = _row((1, 20), "standard deviation of Gaussian noise", "levels of 255", 0, 255)
    photons: tuple[float, float] = _row((100, 10000), "Poisson noise: photons that white stands for", "", 25, 1e6)
    jpeg: float = _row(0.8, "a JPEG, in each round")
    quality: tuple[float, float] = _row((30, 95), "quality of the JPEGs", "libjpeg's", 1, 100)
    subsampling: float = _row(0.7, "chroma at half the resolution (4:2:0) in a JPEG, else 4:4:4")
    final_sinc: float = _row(0.3, "a sinc filter after the resizing to the size of LR")


def parse_ranges(text: str) -> Ranges:
    """Reads changes to the default `Ranges`.

    Args:
        text: Such as "quality=60:95 noise=0.3": names with a number, or with the lowest and the highest; separated by
            spaces or commas.

    Raises:
        ValueError: A name is unknown or a value not allowed; the message says which, and what is allowed.
    """
    rows = {field.name: field for field in dataclasses.fields(Ranges)}
    changed: dict[str, Any] = {}
    for item in re.split(r"[\s,]+", text.strip()):
        if not item:
            continue
        name, equals, value = item.partition("=")
        if name not in rows:
            raise ValueError(f"{name!r} is none of {', '.join(rows)}")
        if not equals or name in changed:
            raise ValueError(f"{name} must be given once, as {name}={shown(rows[name].default)}")
        changed[name] = _value(rows[name], value)
    return Ranges(**changed)


def _value(row, text):
    lower, upper = row.metadata["limits"]
    try:
        numbers = tuple(float(number) for number in text.split(":"))
    except ValueError:
        numbers = ()
    is_range = isinstance(row.default, tuple)
    is_right = len(numbers) in ((1, 2) if is_range else (1,)) and lower <= numbers[0] <= numbers[-1] <= upper
    if not is_right:
        kind = "LOWEST:HIGHEST" if is_range else "a number"
        raise ValueError(f"{row.name}={text} must be {kind} within {lower:g} and {upper:g}")
    return (numbers[0], numbers[-1]) if is_range else numbers[0]


def shown(value: Any) -> str:
    """A number or range of `Ranges` as `parse_ranges` reads it."""
    return ":".join(f"{number:g}" for number in value) if isinstance(value, tuple) else f"{value:g}"
