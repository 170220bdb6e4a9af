"""The training loop."""

import contextlib
import signal
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from srgan_tf.models.generator import save_generator
from srgan_tf.system.errors import UserError
from srgan_tf.system.signals import ends_in_time
from srgan_tf.system.terminal import counted
from srgan_tf.training.distribution import Distribution
from srgan_tf.training.monitoring import Monitor, NoMonitor
from srgan_tf.training.optimizers import loss_scale
from srgan_tf.training.state import TrainState


class Interrupted(Exception):
    """A signal, `signal_number`, asked the run to stop; it has been saved."""

    def __init__(self, signal_number):
        super().__init__(signal_number)
        self.signal_number = signal_number


def train(
    state: TrainState,
    *,
    step: Callable,
    make_batches: Callable,
    validate: Callable,
    monitor: Monitor | NoMonitor,
    settings,
    distribution: Distribution,
) -> None:
    """Trains until `settings.steps` are done, or until SIGINT, SIGTERM or SIGHUP; either way everything is saved.

    Args:
        state: What is trained. The folder of its checkpoints gets `generator.weights.h5` with each checkpoint after
            the first step and, of SRResNet, `best.weights.h5` at the best PSNR.
        step: Of `training.steps`.
        make_batches: `make_batches(start=number) -> iterable of (lr, hr)`, this worker's share of the batches from
            number `start` on.
        validate: `validate() -> (scores, strips)`, see `Monitor.validation`.
        monitor: Reports scores and losses.
        settings: A `srgan_tf.cli.train.Settings`; the loop reads the steps and intervals, `max_bad_steps`,
            `freeze_bn_after` and the mode.
        distribution: Only its chief validates and writes.

    Raises:
        Interrupted: A signal came.
        UserError: Too many skipped steps, or something cannot be written.
        Exception: An error of the batches, the reports or a validation; it is raised after the steps before are saved.
    """
    progress = state.progress
    interval = _Interval(distribution.workers)
    if progress.step == 0:
        # To find an unwritable folder or a broken validation now, not an hour later.
        evaluate(state, validate, monitor, settings, distribution)
        save(state, interval, distribution)
        interval.restart()

    with stop_signals() as received:
        batches = iter(make_batches(start=progress.step))
        stopping = progress.step >= settings.steps
        while not stopping:
            with saved_on_error(state, interval, monitor, distribution):
                lr, hr = interval.wait_for(batches)
            terms = step(lr, hr, freeze_bn=0 <= settings.freeze_bn_after <= progress.step)
            if state.average:
                state.average.update(terms["skipped"])
            progress.step += 1
            interval.add(terms, hr.shape[0])
            monitor.advance()

            is_last = progress.step == settings.steps
            stopping = distribution.any_worker(bool(received)) or is_last
            logging = stopping or progress.step % settings.log_every == 0
            validating = is_last or progress.step % settings.valid_every == 0  # a signal must not wait for it
            saving = stopping or progress.step % settings.checkpoint_every == 0
            if logging or len(interval.uncounted) >= settings.max_bad_steps:
                refuse_skipped(state, interval, settings.max_bad_steps, lr, hr, distribution)
            with saved_on_error(state, interval, monitor, distribution):
                if logging:
                    monitor.scalars(progress.step, interval.report(progress) | rates(state.optimizers))
                if validating:
                    with interval.paused():
                        evaluate(state, validate, monitor, settings, distribution)
            if saving:
                with interval.paused():
                    save(state, interval, distribution)
    if progress.step < settings.steps:
        raise Interrupted(received[0] if received else signal.SIGTERM)


def evaluate(
    state: TrainState, validate: Callable, monitor: Monitor | NoMonitor, settings, distribution: Distribution
) -> None:
    """Scores the snapshot of G, reports the scores, and saves the best weights; on the chief only."""
    if not distribution.chief:
        return
    progress = state.progress
    state.snapshot.refresh()
    scores, strips = validate()
    monitor.validation(progress.step, scores, strips)
    # In mode srgan PSNR falls from the start, so that the first weights would be the best.
    if settings.mode == "srresnet" and progress.step > 0 and scores["psnr"] > progress.best_psnr:
        progress.best_psnr = scores["psnr"]
        save_generator(state.snapshot.model, state.checkpoints.folder / "best.weights.h5")


def save(state: TrainState, interval: "_Interval", distribution: Distribution) -> None:
    """Writes the weights and then a checkpoint, so that the weights are never older than the checkpoint.

    At step 0 only the checkpoint, so that there are never weights without one; see `phase.refuse_to_replace_weights`.
    """
    interval.count_skipped(state.progress)
    if not distribution.chief:
        return
    if state.progress.step > 0:
        state.snapshot.refresh()
        save_generator(state.snapshot.model, state.checkpoints.folder / "generator.weights.h5")
    state.checkpoints.save(state.progress)


@contextlib.contextmanager
def saved_on_error(state: TrainState, interval: "_Interval", monitor: Monitor | NoMonitor, distribution: Distribution):
    """Saves the steps so far if the body fails."""
    try:
        yield
    except Exception:
        save(state, interval, distribution)
        monitor.say(f"an error after step {state.progress.step}: saved as it is")
        raise


def refuse_skipped(
    state: TrainState, interval: "_Interval", most: int, lr: tf.Tensor, hr: tf.Tensor, distribution: Distribution
) -> None:
    """Raises a `UserError` after `most` skipped steps in a row; the chief saves the last crops."""
    if interval.count_skipped(state.progress) < most:
        return
    where = ""
    if distribution.chief:
        with contextlib.suppress(OSError):
            kept = state.checkpoints.folder / f"bad-step-{state.progress.step}.npz"
            np.savez(kept, lr=lr.numpy(), hr=hr.numpy())
            where = f"; the last crops are in {kept}"
    raise UserError(
        f"{counted(most, 'step')} in a row had gradients that are not finite; try another --run_dir with a lower"
        f" --learning_rate or --precision=float32{where}"
    )


def rates(optimizers):
    """The learning rate and the loss scale of each optimizer."""
    values = {f"{name}_learning_rate": float(optimizer.learning_rate) for name, optimizer in optimizers.items()}
    return values | {f"{name}_loss_scale": float(loss_scale(optimizer)) for name, optimizer in optimizers.items()}


class _Interval:
    """The steps since the last report: their terms, and the time they took.

    Attributes:
        uncounted: For each step that is not counted in a `Progress` yet, whether it was skipped: 1 or 0.
    """

    def __init__(self, workers):
        self._workers = workers
        self.uncounted = []
        self.restart()

    def restart(self):
        """Starts an interval."""
        self._terms, self._images, self._waited, self._start = [], 0, 0.0, time.monotonic()

    def wait_for(self, batches):
        """The next batch; the wait is counted."""
        start = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - start
        return batch

    def add(self, terms, images):
        """Adds a step with its terms and the number of this worker's images in it."""
        self._terms.append(terms)
        self._images += images
        self.uncounted.append(terms["skipped"])

    @contextlib.contextmanager
    def paused(self):
        """Excludes the time inside."""
        start = time.monotonic()
        yield
        self._start += time.monotonic() - start

    def count_skipped(self, progress):
        """Counts the skipped steps in `progress`; returns the largest number in a row."""
        longest = progress.skipped_in_row
        for flag in self.uncounted:
            skipped = float(flag) > 0
            progress.skipped += int(skipped)
            progress.skipped_in_row = progress.skipped_in_row + 1 if skipped else 0
            longest = max(longest, progress.skipped_in_row)
        self.uncounted.clear()
        return longest

    def report(self, progress):
        """The mean of each term over the steps that were not skipped (over all, if all were), and the speed; restarts
        the interval."""
        stacked = {name: tf.stack([terms[name] for terms in self._terms]).numpy() for name in self._terms[0]}
        skipped = stacked.pop("skipped") > 0
        counted = ~skipped if not skipped.all() else skipped
        elapsed = time.monotonic() - self._start
        speed = {
            "images_per_s": self._images * self._workers / elapsed,
            "input_wait_share": self._waited / elapsed,
            "skipped_steps": progress.skipped,
        }
        self.restart()
        return {name: float(values[counted].mean()) for name, values in stacked.items()} | speed


@contextlib.contextmanager
def stop_signals():
    """Yields a list that collects SIGINT, SIGTERM and SIGHUP instead of ending the process; a second signal ends it,
    but for SIGHUP, which a closed terminal sends twice: by the shell, and by the system."""
    received, before = [], {}
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)

    def handler(number, _):
        if received and number != signal.SIGHUP:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        received.append(number)

    for number in numbers:
        before[number] = signal.signal(number, handler)
    try:
        with ends_in_time(2):
            yield received
    finally:
        for number, old in before.items():
            signal.signal(number, old)
