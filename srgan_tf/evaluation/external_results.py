"""Finds the images that other systems made of a test set, to score them like our own."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from srgan_tf.data.folders import Pair, abbreviate, find_pictures
from srgan_tf.evaluation.picture_sets import Image, size_text
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple
from srgan_tf.system.errors import UserError

_ENDING = r"[_-](HR|LR|SR|SRF[_-]?\d|bicubic|x\d)"
_ENDINGS_OF_NAME = re.compile(f"({_ENDING})+$", re.IGNORECASE)
_ENDINGS_OF_FILE = re.compile(rf"({_ENDING}|x\d)*", re.IGNORECASE)  # also babyx4; but x1 in the name fox1 belongs to it


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
    with_name = {path: own.sub("", stem) for path, stem in stems.items() if own.search(stem)}
    found, missing = {}, []
    for name in names:
        short = _ENDINGS_OF_NAME.sub("", name)
        # Files are matched first by names that contain the system's, then by whole stems, then by any other names.
        fitting = (
            _fitting(with_name, name)
            or _fitting(with_name, short)
            or [path for path, stem in stems.items() if stem == name]
            or _fitting(stems, name)
            or _fitting(stems, short)
        )
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
    first = {path: name for name, path in reversed(found.items())}
    for name, path in found.items():
        if first[path] != name:
            raise UserError(f"{path}: is all that {system} has for {first[path]} and {name}; give an image of each")
    return found


def _folder_of_set(folder, system, set_name):
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --results=NAME=FOLDER names one with the images of {system}")
    inside = (path for path in folder.iterdir() if path.is_dir() and path.name.lower() == set_name.lower() != "")
    return next(inside, folder)


def _fitting(stems, name):
    """The files of which the stem is `name`, or that with endings."""
    return [
        path for path, stem in stems.items() if stem.startswith(name) and _ENDINGS_OF_FILE.fullmatch(stem, len(name))
    ]


def load_external_result(path: Path, pair: Pair, hr: Image, scale: int) -> Image:
    """Another system's image for a pair, uint8 RGB of HR's size; `UserError` if it cannot be read or does not fit."""
    image = files.read_rgb(path)
    if crop_to_multiple(image, scale).shape != hr.shape:
        raise UserError(f"{path}: {size_text(image)} is not {size_text(hr)}, what {pair.hr} has; replace one")
    return image[: hr.shape[0], : hr.shape[1]]
