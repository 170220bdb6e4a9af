"""Finds, checks and pairs the pictures of a folder."""

import contextlib
import dataclasses
import gc
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from srgan_tf.data import listing
from srgan_tf.imaging import files
from srgan_tf.imaging.formats import READABLE_SUFFIXES
from srgan_tf.system.errors import UserError

EMBEDDED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
EMBEDDED_VALIDATION = ("chelsea",)
_MAX_LISTED = 10  # skipped files that a summary lists
_MAX_IN_ERROR = 3  # files that an error names
_ROLE = re.compile(r"([_-](HR|LR|bicubic|SRF[_-]?\d)|[_-]?x\d)+$", re.IGNORECASE)


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
        count = len(self.pictures)
        counts = f"{count} {'picture' if count == 1 else 'pictures'}"
        if not self.skipped:
            return [counts]
        lines = [f"{counts}, {len(self.skipped)} skipped:"]
        lines += [f"  {path}: {reason}" for path, reason in self.skipped[:_MAX_LISTED]]
        if len(self.skipped) > _MAX_LISTED:
            lines.append(f"  and {len(self.skipped) - _MAX_LISTED} more")
        return lines


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture to evaluate on: its name, the original, and its LR file or None if that is to be made."""

    name: str
    hr: Path
    lr: Path | None


def _find(folder):
    """All files below a folder but hidden ones, sorted by relative POSIX path; links followed, each folder once.

    They are strings: `Path`s of a large folder would take seconds to sort.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found, seen = [], {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, followlinks=True):
        inside = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(root, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                inside.append(name)
        folders[:] = inside
        found += [os.path.join(root, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: path.replace(os.sep, "/"))


def _is_picture(path):
    return os.path.splitext(path)[1].lower() in READABLE_SUFFIXES


def find_pictures(folder: Path | str) -> list[Path]:
    """The picture files below a folder, by their suffix; they are not opened.

    Hidden files and folders are left out. Links are followed, but no folder is entered twice.

    Args:
        folder: Searched with all its subfolders.

    Returns:
        A list of paths, sorted by their path relative to `folder`.

    Raises:
        UserError: There is no such folder.
    """
    return [Path(path) for path in _find(folder) if _is_picture(path) and os.path.isfile(path)]


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
def _scan(paths, min_side, name, folder=None):
    found = dict.fromkeys(paths, "not a picture")
    candidates = [path for path in paths if _is_picture(path)]
    found.update(zip(candidates, listing.probe_files(folder, candidates)))
    return select(found.items(), min_side, name)


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
            raise UserError(f"{name}: no pictures; put some there or name another folder")
        path, reason = skipped[0]
        raise UserError(f"{name}: no usable picture, {len(skipped)} skipped; the first: {path}: {reason}")
    return Scan(tuple(pictures), tuple(skipped))


def scan(folder: Path | str, min_side: int = 1) -> Scan:
    """Finds the usable pictures below a folder, by their headers and whether they are truncated; see `files.probe`.

    Of a large folder the sizes are cached for the next call; see `data.listing`.

    Args:
        folder: Searched with all its subfolders; hidden files are passed over in silence.
        min_side: Pictures with a shorter side, in pixels, are skipped.

    Returns:
        A `Scan`. Files that are too small, truncated or no pictures are its `skipped`.

    Raises:
        UserError: There is no such folder, or nothing usable in it.
    """
    return _scan(_find(folder), min_side, folder, folder)


def embedded_pictures() -> dict[str, Path]:
    """The photographs that scikit-image's wheel carries, for a first try without a data set; nothing is downloaded.

    Returns:
        A dict from name ("astronaut") to path.

    Raises:
        UserError: scikit-image is not installed, or without its pictures.
    """
    package = importlib.util.find_spec("skimage")  # importing it would take a second
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0], "data")
        found = {Path(name).stem: folder / name for name in EMBEDDED if (folder / name).is_file()}
        if found:
            return found
    raise UserError("scikit-image's photographs are not installed; name a folder of your own pictures")


def embedded_scan(which: str, min_side: int = 1) -> Scan:
    """`scan` over the embedded photographs.

    Args:
        which: `"valid"` for those named in `EMBEDDED_VALIDATION`, `"train"` for the others.
        min_side: See `scan`.

    Returns:
        A `Scan`.

    Raises:
        UserError: As `embedded_pictures`, or none is large enough.
        ValueError: `which` is unknown.
    """
    if which not in ("train", "valid"):
        raise ValueError(f"which must be 'train' or 'valid'. Received: {which!r}")
    pictures = embedded_pictures().items()
    paths = [path for name, path in pictures if (name in EMBEDDED_VALIDATION) == (which == "valid")]
    return _scan(paths, min_side, "scikit-image's photographs")


def pictures_by_name(folder: Path | str, role: re.Pattern[str] | None = None) -> dict[str, Path]:
    """Picture files by their relative path without suffix; also without what `role` matches at its end.

    Raises:
        UserError: There is no such folder, no picture in it, or two have one name.
    """
    named: dict[str, Path] = {}
    for path in find_pictures(folder):
        relative = path.relative_to(folder)
        stem = (role.sub("", relative.stem) if role else "") or relative.stem
        other = named.setdefault(relative.with_name(stem).as_posix(), path)
        if other != path:
            raise UserError(f"{path}: has the same name as {other} but for its ending; rename or remove one")
    if not named:
        raise UserError(f"{folder}: no pictures; put some there or name another folder")
    return named


def abbreviate(paths: Iterable) -> str:
    """The first of some paths as text, and how many more there are."""
    paths = sorted(paths)
    more = f" and {len(paths) - _MAX_IN_ERROR} more" if len(paths) > _MAX_IN_ERROR else ""
    return ", ".join(map(str, paths[:_MAX_IN_ERROR])) + more


def find_subfolder(folder: Path | str, name: str) -> Path | None:
    """The folder `HR` or `LR` in a folder, in whatever case it is written; None if there is none.

    Raises:
        UserError: There are two.
    """
    try:
        entries = sorted(entry for entry in os.listdir(folder) if entry.upper() == name)
    except OSError:  # what it is, is said where its pictures are looked for
        return None
    found = [Path(folder, entry) for entry in entries if os.path.isdir(os.path.join(folder, entry))]
    if len(found) > 1:
        raise UserError(f"{folder}: has {found[0].name}/ and {found[1].name}/; remove or rename one")
    return found[0] if found else None


def find_pairs(folder: Path | str) -> list[Pair]:
    """The pictures of a test set, each with its LR file if there are any.

    HR and LR files are a pair if their relative paths without suffix are the same. Where they are not, these endings
    are removed first: `_HR`, `_LR`, `x4`, `_x4`, `_SRF_4`, `_bicubic`, several of
    them, with `-` for `_`, in any case. So `HR/baby_HR.png` and `LR/babyx4.png` are a pair.

    Args:
        folder: One with `HR/` and, if the LR files are given, `LR/` in it, in any case; or a plain folder of HR
            pictures.

    Returns:
        A list of `Pair`, sorted by name: the HR file's relative path without suffix.

    Raises:
        UserError: There is no such folder, no picture in it, a partner is missing, two files have one name, or an LR/
            is further down.
    """
    folder = Path(folder)
    hr_folder, lr_folder = find_subfolder(folder, "HR"), find_subfolder(folder, "LR")
    hr_pictures = hr_folder or folder
    if lr_folder and not hr_folder:
        raise UserError(f"{folder}: has LR/ but no HR/; put the originals into HR/")
    names = pictures_by_name(hr_pictures)
    if not hr_folder:
        for path in names.values():  # LR would be scored as if it were HR
            if any(part.upper() == "LR" for part in path.relative_to(folder).parts[:-1]):
                raise UserError(f"{folder}: has no HR/, but {path} is in an LR/; name the folder that this LR/ is in")
    if not lr_folder:
        return [Pair(name, hr, None) for name, hr in sorted(names.items())]
    hr, lr = names, pictures_by_name(lr_folder)
    if hr.keys() != lr.keys():
        hr, lr = pictures_by_name(hr_pictures, _ROLE), pictures_by_name(lr_folder, _ROLE)
    alone = [hr[key] for key in hr.keys() - lr.keys()] + [lr[key] for key in lr.keys() - hr.keys()]
    if alone:
        raise UserError(
            f"{folder}: {len(alone)} without a partner in HR/ or LR/: {abbreviate(alone)}; add or remove them"
        )
    partners = {path: lr[key] for key, path in hr.items()}
    return [Pair(name, path, partners[path]) for name, path in sorted(names.items())]


def drop_mismatched_lr(pairs: Iterable[Pair], scale: int) -> tuple[tuple[Pair, ...], str]:
    """Leaves out the LR files of a set that was made for another scale factor, so that LR is made of HR.

    Args:
        pairs: `Pair`s.
        scale: Scale factor from LR to HR.

    Returns:
        `(pairs, note)`: a tuple of them, without LR files if all of these are HR divided by one other whole number; and
        a clause that says so, or "". Files that cannot be read do not count.
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
