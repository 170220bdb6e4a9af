"""Finds, checks and pairs the pictures of a folder."""

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
    """A picture on disk: `height` and `width` in pixels, the EXIF orientation applied."""

    path: Path
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a folder holds.

    Attributes:
        pictures: The usable ones, in the order of their relative paths.
        skipped: The others with the reason, in the same order.
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
    """A picture to evaluate on: its name, the original, and its LR file or None if that is to be made."""

    name: str
    hr: Path
    lr: Path | None


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Without Python's garbage collector, which goes through all of TensorFlow while a long list grows: seconds."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_gc()
def sizes(folder: Path | str) -> dict[str, tuple[int, int] | str | None]:
    """What the files below a folder are, see `scan`: by path the `(height, width)`, or why it is no usable picture.

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
    """Divides files into the usable pictures and the others.

    Args:
        found: Pairs of a path and its `(height, width)`, or why it is none, or None for what is passed over.
        min_side: See `scan`.
        name: Of the folder, for errors.

    Raises:
        UserError: There is no usable picture.
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
    """Finds the usable pictures below a folder, by their headers and whether they are truncated; see `files.probe`.

    Files that have a side below `min_side` pixels, are truncated or no pictures are skipped, and folders that may not
    be read; what is `walk.is_leftover` is passed over in silence. Of a large folder the sizes are cached for the next
    call; see `data.listing`.

    Raises:
        UserError: There is no such folder, or nothing usable in it.
    """
    return select(sizes(folder).items(), min_side, folder)


def embedded_pictures() -> dict[str, Path]:
    """The photographs that scikit-image's wheel carries, by name ("astronaut"), for a first try without a data set;
    nothing is downloaded.

    Raises:
        UserError: scikit-image is not installed, or without its pictures.
    """
    package = importlib.util.find_spec("skimage")  # importing it would take a second
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0], "data")
        found = {Path(name).stem: folder / name for name in EMBEDDED if (folder / name).is_file()}
        if found:
            return found
    raise UserError("scikit-image's photographs are not installed; name a folder of your own images")


def embedded_scan(which: Literal["train", "valid"], min_side: int = 1) -> Scan:
    """`scan` over the embedded photographs: of `"valid"` those named in `EMBEDDED_VALIDATION`, of `"train"` the others.

    Raises:
        UserError: As `embedded_pictures`, or none is large enough.
    """
    pictures = embedded_pictures().items()
    paths = [path for name, path in pictures if (name in EMBEDDED_VALIDATION) == (which == "valid")]
    found = zip(paths, listing.probe_files(None, [str(path) for path in paths]))
    return select(found, min_side, "scikit-image's photographs")


def pictures_by_name(folder: Path | str, on_error: OnError | None = None) -> dict[str, Path]:
    """Picture files below a folder by their relative path without suffix; `on_error` as of `walk.find_pictures`.

    Raises:
        UserError: There is no such folder, no picture in it, or two have one name.
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
    """Pictures by their names without the endings that say HR or LR and the scale factor, `layouts.ROLE`.

    Raises:
        UserError: Two have one name then.
    """
    return _distinct((layouts.without_role(name), path) for name, path in named.items())


def _distinct(named):
    found: dict[str, Path] = {}
    for name, path in named:
        if (other := found.setdefault(name, path)) != path:
            raise UserError(f"{path}: has the same name as {other} but for its ending; rename or remove one")
    return found


def abbreviate(paths: Iterable) -> str:
    """The first of some paths as text, and how many more there are."""
    paths = sorted(paths)
    more = f" and {len(paths) - _MAX_IN_ERROR} more" if len(paths) > _MAX_IN_ERROR else ""
    return ", ".join(map(printable, paths[:_MAX_IN_ERROR])) + more


def find_pairs(folder: Path | str, scale: int = 4, on_error: OnError | None = None) -> list[Pair]:
    """The pictures of a test set, each with its LR file if there are any; sorted by name, the HR file's relative path
    without suffix.

    HR and LR files are a pair if their relative paths without suffix are the same. Where they are not, these endings
    are removed first: `_HR`, `_LR`, `x4`, `_x4`, `_SRF_4`, `_bicubic`, several of them, with `-` for `_`, in any case.
    So `HR/baby_HR.png` and `LR/babyx4.png` are a pair.

    Args:
        folder: One with `HR/` and, if the LR files are given, `LR/` in it, in any case; one in another layout that
            `data.layouts` knows; or a plain folder of HR pictures.
        scale: Scale factor, by which LR is chosen where there are several.
        on_error: See `walk.find_pictures`.

    Raises:
        UserError: There is no such folder, no picture in it, a partner is missing, two files have one name, there are
            several sets, or LR that would be taken for HR.
    """
    return pairs_of(layouts.find_set(folder, scale), on_error)


def pairs_of(sides: layouts.Sides, on_error: OnError | None = None) -> list[Pair]:
    """`find_pairs` of the two folders of a test set."""
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
    """The LR file of each HR file: that of its name, or of its name without the endings of `layouts.ROLE`.

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
    """Leaves out the LR files of a set that was made for another scale factor, so that LR is made of HR.

    Returns:
        `(pairs, note)`: the pairs, without LR files if all of these are HR divided by one other whole number; and a
        clause that says so, or "". Files that cannot be read do not count.
    """
    known = [factors for pair in pairs if pair.lr for factors in [_factors(pair)] if factors is not None]
    common = set.intersection(*known) if known else set()
    if not common or scale in common:
        return tuple(pairs), ""
    note = f"LR/ is HR/ divided by {min(common)}, not {scale}; LR is made by MATLAB's bicubic instead"
    return tuple(dataclasses.replace(pair, lr=None) for pair in pairs), note


def _factors(pair):
    """The whole numbers by which HR may have been divided to LR, None if a file cannot be read."""
    try:
        (height, width), lr = files.probe(pair.hr), files.probe(pair.lr)
    except UserError:  # it is reported when it is scored
        return None
    return {factor for factor in range(2, height // lr[0] + 1) if (height // factor, width // factor) == lr}
