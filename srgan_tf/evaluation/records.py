"""What a report is made of: rows of the tables, scores of single pictures, and the pictures."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from srgan_tf.imaging import files
from srgan_tf.imaging.resize import upscale_nearest
from srgan_tf.system.errors import UserError

HR, LR = "HR", "LR"  # names of the original and of the system's input, wherever pictures are shown
_MOST_CUT = 7  # pixels that HR may be larger than what the systems made of it: what remains of it at a scale of 8


@dataclasses.dataclass(frozen=True)
class Row:
    """A system's means over a test set; a number that is not known is None.

    Attributes:
        set: The test set's name.
        system: Its name.
        published: Whether the numbers are copied from a publication and not measured.
        psnr: dB.
        paper_ssim: SSIM as the paper's tables have it.
        ssim: SSIM of Wang et al. 2004.
        lpips: Learned perceptual distance, lower is better.
        mos: Mean opinion score, 1 to 5.
        seconds: Mean time for a picture.
        megapixels_per_s: Output of the upscaling, millions of pixels a second.
        rgb_psnr: dB, over R, G and B.
        rgb_ssim: SSIM of Wang et al. 2004, mean of R, G and B.
    """

    set: str
    system: str
    published: bool = False
    psnr: float | None = None
    paper_ssim: float | None = None
    ssim: float | None = None
    lpips: float | None = None
    mos: float | None = None
    seconds: float | None = None
    megapixels_per_s: float | None = None
    rgb_psnr: float | None = None
    rgb_ssim: float | None = None


@dataclasses.dataclass(frozen=True)
class PictureScores:
    """What one system made of one picture; a number that is not known is None. See `Row`."""

    set: str
    picture: str
    system: str
    psnr: float | None = None
    paper_ssim: float | None = None
    ssim: float | None = None
    lpips: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """One picture as each system shows it.

    Attributes:
        set: The test set's name; may be empty.
        picture: Its name.
        lr: The systems' input, a file or uint8 RGB `(H, W, 3)`; or None. It is shown, enlarged by nearest, where no
            system is called nearest.
        by_system: Dict from a system's name to its file, or to uint8 RGB `(H, W, 3)`, in the order of showing; the
            original, if there is one, is called HR. HR may be up to 7 pixels larger a side and is then cut at the right
            and at the bottom.
    """

    set: str
    picture: str
    lr: Path | np.ndarray | None
    by_system: Mapping[str, Path | np.ndarray]

    @property
    def title(self):
        """How the picture is called among those of all sets."""
        return " / ".join(filter(None, (self.set, self.picture)))

    def load(self):
        """Reads the pictures.

        Returns:
            Dict from name to uint8 RGB `(H, W, 3)`, all of one size, in the order of `by_system`, LR first.

        Raises:
            UserError: A file cannot be read, or the sizes do not fit; the line names both files.
        """
        shown = {system: _pixels(source) for system, source in self.by_system.items()}
        if not shown:
            raise ValueError(f"by_system must hold a picture of {self.title}. Received: {self.by_system}")
        height = min(image.shape[0] for image in shown.values())
        width = min(image.shape[1] for image in shown.values())
        for system, image in shown.items():
            most = _MOST_CUT if system == HR else 0
            if image.shape[0] - height > most or image.shape[1] - width > most:
                other = next(name for name in shown if shown[name].shape[0] == height or shown[name].shape[1] == width)
                raise UserError(
                    f"{self._named(system)}: {_size(image)} cannot be compared with {self._named(other)}:"
                    f" {_size(shown[other])}; give pictures of one size"
                )
            shown[system] = image[:height, :width]
        if self.lr is None or "nearest" in shown or LR in shown:
            return shown
        lr = _pixels(self.lr)
        scale = height // lr.shape[0]
        if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
            source = f"{LR} of {self.title}" if isinstance(self.lr, np.ndarray) else self.lr
            raise UserError(
                f"{source}: {_size(lr)} is not {self._named(next(iter(shown)))}: {width}x{height} divided by a whole"
                " number; give the input that it was made of"
            )
        return {LR: upscale_nearest(lr, scale), **shown}

    def _named(self, system):
        source = self.by_system[system]
        return f"{system} of {self.title}" if isinstance(source, np.ndarray) else source


def _pixels(source):
    return source if isinstance(source, np.ndarray) else files.read_rgb(source)


def _size(image):
    return f"{image.shape[1]}x{image.shape[0]}"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of numbers: the field it shows, its head, the format of a number, and whether high is better."""

    field: str
    head: str
    form: str
    high_is_better: bool = True

    def text(self, entry):
        """The number as it is shown: empty if it is not known, ∞ if it is infinite."""
        value = getattr(entry, self.field, None)
        if value is None or math.isnan(value):
            return ""
        return format(value, self.form) if math.isfinite(value) else "∞"


COLUMNS = (
    Column("psnr", "PSNR dB", ".2f"),
    Column("paper_ssim", "SSIM (paper)", ".4f"),
    Column("ssim", "SSIM (usual)", ".4f"),
    Column("rgb_psnr", "PSNR RGB", ".2f"),
    Column("rgb_ssim", "SSIM RGB", ".4f"),
    Column("lpips", "LPIPS", ".4f", high_is_better=False),
    Column("mos", "MOS", ".2f"),
    Column("seconds", "seconds", ".3f", high_is_better=False),
    Column("megapixels_per_s", "megapixels/s", ".2f"),
)


def used_columns(entries):
    """Those of `COLUMNS` in which at least one of the rows or scores has a number."""
    return [column for column in COLUMNS if any(column.text(entry) for entry in entries)]


def by_set(entries):
    """Dict from a set's name to its rows or scores, both in their order."""
    grouped = {}
    for entry in entries:
        grouped.setdefault(entry.set, []).append(entry)
    return grouped
