"""Kills a training again and again; `python -m pytest -m soak` runs it, in about ten minutes."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

KILLS = 30
STEPS = 1500
FLAGS = (
    "--crop_size=16",
    "--batch_size=1",
    "--blocks=1",
    "--xla=off",
    "--ema_decay=0.99",
    "--warmup_steps=20",
    "--schedule=cosine",
    f"--steps={STEPS}",
    "--valid_every=1000000",
    "--log_every=1",
)
REPOSITORY = Path(__file__).resolve().parents[2]


def _start(folder, *flags):
    command = [sys.executable, "train.py", f"--run_dir={folder}", *FLAGS, *flags]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait(process, seconds, until):
    """Waits until something is so, or for so long; False if the process has ended meanwhile."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        if process.poll() is not None:
            return False
        time.sleep(0.0005)
    return process.poll() is None


def _kill(process, folder, moment, draw):
    """Kills the process at a moment of that kind; returns whether it was still running."""
    path = folder / "metrics.jsonl"
    size = path.stat().st_size if path.exists() else 0

    def half_written(pattern):
        return lambda: any(folder.glob(pattern)) if folder.exists() else False

    alive = True
    if moment != "starting":
        alive = _wait(process, 120, lambda: path.exists() and path.stat().st_size > size)
    if alive and moment == "starting":
        alive = _wait(process, draw.uniform(0, 12), lambda: False)
    elif alive and moment == "stepping":
        alive = _wait(process, draw.uniform(0, 1), lambda: False)
    elif alive:
        alive = _wait(process, draw.uniform(0, 0.5), lambda: False)
        alive = alive and _wait(process, 20, half_written(f".{moment}*"))
    process.kill()
    process.communicate()
    return alive and process.returncode == -signal.SIGKILL


def _arrays(folder):
    with np.load(folder / f"checkpoint-{STEPS:08d}.npz") as archive:
        return {name: archive[name] for name in archive.files}


def _losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["g_loss"]) for line in lines if "g_loss" in line]


@pytest.mark.soak
def test_killed_thirty_times_it_ends_as_if_never(tmp_path):
    whole, broken = tmp_path / "whole" / "srresnet", tmp_path / "broken" / "srresnet"
    process = _start(tmp_path / "whole", "--checkpoint_every=1000")
    shown, _ = process.communicate()
    assert process.returncode == 0, shown

    draw = random.Random(0)
    moments = ["starting", "stepping", "checkpoint", "checkpoint", "generator"]
    caught = {moment: 0 for moment in moments}
    for number in range(KILLS):
        moment = moments[number % len(moments)]
        process = _start(tmp_path / "broken", f"--checkpoint_every={draw.choice((1, 2, 5))}")
        assert _kill(process, broken, moment, draw), f"kill {number}: the run had ended"
        caught[moment] += any(broken.glob(f".{moment}*")) if broken.exists() else 0
    assert caught["checkpoint"] >= 5 and caught["generator"] >= 2, f"too few were killed while writing: {caught}"

    process = _start(tmp_path / "broken", "--checkpoint_every=1000")
    shown, _ = process.communicate()
    assert process.returncode == 0, shown
    step = int(shown.split("resumes from step ")[1].split()[0])
    print(f"after {KILLS} kills at step {step} of {STEPS}; found half-written: {caught}")
    assert 0 < step < STEPS

    expected, found = _arrays(whole), _arrays(broken)
    assert expected.keys() == found.keys()
    assert [name for name in expected if (expected[name] != found[name]).any()] == []
    assert _losses(broken) == _losses(whole) and [step for step, _ in _losses(broken)] == list(range(1, STEPS + 1))
    assert not [path.name for path in broken.iterdir() if path.name.startswith(".")]
    events = EventAccumulator(str(broken), size_guidance={"tensors": 0}).Reload()
    curve = [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("g_loss")]
    assert [step for step, _ in curve] == list(range(1, STEPS + 1))
    np.testing.assert_allclose([loss for _, loss in curve], [loss for _, loss in _losses(whole)], rtol=1e-6)
