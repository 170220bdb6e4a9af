"""The content of tables and reports: scores, and the images that they are about."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan_tf.evaluation.metrics import COLUMNS, Metric
from srgan_tf.evaluation.picture_sets import Image, size_text
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import upscale_nearest
from srgan_tf.system.errors import UserError

HR, LR = "HR", "LR"  # names of the original and of the systems' input wherever images are shown
_DIAL = "strength-"
_MAX_CROPPED = 7  # pixels a side that HR may be larger than a network's output: the remainder at a scale of 8


def dial_name(strength: float) -> str:
    """The name of the system at a strength between two networks."""
    return f"{_DIAL}{strength:g}"


def strength_of(system: str) -> str:
    """The strength in a name of `dial_name`, with the + of a self-ensemble; empty for another system."""
    return system.removeprefix(_DIAL) if system.startswith(_DIAL) else ""


@dataclasses.dataclass(frozen=True)
class Score:
    """The scores of a system on one image, or its means over a test set.

    Attributes:
        set: The test set's name; may be empty.
        picture: The image's name; None for means.
        system: The system's name.
        values: Dict from the `Metric.key`s of `metrics.COLUMNS` to numbers; unknown ones are missing or None.
        published: Whether the numbers are copied from a publication and not measured.
        pixels: Pixels of the output; 0 if unknown.
    """

    set: str
    picture: str | None
    system: str
    values: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    published: bool = False
    pixels: int = 0

    def __getitem__(self, key: str) -> float | None:
        return self.values.get(key)

    @property
    def label(self) -> str:
        """The system's name in a table of means."""
        return self.system + " (published)" * self.published

    def as_dict(self) -> dict:
        """All fields and all columns, for JSON."""
        known = {"set": self.set, "picture": self.picture, "system": self.system, "published": self.published}
        return known | {column.key: self[column.key] for column in COLUMNS} | {"pixels": self.pixels}


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """The results of all systems for one image.

    Attributes:
        set: The test set's name; may be empty.
        picture: The image's name.
        lr: The systems' input, a file or uint8 RGB `(H, W, 3)`; or None. It is shown, upscaled by nearest, if no system
            is called nearest.
        by_system: Dict from a system's name to its file, or to uint8 RGB `(H, W, 3)`, in the order of display; the
            original, if there is one, is called HR. HR, and results of its size, may be up to 7 pixels larger on each
            side; they are then cut at the right and at the bottom.
        errors: Dict from a system's name to the expected error of its result, float32 `(H, W)` in levels, see
            `inference.invention`.
    """

    set: str
    picture: str
    lr: Path | Image | None
    by_system: Mapping[str, Path | Image]
    errors: Mapping[str, NDArray[np.float32]] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of the image with that of its set."""
        return " / ".join(filter(None, (self.set, self.picture)))

    def load(self) -> dict[str, Image]:
        """Reads the images.

        Returns:
            Dict from name to uint8 RGB `(H, W, 3)`, all of one size, in the order of `by_system`, LR first.

        Raises:
            UserError: A file cannot be read, or the sizes do not fit; the line names both files.
        """
        shown = {system: _pixels(source) for system, source in self.by_system.items()}
        height = min(image.shape[0] for image in shown.values())
        width = min(image.shape[1] for image in shown.values())
        hr = shown.get(HR)
        for system, image in shown.items():
            most = _MAX_CROPPED if hr is not None and image.shape == hr.shape else 0
            if image.shape[0] - height > most or image.shape[1] - width > most:
                other = next(name for name in shown if shown[name].shape[0] == height or shown[name].shape[1] == width)
                raise UserError(
                    f"{self._named(system)}: {size_text(image)} cannot be compared with {self._named(other)}:"
                    f" {size_text(shown[other])}; give images of one size"
                )
            shown[system] = image[:height, :width]
        if self.lr is None or "nearest" in shown or LR in shown:
            return shown
        lr = _pixels(self.lr)
        scale = height // lr.shape[0]
        if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
            source = f"{LR} of {self.title}" if isinstance(self.lr, np.ndarray) else self.lr
            raise UserError(
                f"{source}: {size_text(lr)} is not {self._named(next(iter(shown)))}: {width}x{height} divided by a"
                " whole number; give the input that it was made of"
            )
        return {LR: upscale_nearest(lr, scale), **shown}

    def _named(self, system):
        source = self.by_system[system]
        return f"{system} of {self.title}" if isinstance(source, np.ndarray) else source


def _pixels(source):
    return source if isinstance(source, np.ndarray) else files.read_rgb(source)


def used_columns(scores: Iterable[Score]) -> list[Metric]:
    """The `metrics.COLUMNS` in which at least one of the scores has a number."""
    scores = list(scores)
    return [column for column in COLUMNS if any(column.text(score.values) for score in scores)]


def by_set(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Dict from a set's name to its scores, both in their order."""
    grouped: dict[str, list[Score]] = {}
    for score in scores:
        grouped.setdefault(score.set, []).append(score)
    return grouped
