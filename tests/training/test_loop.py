import errno
import itertools
import json
import os
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.models.generator import build_generator
from srgan_tf.system.errors import UserError
from srgan_tf.training import loop
from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.distribution import Distribution
from srgan_tf.training.monitoring import Monitor
from srgan_tf.training.snapshot import Snapshot

DEFAULTS = {
    "log_every": 50,
    "valid_every": 1000,
    "checkpoint_every": 1000,
    "max_bad_steps": 50,
    "freeze_bn_after": -1,
    "mode": "srresnet",
}


class _Run:
    """The loop over a step that only counts."""

    def __init__(self, folder, *, steps=10, skipped=(), psnr=(20.0,), during=lambda step: None):
        self.folder, self.steps, self.skipped, self.psnr, self.during = folder, steps, skipped, list(psnr), during
        self.generator = build_generator(blocks=0, filters=4)
        self.counter = keras.Variable(0.0, name="counter")
        self.checkpoints = Checkpoints(folder, {"run": [self.counter]})
        self.frozen, self.saved = [], []

    def step(self, lr, hr, freeze_bn):
        number = int(hr[0, 0, 0, 0])
        self.during(number)
        self.frozen.append(freeze_bn)
        self.counter.assign(number + 1)
        return {"g_loss": tf.constant(float(number)), "skipped": tf.constant(float(number in self.skipped))}

    def batches(self, start):
        for number in range(start, self.steps):
            yield tf.zeros((2, 1, 1, 3), tf.uint8), tf.fill((2, 4, 4, 3), tf.cast(number, tf.uint8))

    def validate(self):
        psnr = self.psnr.pop(0) if len(self.psnr) > 1 else self.psnr[0]
        return {"psnr": psnr, "ssim": 0.5}, {"one": np.zeros((4, 12, 3), np.uint8)}

    def train(self, **options):
        progress = self.checkpoints.restore() or Progress()
        monitor = Monitor(self.folder, start=progress.step, total=self.steps, name="test")
        state = types.SimpleNamespace(
            optimizers={"g": keras.optimizers.Adam(0.25)},
            average=None,
            snapshot=Snapshot(self.generator),
            checkpoints=self.checkpoints,
            progress=progress,
        )
        try:
            return loop.train(
                state,
                step=self.step,
                make_batches=self.batches,
                validate=self.validate,
                monitor=monitor,
                settings=types.SimpleNamespace(steps=self.steps, **DEFAULTS | options),
                distribution=Distribution("none"),
            )
        finally:
            monitor.close()

    def lines(self, key):
        lines = map(json.loads, (self.folder / "metrics.jsonl").read_text().splitlines())
        return {line["step"]: line[key] for line in lines if key in line}


def test_reports_means_and_counts(tmp_path):
    run = _Run(tmp_path, skipped=(1, 4))
    run.train(log_every=4, valid_every=5, checkpoint_every=100, freeze_bn_after=6)
    # Steps 0 to 3 without 1; 4 to 7 without 4; 8 and 9.
    assert run.lines("g_loss") == {4: pytest.approx(5 / 3), 8: 6.0, 10: 8.5}
    assert run.lines("skipped_steps") == {4: 1, 8: 2, 10: 2}
    assert run.lines("g_learning_rate")[4] == 0.25 and run.lines("g_loss_scale")[4] == 1
    assert list(run.lines("valid_psnr")) == [0, 5, 10]
    assert run.frozen == [False] * 6 + [True] * 4


def test_best_weights_are_those_of_the_best_psnr(tmp_path):
    changed = []

    def during(number):
        path = tmp_path / "best.weights.h5"
        if not path.exists():
            return
        stamp = path.stat().st_mtime_ns
        if not changed or changed[-1][1] != stamp:
            changed.append((number, stamp))

    _Run(tmp_path, psnr=(20, 25, 24, 26, 26), during=during).train(valid_every=2)
    assert [number for number, _ in changed] == [2, 6]
    _Run(tmp_path / "other", steps=2).train(mode="srgan")
    assert not (tmp_path / "other" / "best.weights.h5").exists()


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGHUP)], ids=["INT", "TERM", "HUP"]
)
def test_a_signal_saves_and_a_run_resumes(tmp_path, numbers):
    def during(step):
        for number in numbers if step == 3 else ():
            os.kill(os.getpid(), number)

    run, number = _Run(tmp_path, during=during), numbers[0]
    before = signal.getsignal(number)
    with pytest.raises(loop.Interrupted) as stopped:
        run.train(checkpoint_every=100, valid_every=100)
    assert stopped.value.signal_number == number and signal.getsignal(number) is before
    assert run.checkpoints.latest_step() == 4
    again = _Run(tmp_path)
    again.train()
    assert len(again.frozen) == 6 and float(again.counter) == 10


def test_a_hangup_is_ignored_under_nohup(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = _Run(tmp_path, during=lambda step: os.kill(os.getpid(), signal.SIGHUP))
        run.train()
        assert run.checkpoints.latest_step() == 10
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("log_every", [1, 2, 100])
def test_too_many_skipped_steps_in_a_row_stop_the_run_with_the_crops_kept(tmp_path, log_every):
    run = _Run(tmp_path, steps=20, skipped=(2, 3, 4, 7, 8))
    with pytest.raises(UserError, match="3 steps in a row") as error:
        run.train(log_every=log_every, max_bad_steps=3)
    assert "--precision=float32" in str(error.value)
    (kept,) = tmp_path.glob("bad-step-*.npz")
    step = int(kept.stem.rpartition("-")[2])
    assert 5 <= step < 5 + 3  # seen at the latest when as many steps more are done
    with np.load(kept) as crops:
        assert (crops["hr"] == step - 1).all() and crops["lr"].shape == (2, 1, 1, 3)


def test_a_checkpoint_counts_all_steps_before_it(tmp_path):
    run = _Run(tmp_path, skipped=(1, 2, 3), during=lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 3 else 0)
    with pytest.raises(loop.Interrupted):
        run.train(log_every=100)
    progress = run.checkpoints.restore()
    assert (progress.step, progress.skipped, progress.skipped_in_row) == (4, 3, 3)


def test_batches_that_fail_are_saved_before(tmp_path):
    def batches(start):
        yield from itertools.islice(_Run.batches(run, start), 6)
        raise UserError("the photographs are gone")

    run = _Run(tmp_path)
    run.batches = batches
    with pytest.raises(UserError, match="gone"):
        run.train(checkpoint_every=100)
    assert run.checkpoints.restore().step == 6 and float(run.counter) == 6


def test_what_was_trained_is_saved_though_the_terminal_is_gone(tmp_path, monkeypatch):
    def print_nothing(*_):
        raise OSError(errno.EIO, "Input/output error")

    run = _Run(tmp_path, during=lambda step: os.kill(os.getpid(), signal.SIGHUP) if step == 3 else None)
    monkeypatch.setattr(Monitor, "scalars", print_nothing)
    with pytest.raises(OSError, match="Input/output"):
        run.train(checkpoint_every=100)
    assert run.checkpoints.latest_step() == 4


def test_what_was_trained_before_a_validation_that_fails_is_saved(tmp_path):
    def validate():
        if run.counter > 0:
            raise UserError("the validation images are gone")
        return _Run.validate(run)

    run = _Run(tmp_path)
    run.validate = validate
    with pytest.raises(UserError, match="gone"):
        run.train(valid_every=6, checkpoint_every=100)
    assert run.checkpoints.restore().step == 6 and float(run.counter) == 6


def test_skipped_steps_far_apart_do_not(tmp_path):
    run = _Run(tmp_path, skipped=(0, 2, 4, 6, 8))
    run.train(log_every=1, max_bad_steps=2)
    assert run.lines("skipped_steps")[10] == 5


def test_lines_of_a_broken_off_run_are_taken_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2, "g_loss": 1}\n{"step": 4, "g_loss": 1}\n{"step": 6, "g_lo')
    Monitor(tmp_path, start=3, total=10, name="test").close()
    assert path.read_text() == '{"step": 2, "g_loss": 1}\n'
