"""Checkpoints: all that a run needs to resume, in one NumPy archive."""

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from srgan_tf.models.npz import NpzArchive
from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.disk import require_free_bytes
from srgan_tf.system.errors import DAMAGE, UserError, reason
from srgan_tf.system.terminal import say

_UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGE)
_STATE = "state"
_KEPT = 2  # newest archives that are kept
_NAME = re.compile(r"checkpoint-(\d+)\.npz")
_LABEL = b"srgan_tf sha256 "  # followed by the digest of all bytes before the digest, which ends the file
_HEX = 64  # characters of a digest


@dataclasses.dataclass
class Progress:
    """The progress of a phase, part of each checkpoint.

    Attributes:
        step: Steps done.
        best_psnr: Best PSNR of all validations after the first step, dB.
        skipped: Steps that were skipped, since something was not finite.
        skipped_in_row: Skipped steps in a row up to now.
    """

    step: int = 0
    best_psnr: float = -math.inf
    skipped: int = 0
    skipped_in_row: int = 0


class Checkpoints:
    """Saves and restores groups of variables.

    Archives are written atomically. A digest of the whole file, in ZIP's comment at its end, shows damage before
    anything is read from it; then the checkpoint before it is used. The newest two are kept.

    Args:
        folder: The folder of the archives, `checkpoint-STEP.npz`.
        groups: A dict from name ("generator", "g_optimizer") to Keras variables.

    Attributes:
        folder: As given, a `Path`.
        variables: The variables of all groups in one list.
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

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint and removes the oldest ones.

        Raises:
            UserError: The folder is not writable or the disk is full; the earlier checkpoints are still there.
        """
        arrays: dict[str, Any] = {_STATE: np.asarray(json.dumps(dataclasses.asdict(progress)))}
        arrays |= {name: np.asarray(variable.numpy()) for name, variable in self._variables.items()}
        path = self.folder / f"checkpoint-{progress.step:08d}.npz"
        with atomic_file(path) as partial, open(partial, "x+b") as file:
            np.savez(file, **arrays)
            _add_digest(file)
        for old, _ in self._found()[_KEPT:]:
            with contextlib.suppress(OSError):
                old.unlink()

    def check_room(self) -> None:
        """Checks that the disk has room for the kept checkpoints, as far as they are missing, and one that is being
        written.

        Raises:
            UserError: It does not.
        """
        missing = max(0, _KEPT - len(self._found())) + 1
        needed = missing * sum(variable.numpy().nbytes for variable in self._variables.values())
        require_free_bytes(self.folder, needed, "make room for checkpoints or give another --run_dir")

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, by its file name; None without one."""
        found = self._found()
        return found[0][1] if found else None

    def restore(self, part: bool = False) -> Progress | None:
        """Sets the variables to the values of the newest undamaged checkpoint.

        Args:
            part: Whether the checkpoint may hold other groups as well, which are ignored.

        Returns:
            The `Progress` that was saved with it; None without any checkpoint, with nothing changed.

        Raises:
            UserError: A checkpoint is of another network, or all are damaged.
        """
        found = self._found()
        for path, _ in found:
            try:
                with open(path, "rb") as file:
                    _check_digest(file)
                    archive = NpzArchive(file, kinds="fiubU")
                    progress = _parse_progress(str(archive.read(_STATE)))
                    self._require_fit(path, archive, part)
                    arrays = {name: archive.read(name) for name in self._variables}
            except _UNREADABLE as error:
                say(f"{path}: damaged ({reason(error)}); trying the checkpoint before it")
                continue
            for name, variable in self._variables.items():
                variable.assign(arrays[name])
            return progress
        if found:
            raise UserError(
                f"{self.folder}: every checkpoint is damaged; give another --run_dir, and to start from the weights"
                " that are left, give these as --weights"
            )
        return None

    def _require_fit(self, path, archive, part):
        """Refuses an archive of another network, by its types and shapes, before its values are read."""
        wanted = {name: (np.dtype(each.dtype), tuple(each.shape)) for name, each in self._variables.items()}
        there = {name: kind for name, kind in archive.types.items() if name != _STATE}
        if part:
            groups = {name.partition("/")[0] for name in wanted}
            there = {name: kind for name, kind in there.items() if name.partition("/")[0] in groups}
        different = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        if different:
            name = different[0]
            there_here = [" ".join(map(str, each[name])) if name in each else "absent" for each in (there, wanted)]
            raise UserError(
                f"{path}: does not fit this network: {len(different)} variables differ; {name} is {there_here[0]} there"
                f" and {there_here[1]} here"
            )

    def _found(self):
        """`(path, step)` of every archive, newest first."""
        if not self.folder.is_dir():
            return []
        matches = [(path, _NAME.fullmatch(path.name)) for path in self.folder.iterdir()]
        return sorted(((path, int(match[1])) for path, match in matches if match), key=lambda item: -item[1])


def _parse_progress(text):
    """Raises TypeError or ValueError if `text` is not a `Progress`."""
    progress = Progress(**json.loads(text))
    for field in dataclasses.fields(progress):
        value = getattr(progress, field.name)
        if type(value) not in (int, field.type) or field.type is int and value < 0:
            raise ValueError(f"{field.name} is {value!r:.40}")
    return progress


def _add_digest(file: io.BufferedRandom) -> None:
    """Adds a comment to a ZIP archive without one: the label, and the digest of all bytes before the digest."""
    file.seek(-2, io.SEEK_END)
    file.write(struct.pack("<H", len(_LABEL) + _HEX) + _LABEL)
    file.seek(0)
    file.write(hashlib.file_digest(file, "sha256").hexdigest().encode())


def _check_digest(file: BinaryIO) -> None:
    """Raises ValueError if the digest at the end does not fit the file.

    Archives from before 0.2.0 have no digest; `NpzArchive` compares ZIP's checksums anyway.
    """
    size = file.seek(0, io.SEEK_END) - _HEX
    file.seek(max(0, size - len(_LABEL)))
    if file.read(len(_LABEL)) != _LABEL:
        return
    written = file.read()
    file.seek(0)
    if hashlib.sha256(file.read(size)).hexdigest().encode() != written:
        raise ValueError("its digest is another")
