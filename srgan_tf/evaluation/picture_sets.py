"""Finds test sets, and reads their images."""

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from srgan_tf.data.folders import Pair, drop_mismatched_lr, find_pairs, pairs_of
from srgan_tf.data.layouts import find_sides
from srgan_tf.data.walk import OnError, find_pictures, folder_names
from srgan_tf.evaluation.metrics import SHAVE, WINDOW
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.system.errors import UserError

if TYPE_CHECKING:
    from srgan_tf.imaging.degradation.chain import Degradation  # SciPy takes a while

Image = NDArray[np.uint8]  # RGB, (H, W, 3)
_MIN_SIDE = 2 * SHAVE + WINDOW  # smallest side that the metrics can compare, pixels


@dataclasses.dataclass(frozen=True)
class PictureSet:
    """A test set: its name and `data.folders.Pair`s."""

    name: str
    pairs: tuple[Pair, ...]


def find_sets(folder: Path | str, scale: int = 4, on_error: OnError | None = None) -> list[PictureSet]:
    """The test sets of a folder, named after their folders; Set5 comes before Set14.

    Args:
        folder: One set, see `data.folders.find_pairs`; or a folder of sets, each a folder with `HR/` in it or another
            layout of `data.layouts`. Anything else is left out; see `find_ignored`.
        scale: See `find_pairs`.
        on_error: See `data.walk.find_pictures`.

    Raises:
        UserError: See `find_pairs`.
    """
    if found := _sets_in(folder, scale):
        return [PictureSet(name, tuple(pairs_of(sides, on_error))) for name, sides in found.items()]
    return [PictureSet(Path(folder).absolute().name, tuple(find_pairs(folder, scale, on_error)))]


def find_ignored(folder: Path | str, scale: int = 4, on_error: OnError | None = None) -> list[str]:
    """What `find_sets` leaves out of a folder of sets: the sorted names of images, and of folders with images but
    without `HR/`. For a single set, none. The arguments are those of `find_sets`."""
    used = [side for sides in _sets_in(folder, scale).values() for side in (sides.hr, sides.lr) if side]
    if not used:
        return []
    parts = {side.relative_to(folder).parts[0] for side in used}
    errors: list = []
    found = {path.relative_to(folder).parts[0] for path in find_pictures(folder, errors.append)}
    for error in errors:  # those in a set are reported with it
        if on_error and error.path.relative_to(folder).parts[0] not in parts:
            on_error(error)
    return sorted(found - parts)


def _sets_in(folder, scale):
    """The `Sides` of the sets in a folder of sets, by name and in order; none if it is a set itself."""
    folder = Path(folder)
    own = find_sides(folder, scale)
    if any(sides.name == folder.absolute().name for sides in own):
        return {}
    inside = (sides for name in folder_names(folder) for sides in find_sides(folder / name, scale))
    found = {sides.name: sides for sides in (*own, *inside)}
    return dict(sorted(found.items(), key=lambda item: _natural_order(item[0])))


def _natural_order(name):
    """Sorts Set5 before Set14."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]


def subset(picture_set: PictureSet, count: int) -> PictureSet:
    """The `PictureSet` with `count` of its images, evenly spread; 0 means all."""
    pairs = picture_set.pairs
    if not 0 < count < len(pairs):
        return picture_set
    return PictureSet(picture_set.name, tuple(pairs[number * len(pairs) // count] for number in range(count)))


def fit_sets(sets: Iterable[PictureSet], scale: int) -> tuple[list[PictureSet], list[str]]:
    """The sets without the LR files of another scale factor, see `data.folders.drop_mismatched_lr`; and a sentence
    about each set whose LR files are left out."""
    fitted, notes = [], []
    for each in sets:
        pairs, note = drop_mismatched_lr(each.pairs, scale)
        fitted.append(PictureSet(each.name, pairs))
        if note:
            notes.append(f"{each.name}: {note}")
    return fitted, notes


def sizes(pairs: Iterable[Pair]) -> Iterator[tuple[int, int]]:
    """Yields `(height, width)` of each HR image that can be read."""
    for pair in pairs:
        with contextlib.suppress(UserError):  # it is reported when it is scored
            yield files.probe(pair.hr)


def is_readable(pair: Pair) -> bool:
    """Whether the files of a pair can be read."""
    try:
        for path in filter(None, (pair.hr, pair.lr)):
            files.read_rgb(path)
    except UserError:  # it is reported when it is scored
        return False
    return True


def find_cropped(pairs: Iterable[Pair], scale: int) -> list[str]:
    """The names of HR images, among those that can be read, that are cropped at the right and bottom because a side is
    not a multiple of `scale`."""
    return [pair.name for pair in pairs for height, width in sizes([pair]) if height % scale or width % scale]


def min_side(scale: int) -> int:
    """The smallest side of an HR image that can be scored, a multiple of `scale`, pixels."""
    return -(-_MIN_SIDE // scale) * scale


def too_small(height: int, width: int, scale: int) -> str:
    """The reason why an HR picture with a side below `min_side` is refused."""
    return f"{width}x{height} is too small to be scored; {min_side(scale)} pixels a side are needed"


def load_pair(pair: Pair, scale: int = 4, degradation: "Degradation | None" = None) -> tuple[Image, Image]:
    """Reads HR and LR of a pair. Without an LR file, LR is made: by `degradation`, which draws a chain by the pair's
    name, or by MATLAB's bicubic.

    Returns:
        `(hr, lr)`, uint8 RGB `(scale H, scale W, 3)` and `(H, W, 3)`; HR is cropped to multiples of `scale`.

    Raises:
        UserError: A file cannot be read, HR is too small to be scored, or the two sizes do not fit.
    """
    original = files.read_rgb(pair.hr)
    hr = crop_to_multiple(original, scale)
    height, width = hr.shape[:2]
    if min(height, width) < min_side(scale):
        raise UserError(f"{pair.hr}: {too_small(original.shape[0], original.shape[1], scale)}")
    if pair.lr is None:
        return hr, degradation.draw_for(pair.name).apply(hr) if degradation else downscale(hr, scale)
    lr = files.read_rgb(pair.lr)
    if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
        raise UserError(
            f"{pair.lr}: {size_text(lr)} is not {pair.hr}: {size_text(original)} divided by {scale}; replace one, or"
            " remove LR/ to have it made"
        )
    return hr, lr


def luma_channel(pair: Pair) -> str:
    """The channel on which the published tables score a pair, see `metrics.compared`: "gray" if HR's file is, else "y".

    Raises:
        UserError: HR cannot be read.
    """
    return "gray" if files.is_gray(pair.hr) else "y"


def size_text(image: Image) -> str:
    """Width and height, for messages."""
    return f"{image.shape[1]}x{image.shape[0]}"
