"""Checkpoints: everything that a resumed run needs, in one NumPy archive."""

import contextlib
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.disk import require_free_bytes
from srgan_tf.system.errors import UserError

_STATE = "state"
_KEPT = 2  # archives
_NAME = re.compile(r"checkpoint-(\d+)\.npz")


class Checkpoints:
    """Saves and restores groups of variables.

    An archive is written beside and renamed when it is complete, so an interruption never leaves half of one. ZIP's
    checksums show damage; the checkpoint before is used then. The newest two are kept.

    Args:
        folder: Where the archives lie, `checkpoint-STEP.npz`.
        groups: A dict from name ("generator", "g_optimizer") to Keras variables.

    Attributes:
        folder: As given, a `Path`.
        variables: Of all groups, one after the other.
    """

    def __init__(self, folder: Path | str, groups: dict[str, list]):
        self.folder = Path(folder)
        self._variables: dict = {}
        for group, variables in groups.items():
            for variable in variables:
                name = f"{group}/{variable.path}"
                if name in self._variables:
                    raise ValueError(f"Two variables have the name {name}")
                self._variables[name] = variable
        self.variables = [*self._variables.values()]

    def save(self, step: int, state: dict) -> None:
        """Writes a checkpoint and removes the oldest ones.

        Args:
            step: Steps done.
            state: What else must be saved; anything that JSON holds.

        Raises:
            UserError: The folder is not writable or the disk is full; the earlier checkpoints are still there.
        """
        content: dict[str, Any] = {_STATE: json.dumps({"step": step} | state)}
        content |= {name: np.asarray(variable.numpy()) for name, variable in self._variables.items()}
        path = self.folder / f"checkpoint-{step:08d}.npz"
        with atomic_file(path) as partial, open(partial, "xb") as file:
            np.savez(file, **content)
            file.flush()
            os.fsync(file.fileno())
        for old, _ in self._found()[_KEPT:]:
            with contextlib.suppress(OSError):
                old.unlink()

    def check_room(self) -> None:
        """Refuses a disk that the run would fill: the kept checkpoints and one that is being written must fit.

        Raises:
            UserError: They do not.
        """
        needed = (_KEPT + 1) * sum(variable.numpy().nbytes for variable in self._variables.values())
        require_free_bytes(self.folder, needed, "make room for checkpoints or give another --run_dir")

    def latest_step(self) -> int | None:
        """Steps of the newest checkpoint, or None without one; the file is not opened."""
        found = self._found()
        return found[0][1] if found else None

    def restore(self, part: bool = False) -> dict | None:
        """Sets the variables to the newest checkpoint that is whole.

        Args:
            part: The checkpoint may hold other groups besides, which are left where they are.

        Returns:
            The state that was saved with it, `"step"` among it; None without any checkpoint, with nothing changed.

        Raises:
            UserError: A checkpoint is of another network, or all are damaged.
        """
        found = self._found()
        for path, _ in found:
            try:
                with np.load(path, allow_pickle=False) as archive:
                    arrays = {name: archive[name] for name in archive.files}
                state = json.loads(str(arrays.pop(_STATE)))
            except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
                print(f"{path}: damaged ({error}); trying the checkpoint before it")
                continue
            if part:
                groups = {name.partition("/")[0] for name in self._variables}
                arrays = {name: array for name, array in arrays.items() if name.partition("/")[0] in groups}
            self._assign(path, arrays)
            return state
        if found:
            raise UserError(f"{self.folder}: every checkpoint is damaged; remove them, or give another --run_dir")
        return None

    def _assign(self, path, arrays):
        """All variables or none: nothing is assigned before everything is known to fit."""
        wanted = {name: tuple(variable.shape) for name, variable in self._variables.items()}
        there = {name: array.shape for name, array in arrays.items()}
        different = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        if different:
            name = different[0]
            raise UserError(
                f"{path}: does not fit this network: {len(different)} variables differ; {name} is {there.get(name)}"
                f" there and {wanted.get(name)} here"
            )
        for name, variable in self._variables.items():
            variable.assign(arrays[name])

    def _found(self):
        """(path, step) of every archive, newest first."""
        if not self.folder.is_dir():
            return []
        matches = [(path, _NAME.fullmatch(path.name)) for path in self.folder.iterdir()]
        return sorted(((path, int(match[1])) for path, match in matches if match), key=lambda item: -item[1])
