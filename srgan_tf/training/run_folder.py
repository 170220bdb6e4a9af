"""The folder of a phase: the settings it was started with, and which of them may change when it resumes."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError

# What does not change a step that is still to come, but for rounding, or is meant to be changed: a longer run, another
# folder's path.
MUTABLE_ON_RESUME = frozenset(
    "run_dir resume dry_run weights discriminator train_dir valid_dir cache_gb workers vgg_path steps pretrain_steps"
    " max_bad_steps log_every valid_every checkpoint_every strategy xla balance_colours".split()
)


def write_settings(folder: Path, settings: dict, facts: dict) -> str:
    """Writes `settings.json`: complete or not at all.

    Args:
        folder: Of the phase.
        settings: What the run was given.
        facts: What it found out: versions, device, data, measured weights.

    Returns:
        The text.

    Raises:
        UserError: The folder is not writable.
    """
    path = Path(folder, "settings.json")
    text = json.dumps({"settings": settings, "facts": facts}, indent=2, default=str)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return text


def read_settings(folder: Path, settings_class: type) -> tuple[dict, dict]:
    """What `write_settings` wrote.

    Args:
        folder: Of the phase.
        settings_class: The dataclass of the settings; one that is newer than the run had its default then.

    Returns:
        `(settings, facts)`, or `({}, {})` if there is none.

    Raises:
        UserError: The file is damaged, or has settings that this version does not know.
    """
    path = Path(folder, "settings.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings, facts = dict(content["settings"]), dict(content["facts"])
    except FileNotFoundError:
        return {}, {}
    except NotADirectoryError:
        raise UserError(f"{folder}: a file is in the way; give another --run_dir") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); give another --run_dir") from None
    fields = {field.name: field.default for field in dataclasses.fields(settings_class)}
    unknown = sorted(settings.keys() - fields.keys())
    if unknown:
        raise UserError(
            f"{path}: is of another version of this program, with --{', --'.join(unknown)}; give another --run_dir"
        )
    return {name: default for name, default in fields.items() if default != AUTO} | settings, facts


def resumed_settings(folder: Path, settings, started: dict):
    """The settings that a phase resumes with: those given, and the weights that it was started from.

    Args:
        folder: Of the phase.
        settings: A dataclass, what the command was given.
        started: What `read_settings` read.

    Raises:
        UserError: The settings differ in what may not change; the message names it.
    """
    if not settings.resume:
        raise UserError(f"{folder}: holds a run already; give another --run_dir, or resume it with --resume")
    for flag in ("weights", "discriminator"):
        first = started.get(flag, "")
        if getattr(settings, flag) not in ("", first):
            raise UserError(f"{folder}: was started with another --{flag}; leave it out, or give another --run_dir")
        settings = dataclasses.replace(settings, **{flag: first})
    refuse_changes(folder, started, dataclasses.asdict(settings))
    return settings


def refuse_changes(folder: Path, before: dict, now: dict) -> None:
    """Refuses to resume with other settings than the run has, but for those in `MUTABLE_ON_RESUME`.

    Args:
        folder: Of the phase.
        before: The run's settings.
        now: The settings of this call.

    Raises:
        UserError: Names the settings that differ, with both values.
    """
    fixed = [name for name in now if name in before and name not in MUTABLE_ON_RESUME]
    changed = [name for name in fixed if before[name] != now[name]]
    if changed:
        differences = ", ".join(f"--{name} was {before[name]} and is {now[name]}" for name in changed)
        raise UserError(f"{folder}: {differences}; give the same, or another --run_dir")


def fingerprint(pictures) -> str:
    """A short hash of pictures: their fields, in order, files by their names alone so that a folder may be moved.

    Args:
        pictures: `data.folders.PictureFile`s or `data.folders.Pair`s.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for picture in pictures:
        for value in vars(picture).values():  # `dataclasses.astuple` copies each, seconds of a large folder
            digest.update(os.fsencode(value.name if isinstance(value, Path) else str(value)) + b"\0")
    return digest.hexdigest()[:16]


def digest(variables) -> str:
    """A short hash of what variables hold, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for variable in variables:
        whole.update(variable.numpy().tobytes())
    return whole.hexdigest()[:16]
