"""Finds, checks and pairs the images of a folder."""

import contextlib
import dataclasses
import gc
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from srgan_tf.data import layouts, listing
from srgan_tf.data.walk import OnError, find_files, find_pictures, is_picture
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import counted, printable

EMBEDDED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
EMBEDDED_VALIDATION = ("chelsea",)
_MAX_LISTED = 10  # skipped files that a summary lists
_MAX_IN_ERROR = 3  # files that an error names


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """An image file: `height` and `width` in pixels, after the EXIF orientation."""

    path: Path
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class Scan:
    """The images of a folder, in the order of their relative paths.

    Attributes:
        pictures: The usable images.
        skipped: The other files, each with the reason.
    """

    pictures: tuple[PictureFile, ...]
    skipped: tuple[tuple[Path, str], ...]

    def summary(self) -> list[str]:
        """Lines to print: the counts, then the first skipped files with their reasons."""
        counts = counted(len(self.pictures), "image")
        if not self.skipped:
            return [counts]
        lines = [f"{counts}, {len(self.skipped)} skipped:"]
        lines += [printable(f"  {path}: {reason}") for path, reason in self.skipped[:_MAX_LISTED]]
        if len(self.skipped) > _MAX_LISTED:
            lines.append(f"  and {len(self.skipped) - _MAX_LISTED} more")
        return lines


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image to evaluate on: its name, its HR file, and its LR file, or None if LR is to be made."""

    name: str
    hr: Path
    lr: Path | None


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Disables Python's garbage collector, which takes seconds in all of TensorFlow while a long list grows."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_gc()
def sizes(folder: Path | str) -> dict[str, tuple[int, int] | str | None]:
    """The files below a folder, see `scan`, by path: the `(height, width)`, or the reason why it is not usable.

    Raises:
        UserError: There is no such folder.
    """
    problems: list = []
    paths = find_files(folder, problems.append)
    found = {str(problem.path): problem.reason for problem in problems} | dict.fromkeys(paths, "not an image")
    pictures = [path for path in paths if is_picture(path)]
    found.update(zip(pictures, listing.probe_files(folder, pictures)))
    for path in set(paths).difference(pictures):
        if os.path.islink(path) and not os.path.exists(path):
            found[path] = "a link that leads nowhere"
    return found


@without_gc()
def select(found: Iterable, min_side: int, name: Path | str) -> Scan:
    """Divides files into usable images and others.

    Args:
        found: Pairs of a path and its `(height, width)`, or the reason why it is not usable, or None to ignore it.
        min_side: See `scan`.
        name: Name of the folder, for errors.

    Raises:
        UserError: There is no usable image.
    """
    pictures, skipped = [], []
    for path, size in found:
        if isinstance(size, str):
            skipped.append((Path(path), size))
        elif size is not None and min(size) < min_side:
            height, width = size
            skipped.append((Path(path), f"{width}x{height} is smaller than the crop of {min_side}"))
        elif size is not None:
            pictures.append(PictureFile(Path(path), *size))
    if not pictures:
        if not skipped:
            raise UserError(f"{name}: no images; put some there or name another folder")
        path, reason = skipped[0]
        raise UserError(f"{name}: no usable image, {len(skipped)} skipped; the first: {path}: {reason}")
    return Scan(tuple(pictures), tuple(skipped))


def scan(folder: Path | str, min_side: int = 1) -> Scan:
    """Finds the usable images below a folder, by their headers; see `files.probe`.

    Files that have a side below `min_side` pixels, are truncated or not images, and folders that cannot be read are
    skipped; what `walk.is_leftover` is ignored. The sizes of a large folder are cached for the next call; see
    `data.listing`.

    Raises:
        UserError: There is no such folder, or nothing usable in it.
    """
    return select(sizes(folder).items(), min_side, folder)


def embedded_pictures() -> dict[str, Path]:
    """The photographs in scikit-image's wheel, by name ("astronaut"), for a first try without a data set and without a
    download.

    Raises:
        UserError: scikit-image is not installed, or without its images.
    """
    package = importlib.util.find_spec("skimage")  # importing it would take a second
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0], "data")
        found = {Path(name).stem: folder / name for name in EMBEDDED if (folder / name).is_file()}
        if found:
            return found
    raise UserError("scikit-image's photographs are not installed; name a folder of your own images")


def embedded_scan(which: Literal["train", "valid"], min_side: int = 1) -> Scan:
    """`scan` of the embedded photographs: for `"valid"` those in `EMBEDDED_VALIDATION`, for `"train"` the others.

    Raises:
        UserError: As `embedded_pictures`, or none is large enough.
    """
    pictures = embedded_pictures().items()
    paths = [path for name, path in pictures if (name in EMBEDDED_VALIDATION) == (which == "valid")]
    found = zip(paths, listing.probe_files(None, [str(path) for path in paths]))
    return select(found, min_side, "scikit-image's photographs")


def pictures_by_name(folder: Path | str, on_error: OnError | None = None) -> dict[str, Path]:
    """The images below a folder by their relative path without suffix; for `on_error` see `walk.find_pictures`.

    Raises:
        UserError: There is no such folder, no image in it, or two have one name.
    """
    problems: list[UserError] = []
    found = find_pictures(folder, problems.append if on_error else None)
    if not found:
        raise problems[0] if problems else UserError(f"{folder}: no images; put some there or name another folder")
    if on_error:
        for problem in problems:
            on_error(problem)
    return named(found, folder)


def named(paths: Iterable[Path], folder: Path | str) -> dict[str, Path]:
    """Files in a folder by their relative path without suffix.

    Raises:
        UserError: Two have one name.
    """
    return _distinct((path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths)


def without_roles(named: Mapping[str, Path]) -> dict[str, Path]:
    """Images by their names without endings for HR or LR and the scale factor, `layouts.ROLE`.

    Raises:
        UserError: Two then have one name.
    """
    return _distinct((layouts.without_role(name), path) for name, path in named.items())


def _distinct(named):
    found: dict[str, Path] = {}
    for name, path in named:
        if (other := found.setdefault(name, path)) != path:
            raise UserError(f"{path}: has the same name as {other} but for its ending; rename or remove one")
    return found


def abbreviate(paths: Iterable) -> str:
    """The first paths as text, and the number of the others."""
    paths = sorted(paths)
    more = f" and {len(paths) - _MAX_IN_ERROR} more" if len(paths) > _MAX_IN_ERROR else ""
    return ", ".join(map(printable, paths[:_MAX_IN_ERROR])) + more


def find_pairs(folder: Path | str, scale: int = 4, on_error: OnError | None = None) -> list[Pair]:
    """The images of a test set with their LR files, if there are any, sorted by name: the relative path of HR without
    suffix.

    HR and LR files are a pair if their relative paths without suffix are equal, or are equal after endings are removed:
    `_HR`, `_LR`, `x4`, `_x4`, `_SRF_4`, `_bicubic`, also several of them, with `-` for `_`, in any case. So
    `HR/baby_HR.png` and `LR/babyx4.png` are a pair.

    Args:
        folder: A folder with `HR/` and optionally `LR/` in it, in any case; one in another layout of `data.layouts`; or
            a plain folder of HR images.
        scale: Scale factor, by which LR is chosen if there are several.
        on_error: See `walk.find_pictures`.

    Raises:
        UserError: There is no such folder, no image in it, a partner is missing, two files have one name, there are
            several sets, or LR that would be taken for HR.
    """
    return pairs_of(layouts.find_set(folder, scale), on_error)


def pairs_of(sides: layouts.Sides, on_error: OnError | None = None) -> list[Pair]:
    """`find_pairs` for the two folders of a test set."""
    names = pictures_by_name(sides.hr, on_error=on_error)
    if sides.lr == sides.hr:
        layouts.refuse_lr(sides.hr, names.values())
        names, lr = layouts.divide_by_names(sides.hr, names)
        hr = names
    else:
        hr, lr = names, pictures_by_name(sides.lr, on_error=on_error) if sides.lr else {}
    if not lr:
        return [Pair(name, path, None) for name, path in sorted(names.items())]
    partners = match(hr, lr, sides.hr if sides.lr == sides.hr else sides.hr.parent)
    return [Pair(name, path, partners[path]) for name, path in sorted(names.items())]


def match(hr: Mapping[str, Path], lr: Mapping[str, Path], folder: Path) -> dict[Path, Path]:
    """The LR file of each HR file: with the same name, or the same name without the endings of `layouts.ROLE`.

    Raises:
        UserError: A partner in `folder` is missing, or two files have one name.
    """
    if hr.keys() != lr.keys():
        hr, lr = without_roles(hr), without_roles(lr)
    alone = {"HR": [hr[key] for key in hr.keys() - lr.keys()], "LR": [lr[key] for key in lr.keys() - hr.keys()]}
    if count := sum(map(len, alone.values())):
        names = "; ".join(f"{side} {abbreviate(paths)}" for side, paths in alone.items() if paths)
        raise UserError(f"{folder}: {count} without a partner in HR/ or LR/: {names}; add or remove them")
    return {path: lr[key] for key, path in hr.items()}


def drop_mismatched_lr(pairs: Iterable[Pair], scale: int) -> tuple[tuple[Pair, ...], str]:
    """Leaves out LR files that were made for another scale factor, so that LR is made from HR.

    Returns:
        `(pairs, note)`: the pairs, without LR files if all of these are HR divided by another whole number; and a
        clause that says so, or "". Files that cannot be read are ignored.
    """
    found = [_factors(pair) for pair in pairs if pair.lr]
    known = [factors for factors in found if factors is not None]
    common = set.intersection(*known) if known else set()
    if not common or scale in common:
        return tuple(pairs), ""
    note = f"LR/ is HR/ divided by {min(common)}, not {scale}; LR is made by MATLAB's bicubic instead"
    return tuple(dataclasses.replace(pair, lr=None) for pair in pairs), note


def _factors(pair):
    """The possible whole factors between HR and LR; None if a file cannot be read."""
    try:
        (height, width), lr = files.probe(pair.hr), files.probe(pair.lr)
    except UserError:  # it is reported when it is scored
        return None
    return {factor for factor in range(2, height // lr[0] + 1) if (height // factor, width // factor) == lr}
