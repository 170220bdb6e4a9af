"""The only training loop; it reads from top to bottom."""

import contextlib
import math
import signal
import time

import numpy as np
import tensorflow as tf

from srgan_tf.models.generator import save_generator
from srgan_tf.system.errors import UserError
from srgan_tf.training.optimizers import loss_scale


class Interrupted(Exception):
    """The run was asked to stop by a signal; it has been saved. `signal_number` says which."""

    def __init__(self, signal_number):
        super().__init__(signal_number)
        self.signal_number = signal_number


def train(
    *,
    snapshot,
    optimizers,
    step_function,
    make_batches,
    checkpoints,
    monitor,
    validate,
    folder,
    state,
    steps,
    distribution,
    freeze_bn_after=-1,
    max_bad_steps=50,
    keep_best=True,
    lower_rate=None,
    patience=5,
    log_every=50,
    valid_every=1000,
    checkpoint_every=1000,
):
    """Trains until `steps` are done, or until SIGINT or SIGTERM; either way everything is saved.

    Args:
        snapshot: A `training.snapshot.Snapshot` of G, or of its moving average: what `validate` scores and the weights
            files hold.
        optimizers: A dict from "g" and "d" to the optimizers, whose learning rate and loss scale are reported.
        step_function: Of `training.steps`.
        make_batches: `make_batches(start=number) -> iterable of (lr, hr)`, this worker's share of the batches from
            number `start` on.
        checkpoints: A `training.checkpoints.Checkpoints` of all that the step changes.
        monitor: A `training.monitoring.Monitor`.
        validate: `validate() -> (scores, strips)`, see `Monitor.validation`.
        folder: A `pathlib.Path`; gets `generator.weights.h5` at each checkpoint.
        state: What `checkpoints.restore()` returned, or None at the start.
        steps: Steps of the phase.
        distribution: A `training.distribution.Distribution`. Its chief alone validates and writes.
        freeze_bn_after: Step from which G's BN uses its moving statistics; -1: never.
        max_bad_steps: Skipped steps in a row that stop the run.
        keep_best: Write `best.weights.h5` at the best PSNR of all validations but that before the first step.
        lower_rate: Of the schedule "plateau": `lower_rate() -> whether it could`, called after `patience` validations
            without a better PSNR; the phase ends where it could not. With one worker, and with `keep_best`.
        patience: See `lower_rate`.
        log_every: Steps between reports.
        valid_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.

    Returns:
        The steps that are done, and the scores of the last validation.

    Raises:
        Interrupted: A signal came.
        UserError: Too many skipped steps, or something cannot be written.
        Exception: Of the batches, when the steps before are saved.
    """
    state = {"step": 0, "best_psnr": -math.inf, "skipped": 0, "skipped_in_row": 0, "waited": 0, "ended": False} | (
        state or {}
    )
    step, scores = state["step"], None
    pending, uncounted, waited, began = [], [], 0.0, time.monotonic()

    def save():
        count_skipped(uncounted, state)
        if not distribution.chief:
            return
        snapshot.refresh()
        # In this order, so that with a checkpoint there are always weights that are not older.
        save_generator(snapshot.model, folder / "generator.weights.h5")
        checkpoints.save(step, {name: value for name, value in state.items() if name != "step"})

    def check():
        if not distribution.chief:
            return None
        snapshot.refresh()
        scores, strips = validate()
        monitor.validation(step, scores, strips)
        if keep_best and step > 0:
            state["waited"] += step % valid_every == 0  # a longer run has no other validation at this one's end
            if scores["psnr"] > state["best_psnr"]:
                state["best_psnr"], state["waited"] = scores["psnr"], 0
                save_generator(snapshot.model, folder / "best.weights.h5")
        return scores

    if step == 0:
        # An unwritable folder or a broken validation shows now, not an hour later.
        scores = check()
        save()
        began = time.monotonic()

    with _signals() as asked:
        batches = iter(make_batches(start=step))
        stopping = step >= steps or state["ended"]
        while not stopping:
            fetching = time.monotonic()
            try:
                lr, hr = next(batches)
            except Exception:
                save()
                monitor.say(f"no batch for step {step + 1}: saved as it is")
                raise
            waited += time.monotonic() - fetching

            freeze_bn = 0 <= freeze_bn_after <= step
            terms = step_function(lr, hr, freeze_bn=freeze_bn)
            pending.append(terms)
            uncounted.append(terms["skipped"])
            step += 1
            monitor.advance()

            stopping = distribution.any(bool(asked)) or step == steps
            if len(uncounted) >= max_bad_steps or step % log_every == 0 or stopping:
                if count_skipped(uncounted, state) >= max_bad_steps:
                    raise _too_many_skipped(max_bad_steps, lr, hr, folder if distribution.chief else None, step)
            if step % log_every == 0 or stopping:
                values = _means(pending)
                elapsed = time.monotonic() - began
                values |= {
                    "images_per_s": len(pending) * distribution.workers * hr.shape[0] / elapsed,
                    "input_wait_share": waited / elapsed,
                    "skipped_steps": state["skipped"],
                }
                for name, optimizer in optimizers.items():
                    values[f"{name}_learning_rate"] = float(optimizer.learning_rate)
                    values[f"{name}_loss_scale"] = float(loss_scale(optimizer))
                monitor.scalars(step, values)
                pending, waited, began = [], 0.0, time.monotonic()

            # Whoever asks to stop does not wait for a validation.
            validating = step % valid_every == 0 or step == steps
            saving = step % checkpoint_every == 0 or stopping
            paused = time.monotonic()
            if validating:
                scores = check()
                if lower_rate and state["waited"] >= patience:
                    state["waited"], state["ended"] = 0, not lower_rate()
                    stopping = stopping or state["ended"]
            if saving or stopping:
                save()
            began += time.monotonic() - paused
    if step < steps and not state["ended"]:
        raise Interrupted(asked[0] if asked else signal.SIGTERM)
    return step, scores


def count_skipped(flags, state):
    """Adds the steps of `flags` (1 for a skipped one) to the counts in `state`, empties it, returns the longest row."""
    longest = state["skipped_in_row"]
    for flag in flags:
        skipped = float(flag) > 0
        state["skipped"] += int(skipped)
        state["skipped_in_row"] = state["skipped_in_row"] + 1 if skipped else 0
        longest = max(longest, state["skipped_in_row"])
    flags.clear()
    return longest


def _means(pending):
    """The mean of each term over the steps that were not skipped; over all, if all were."""
    stacked = {name: tf.stack([terms[name] for terms in pending]).numpy() for name in pending[0]}
    skipped = stacked.pop("skipped") > 0
    good = ~skipped if not skipped.all() else skipped
    return {name: float(values[good].mean()) for name, values in stacked.items()}


def _too_many_skipped(count, lr, hr, folder, step):
    where = ""
    if folder:
        with contextlib.suppress(OSError):
            kept = folder / f"bad-step-{step}.npz"
            np.savez(kept, lr=lr.numpy(), hr=hr.numpy())
            where = f"; the last crops are in {kept}"
    return UserError(
        f"{count} steps in a row had gradients that are not finite; try a lower --learning_rate or"
        f" --precision=float32{where}"
    )


@contextlib.contextmanager
def _signals():
    """A list that SIGINT and SIGTERM put their number into, instead of ending the process; a second one ends it."""
    asked, before = [], {}

    def handler(number, _):
        if asked:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handler)
    try:
        yield asked
    finally:
        for number, old in before.items():
            signal.signal(number, old)
