"""The folder of a phase: the settings it was started with, and which of them may change when it goes on."""

import hashlib
import json
import os
from pathlib import Path

from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import UserError

# What does not change a step that is still to come, but for rounding, or is meant to be changed: a longer run, another
# folder's path. With the schedule plateau, which goes by validations, `valid_every` does.
FREE = frozenset(
    "run_dir resume dry_run weights discriminator train_dir valid_dir cache_gb workers vgg_path steps pretrain_steps"
    " max_bad_steps log_every valid_every checkpoint_every strategy xla balance_colours".split()
)


def write_settings(folder, settings, facts):
    """Writes `settings.json`: complete or not at all.

    Args:
        folder: Of the phase.
        settings: A dict of what the run was told.
        facts: A dict of what it found out: versions, device, data, measured weights.

    Returns:
        The text.

    Raises:
        UserError: The folder is not writable.
    """
    path = Path(folder, "settings.json")
    text = json.dumps({"settings": settings, "facts": facts}, indent=2, default=str)
    with atomic_file(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return text


def read_settings(folder):
    """What `write_settings` wrote, `(settings, facts)`, or `({}, {})` if there is none.

    Raises:
        UserError: The file is damaged.
    """
    path = Path(folder, "settings.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["settings"], content["facts"]
    except FileNotFoundError:
        return {}, {}
    except NotADirectoryError:
        raise UserError(f"{folder}: a file is in the way; give another --run_dir") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); give another --run_dir") from None


def refuse_changes(folder, before, now):
    """Refuses to go on with other settings than the run has, but for those in `FREE`.

    Args:
        folder: Of the phase.
        before: The run's settings.
        now: The settings of this call.

    Raises:
        UserError: Names the settings that differ, with both values.
    """
    free = FREE - {"valid_every"} if now.get("schedule") == "plateau" else FREE
    changed = [name for name in now if name in before and name not in free and before[name] != now[name]]
    if changed:
        differences = ", ".join(f"--{name} was {before[name]} and is {now[name]}" for name in changed)
        raise UserError(f"{folder}: {differences}; go on with the same, or give another --run_dir")


def fingerprint(pictures):
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


def digest(variables):
    """A short hash of what variables hold, 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for variable in variables:
        whole.update(variable.numpy().tobytes())
    return whole.hexdigest()[:16]
