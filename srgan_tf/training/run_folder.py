"""The settings in the folder of a phase, and which of them may change when it resumes."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Literal, TypedDict

from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError, file_errors
from srgan_tf.system.json_files import check_shape, read_json

# Settings that do not change the steps to come, except for rounding, or that are meant to be changed: the length of the
# run, the path of a folder.
MUTABLE_ON_RESUME = frozenset(
    "run_dir resume dry_run weights discriminator train_dir valid_dir cache_gb workers vgg_path steps pretrain_steps"
    " max_bad_steps log_every valid_every checkpoint_every strategy xla balance_colours".split()
)
_ELSEWHERE = "give another --run_dir"


class _Facts(TypedDict, total=False):
    photographs: str
    validation: str
    vgg: str
    vgg_loss_weight: float


class _Record(TypedDict):
    settings: dict
    facts: _Facts


def write_settings(folder: Path, settings: dict, facts: dict) -> str:
    """Writes `settings.json`, complete or not at all, and returns its text.

    Args:
        folder: The folder of the phase.
        settings: The settings of the run.
        facts: Versions, device, hashes of the data, measured weights.

    Raises:
        UserError: The folder is not writable.
    """
    path = Path(folder, "settings.json")
    text = json.dumps({"settings": settings, "facts": facts}, indent=2, default=str)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return text


def read_settings(folder: Path, settings_class: type, required: bool = False) -> tuple[dict, dict]:
    """The settings and facts that `write_settings` wrote, both empty if there are none.

    Args:
        folder: The folder of the phase.
        settings_class: The dataclass of the settings; those that are newer than the run get their defaults.
        required: Whether the file must exist, since the folder has checkpoints.

    Raises:
        UserError: The file is damaged or missing, or has settings that this version does not know.
    """
    path = Path(folder, "settings.json")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder}: a file is in the way; {_ELSEWHERE}")
    if not os.path.lexists(path):
        if required:
            raise UserError(f"{path}: missing, and the checkpoints need it; put it back, or {_ELSEWHERE}")
        return {}, {}
    content = read_json(path, _Record, "damaged", _ELSEWHERE)
    settings = content["settings"]
    fields = {field.name: field for field in dataclasses.fields(settings_class)}
    unknown = sorted(settings.keys() - fields.keys())
    if unknown:
        raise UserError(f"{path}: is of another version of this program, with --{', --'.join(unknown)}; {_ELSEWHERE}")
    with file_errors(path, "damaged", advice=_ELSEWHERE):
        for name, value in settings.items():
            _check_setting(value, fields[name])
    defaults = {name: field.default for name, field in fields.items() if field.default != AUTO}
    return defaults | settings, content["facts"]


def _check_setting(value, field):
    """Raises ValueError for a value that the flag does not allow."""
    if value == AUTO == field.default:
        return
    choices = field.metadata.get("choices")
    check_shape(value, Literal[tuple(choices)] if choices else field.type, field.name)
    lower, upper = field.metadata.get("lower"), field.metadata.get("upper")
    if lower is not None and value < lower or upper is not None and value > upper:
        raise ValueError(f"{field.name} is {value}, out of its range")


def resumed_settings(folder: Path, settings, started: dict):
    """The settings that a phase resumes with: those given, with `weights` and `discriminator` of the run's start.

    Args:
        folder: The folder of the phase.
        settings: The settings given now.
        started: The settings that the phase was started with, of `read_settings`.

    Raises:
        UserError: A setting differs that may not change; the message names it.
    """
    if not settings.resume:
        raise UserError(f"{folder}: holds a run already; {_ELSEWHERE}, or resume it with --resume")
    for flag in ("weights", "discriminator"):
        first = started.get(flag, "")
        if getattr(settings, flag) not in ("", first):
            raise UserError(f"{folder}: was started with another --{flag}; leave it out, or {_ELSEWHERE}")
        settings = dataclasses.replace(settings, **{flag: first})
    refuse_changes(folder, started, dataclasses.asdict(settings))
    return settings


def refuse_changes(folder: Path, before: dict, now: dict) -> None:
    """Refuses to resume with changed settings, except for those in `MUTABLE_ON_RESUME`.

    Raises:
        UserError: Names the settings that differ, with both values.
    """
    fixed = [name for name in now if name in before and name not in MUTABLE_ON_RESUME]
    changed = [name for name in fixed if before[name] != now[name]]
    if changed:
        differences = ", ".join(f"--{name} was {before[name]} and is {now[name]}" for name in changed)
        raise UserError(f"{folder}: {differences}; give the same, or another --run_dir")


def fingerprint(pictures) -> str:
    """A short hash, 16 hexadecimal digits, of the fields of `data.folders.PictureFile`s or `Pair`s in their order. Of a
    path only the file's name counts, so that a folder may be moved."""
    digest = hashlib.sha256()
    for picture in pictures:
        for value in vars(picture).values():  # `dataclasses.astuple` copies each, seconds of a large folder
            digest.update(os.fsencode(value.name if isinstance(value, Path) else str(value)) + b"\0")
    return digest.hexdigest()[:16]


def digest(variables) -> str:
    """A short hash of the values of variables, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for variable in variables:
        whole.update(variable.numpy().tobytes())
    return whole.hexdigest()[:16]
