"""Reports of a run: TensorBoard, metrics.jsonl, and a progress bar or, without a terminal, plain lines."""

import contextlib
import json
import math
import os
import socket
import sys
import time
from pathlib import Path
from typing import TypedDict

import tensorflow as tf
from tqdm import tqdm

from srgan_tf.system.atomic import atomic_file
from srgan_tf.system.errors import user_errors
from srgan_tf.system.json_files import check_shape
from srgan_tf.system.terminal import say

_LONGEST_LINE = 2**20  # bytes


class _Record(TypedDict):
    step: int


class Monitor:
    """The reports of one phase.

    Args:
        folder: The folder of the phase; gets `metrics.jsonl` and TensorBoard's event files.
        start: Steps done before. What an interrupted run reported of later steps is removed from `metrics.jsonl` and
            hidden in TensorBoard; at 0 that is everything.
        total: Steps of the phase.
        name: The name of the phase, shown before the bar.

    Raises:
        UserError: The folder is not writable.
    """

    def __init__(self, folder: Path | str, *, start: int, total: int, name: str):
        self._total, self._name = total, name
        self._folder = Path(folder)
        with self._plain_errors():
            lines = self._folder / "metrics.jsonl"
            self._folder.mkdir(parents=True, exist_ok=True)
            _drop_after(lines, start or -1)
            _end_curves_after(self._folder, start or -1)
            self._file = open(lines, "a", encoding="utf-8")
            self._writer = tf.summary.create_file_writer(os.fsencode(folder))
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=start, desc=name, unit="step", dynamic_ncols=True)
        self._clock = (time.monotonic(), start)
        self._psnr: float | None = None

    def settings(self, text: str) -> None:
        """Shows the run's settings in TensorBoard, as JSON text."""
        with self._plain_errors(), self._writer.as_default(step=0):
            tf.summary.text("settings", f"```json\n{text}\n```")

    def advance(self):
        """Moves the bar by one step."""
        if self._bar:
            self._bar.update()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Records scalars, and shows the loss, the speed, the wait for input and the remaining time."""
        self._record(step, values)
        now, (before, since) = time.monotonic(), self._clock
        remaining = (now - before) / max(step - since, 1) * (self._total - step)
        self._clock = (now, step)
        parts = {
            "loss": f"{values['g_loss']:.5f}",
            "images/s": f"{values['images_per_s']:.1f}",
            "input wait": f"{values['input_wait_share']:.0%}",
        }
        if self._psnr is not None:
            parts["PSNR"] = f"{self._psnr:.2f}"
        if self._bar:
            self._bar.set_postfix(parts)
        else:
            text = "  ".join(f"{name} {value}" for name, value in parts.items())
            print(f"{self._name} {step}/{self._total}  {text}  remaining {_duration(remaining)}", flush=True)

    def validation(self, step: int, scores: dict[str, float], strips: dict) -> None:
        """Reports the validation.

        Args:
            step: Steps done.
            scores: A dict with `"psnr"` in dB and `"ssim"`.
            strips: A dict from name to a picture `(H, W, 3)` uint8: bicubic | SR | HR.
        """
        self._psnr = scores["psnr"]
        self._record(step, {f"valid_{name}": value for name, value in scores.items()})
        with self._plain_errors(), self._writer.as_default(step=step):
            for name, strip in strips.items():
                tag = name.encode(errors="replace").decode()  # a file's name need not be text
                tf.summary.image(f"bicubic, SR, HR/{tag}", strip[None])
        self.say(f"{self._name} {step}: validation PSNR {scores['psnr']:.3f} dB, SSIM {scores['ssim']:.4f}")
        # The time of the validation does not count as time of the steps.
        self._clock = (time.monotonic(), step)

    def say(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        if self._bar:
            self._bar.write(line)
        else:
            print(line, flush=True)

    def close(self):
        """Closes the files; errors in writing what is still buffered are ignored."""
        for file in (self._writer, self._file):
            with contextlib.suppress(OSError, tf.errors.OpError):
                file.close()
        if self._bar:
            self._bar.close()

    def _record(self, step, values):
        with self._plain_errors(), self._writer.as_default(step=step):
            known = {name: value if math.isfinite(value) else None for name, value in values.items()}  # JSON has no NaN
            line = json.dumps({"step": step, "time": round(time.time(), 3)} | known, allow_nan=False)
            self._file.write(line + "\n")
            self._file.flush()
            for name, value in values.items():
                tf.summary.scalar(name, value)
            self._writer.flush()

    def _plain_errors(self):
        what = "metrics.jsonl and curves cannot be written"
        return user_errors(self._folder, what, of=(OSError, tf.errors.OpError))


class NoMonitor:
    """The `Monitor` of a worker that is not the chief: only `say` does something."""

    def advance(self):
        pass

    def validation(self, step, scores, strips):
        pass

    def scalars(self, step, values):
        pass

    def say(self, line):
        print(line, flush=True)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _drop_after(path, step):
    """Removes the lines of steps after `step`, and lines that are not a record of a step."""
    if not path.exists():
        return
    strange, is_strange = 0, False
    with open(path, "rb") as file, atomic_file(path) as partial, open(partial, "xb") as kept:
        while line := file.readline(_LONGEST_LINE):
            strange += is_strange  # the line before: the last one may have been cut off
            own_step = _step_of(line)
            is_strange = own_step == math.inf
            if own_step <= step:
                kept.write(line.rstrip() + b"\n")
    if strange:
        say(f"{path}: {strange} lines are no records of a step and are left out")


def _step_of(line):
    """The step of a line of metrics.jsonl; infinity if the line is not a record."""
    try:
        record = json.loads(line)
        check_shape(record, _Record)
    except (ValueError, RecursionError):
        return math.inf
    return record["step"]


def _end_curves_after(folder, step):
    """Tells TensorBoard that a run resumes after `step`, so that it drops later steps of earlier event files."""
    if not any(folder.glob("events.out.tfevents.*")):
        return
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    # TensorBoard reads files in the order of their names; this one comes after the old and before the new.
    name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.-start"
    with tf.io.TFRecordWriter(os.fsencode(folder / name)) as file:
        file.write(tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        event = tf.compat.v1.Event(wall_time=time.time(), step=step + 1, session_log=start)
        # TensorBoard ignores the first START event of a run.
        for _ in range(2):
            file.write(event.SerializeToString())
