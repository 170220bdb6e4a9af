"""Degrades whole photographs, and records what was drawn, so that others can reproduce it."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from PIL import features

from srgan_tf.data.folders import Pair
from srgan_tf.imaging import files
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.resize import crop_to_multiple
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file, atomic_folder, check_folder_target
from srgan_tf.system.errors import UserError, reason, user_errors

RECORD = "degradations.json"
_PARTS = {"HR", "LR", RECORD}  # all that the folder of a set holds


def check_set_target(folder: Path | str, overwrite: bool = False) -> None:
    """Whether a degraded set can be written there, see `atomic.check_folder_target`."""
    check_folder_target(folder, _PARTS, "a degraded set", overwrite, mark=RECORD)


def write_set(pairs: Iterable[Pair], folder: Path | str, degradation: Degradation) -> list[UserError]:
    """Writes the degraded set of some images: copies of the files in `HR/`, PNG files in `LR/`, and `RECORD`.

    The folder is written completely or not at all; see `check_set_target`. LR files of the pairs are ignored.

    Returns:
        The errors of images that were left out.

    Raises:
        UserError: No image is left, or the folder cannot be written.
    """
    drawn: dict[str, dict] = {}
    failures: list[UserError] = []
    with atomic_folder(folder) as partial:
        for pair in pairs:
            try:
                lr, drawn[pair.name] = _degrade(pair.hr, pair.name, degradation)
                _copy(pair.hr, partial / "HR" / (pair.name + pair.hr.suffix))
                files.write(partial / "LR" / f"{pair.name}.png", lr)
            except PictureError as error:
                failures.append(error)
        if not drawn:
            raise UserError(f"{folder}: no image could be degraded; the first: {failures[0]}")
        (partial / RECORD).write_text(_record(degradation, drawn), **LENIENT_UTF8)
    return failures


def write_picture(source: Path, target: Path, degradation: Degradation) -> None:
    """Writes LR of one image, and beside it the record with the same name and the suffix `.json`.

    Raises:
        UserError: It cannot be read, or one of them cannot be written.
    """
    lr, drawn = _degrade(source, source.stem, degradation)
    files.write(target, lr)
    with atomic_file(target.with_suffix(".json")) as partial:
        partial.write_text(_record(degradation, {source.stem: drawn}), **LENIENT_UTF8)


def _degrade(path, name, degradation):
    """LR of a file, and what was drawn."""
    chain = degradation.draw_for(name)
    hr = crop_to_multiple(files.read_rgb(path), degradation.scale)
    if not hr.size:
        raise PictureError(path, f"has a side below {degradation.scale} pixels")
    try:
        lr = chain.apply(hr)
    except (MemoryError, OSError) as error:  # OSError: a side that JPEG cannot hold
        what = reason(error) if str(error) else "out of memory"
        raise PictureError(path, f"cannot be degraded ({what}); cut it into smaller images") from None
    digest = hashlib.sha256(lr.tobytes()).hexdigest()
    return lr, {"number": chain.number, "sha256": digest, "steps": chain.record()}


def _copy(source, target):
    with user_errors(target, "cannot be written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _record(degradation, pictures):
    settings = dataclasses.asdict(degradation)
    versions = {"libjpeg-turbo": features.version_feature("libjpeg_turbo"), "Pillow": features.version("pil")}
    return json.dumps(settings | {"versions": versions, "pictures": pictures}, indent=1) + "\n"
