"""Finds the images that other systems made of a test set, to score them like our own."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from srgan_tf.data.folders import Pair, abbreviate, find_pictures
from srgan_tf.evaluation.picture_sets import Image, size_text
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple
from srgan_tf.system.errors import UserError

_SUFFIXES = re.compile(r"([_-](HR|LR|SR|SRF[_-]?\d|bicubic)|[_-]?x\d)+$", re.IGNORECASE)


def find_external_results(
    folder: Path | str,
    system: str,
    names: Iterable[str],
    set_name: str = "",
    is_left_out: Callable[[str], bool] = lambda name: False,
) -> dict[str, Path]:
    """The path of a system's image for each image of a test set.

    They match if their relative paths without file extension are equal after removing endings: the system's own name,
    then `_SR`, `x4`, `_SRF_4`, `_HR` and the like, in any case. So for the system SelfExSR,
    `img_001_SRF_4_SelfExSR.png` matches `img_001.png`, even with `img_001_SRF_4_SRCNN.png` beside it.

    Args:
        folder: The folder of the images; or one that contains a folder with the test set's name, in any case.
        system: The system's name.
        names: The names of the test set's images, see `data.folders.Pair`.
        set_name: The test set's name.
        is_left_out: Whether an image, by its name, cannot be scored for any system, so that none of this system is
            needed. It is only called for missing images.

    Raises:
        UserError: There is no such folder, images are missing, or a match is ambiguous.
    """
    folder = _folder_of_set(Path(folder), system, set_name)
    own = re.compile(rf"[_-]{re.escape(system)}$", re.IGNORECASE)
    stems = {path: path.relative_to(folder).with_suffix("").as_posix() for path in find_pictures(folder)}
    # Files are matched first by names that contain the system's, then by whole stems, then by any other names.
    with_name = {path: _without_suffixes(own.sub("", stem)) for path, stem in stems.items() if own.search(stem)}
    others = {path: _without_suffixes(stem) for path, stem in stems.items()}
    found, missing = {}, []
    for name in names:
        short = _without_suffixes(name)
        fitting = _with_key(with_name, short) or _with_key(stems, name) or _with_key(others, short)
        if len(fitting) > 1:
            either = f"{fitting[0]} and {fitting[1]}"
            raise UserError(f"{either}: either could be {system}'s image of {name}; remove one")
        if fitting:
            found[name] = fitting[0]
        elif not is_left_out(name):
            missing.append(name)
    if missing:
        what = f"no image of {system} for {abbreviate(missing)}"
        raise UserError(f"{folder}: {what}; add {'it' if len(missing) == 1 else 'them'} or give another folder")
    return found


def _folder_of_set(folder, system, set_name):
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --results=NAME=FOLDER names one with the images of {system}")
    inside = (path for path in folder.iterdir() if path.is_dir() and path.name.lower() == set_name.lower() != "")
    return next(inside, folder)


def _without_suffixes(stem):
    return _SUFFIXES.sub("", stem)


def _with_key(keys, key):
    return [path for path, own in keys.items() if own == key]


def load_external_result(path: Path, pair: Pair, hr: Image, scale: int) -> Image:
    """Another system's image for a pair, uint8 RGB of HR's size; `UserError` if it cannot be read or does not fit."""
    image = files.read_rgb(path)
    if crop_to_multiple(image, scale).shape != hr.shape:
        raise UserError(f"{path}: {size_text(image)} is not {size_text(hr)}, what {pair.hr} has; replace one")
    return image[: hr.shape[0], : hr.shape[1]]
