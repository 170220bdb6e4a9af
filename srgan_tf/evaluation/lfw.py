"""Labeled Faces in the Wild: reads its list of pairs, and crops the faces from its images."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan_tf.data.folders import abbreviate
from srgan_tf.evaluation.face_boxes import face_boxes
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import imresize
from srgan_tf.system.bounded import read_bounded
from srgan_tf.system.errors import UserError, file_errors, reason

SIDE = 160  # side of FaceNet's input, pixels
FUNNELED = 250  # side of LFW's images, pixels
ENDINGS = tuple(
    case(ending) for ending in (".jpg", ".png", ".jpeg", ".jpe", ".jfif") for case in (str.lower, str.upper)
)
_DIGITS = 9  # of a number in the list, at most


@dataclasses.dataclass(frozen=True)
class FacePair:
    """Two images, whether they show the same person, and the number of the pair's fold."""

    first: Path
    second: Path
    same: bool
    fold: int


def read_pairs(path: Path | str, folder: Path | str) -> list[FacePair]:
    """Reads LFW's `pairs.txt`: a line with the number of folds, 2 or more, and of pairs of each kind in a fold; then
    for each fold the pairs `NAME i j` of one person and `NAME i NAME j` of two. The images are in `folder`:
    `NAME/NAME_0001.jpg`.

    Raises:
        UserError: The file is missing or malformed, or images are missing.
    """
    with file_errors(path, "not text", advice="give LFW's pairs.txt"):
        lines = read_bounded(path).decode().splitlines()
    head, *rest = [line.split() for line in lines] or [[]]
    while rest and not rest[-1]:
        rest.pop()
    if len(head) != 2 or not all(_is_number(word) and int(word) for word in head):
        raise UserError(f"{path}: line 1 must be the number of folds and of pairs, such as 10 and 300; give LFW's file")
    folds, each = map(int, head)
    if folds < 2:
        raise UserError(f"{path}: has one fold; the threshold is chosen on the others, so give a file with two or more")
    if len(rest) != folds * each * 2:
        raise UserError(f"{path}: line 1 announces {folds * each * 2:,} pairs, and {len(rest):,} follow; get it again")
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; give LFW's, with a folder for each person")
    pairs = []
    for number, words in enumerate(rest):
        fold, place = divmod(number, 2 * each)
        same = place < each
        if len(words) != (3 if same else 4) or not (_is_number(words[-1]) and _is_number(words[-2 if same else 1])):
            form = "NAME i j" if same else "NAME i NAME j"
            raise UserError(f"{path}: line {number + 2} is not of the form {form}: {' '.join(words)!r}")
        name, first, *other = words
        second = [name, *other] if same else other
        pairs.append(FacePair(_picture(folder, name, first), _picture(folder, *second), same, fold))
    _check_there(path, {picture for pair in pairs for picture in (pair.first, pair.second)})
    return pairs


def _is_number(word):
    return word.isdecimal() and len(word) <= _DIGITS


def _picture(folder, name, number):
    stem = Path(folder, name, f"{name}_{int(number):04d}")
    found = (stem.with_name(stem.name + ending) for ending in ENDINGS)
    return next((path for path in found if os.path.exists(path)), stem.with_name(stem.name + ENDINGS[0]))


def _check_there(path, pictures):
    """Refuses a list with images that are missing or not accessible."""
    missing, first = [], None
    for picture in sorted(pictures):
        try:
            os.stat(picture)
        except (OSError, ValueError) as error:  # a name with a null byte
            missing.append(picture)
            first = first or error
    if missing:
        what = f"names images that are not there: {abbreviate(missing)} ({reason(first)})"
        raise UserError(f"{path}: {what}; give the folder of LFW's people")


def read_faces(paths: Iterable[Path | str], crop: int | None = None) -> NDArray[np.uint8]:
    """Reads images and crops their faces.

    Args:
        paths: The images.
        crop: Side of the central square to use, pixels. None: `face_boxes` of LFW's 250x250; a square image of another
            size is used as a whole, as a face that was already cropped.

    Returns:
        uint8 RGB `(N, 160, 160, 3)`, by MATLAB's bicubic.

    Raises:
        UserError: An image cannot be read, or is smaller than `crop`, or not square where `crop` is None; or MTCNN is
            not installed.
    """
    faces = [_read(path, crop) for path in paths]
    whole = [place for place, face in enumerate(faces) if len(face) == FUNNELED]
    if whole:
        for place, box in zip(whole, face_boxes(np.stack([faces[place] for place in whole])), strict=True):
            faces[place] = imresize(faces[place][box], SIDE, SIDE)
    return np.stack(faces)


def _read(path, crop):
    """The face of an image, or the whole image if its face is still to be found."""
    image = files.read_rgb(path)
    height, width = image.shape[:2]
    if crop is None:
        if height != width:
            raise UserError(f"{path}: {width}x{height} is not square; --face_crop says which part of it to take")
        if height == FUNNELED:
            return image
        crop = height
    if crop > min(height, width):
        raise UserError(f"{path}: {width}x{height} is smaller than --face_crop={crop}; give a smaller one")
    top, left = (height - crop) // 2, (width - crop) // 2
    return imresize(image[top : top + crop, left : left + crop], SIDE, SIDE)
