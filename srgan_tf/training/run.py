"""A run: finds the device and the images, and trains the phases one after the other."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from srgan_tf.data import folders
from srgan_tf.data.downloads import find_set
from srgan_tf.data.paired import Photographs, fit_pairs, scan_sides
from srgan_tf.evaluation.validation import usable_pairs
from srgan_tf.inference.precision import emulation_note
from srgan_tf.system.errors import UserError
from srgan_tf.system.signals import ends_in_time
from srgan_tf.system.terminal import counted, say
from srgan_tf.training import hardware, run_folder
from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.distribution import Distribution
from srgan_tf.training.phase import Resources, build_networks, check_memory, find_cache, train_phase


@ends_in_time()
def train(settings) -> None:
    """Trains as checked settings say; mode srgan trains its SRResNet first if there is none.

    Raises:
        Interrupted: See `loop.train`.
        UserError: It cannot train; the message says why.
    """
    device = hardware.find_device()
    distribution = Distribution(settings.strategy)
    distribution.crops_per_device(settings.batch_size, settings.accumulate)
    if distribution.is_distributed and settings.xla == "on":
        raise UserError(f"--xla=on: XLA cannot compile what --strategy={distribution.kind} needs; leave it out")
    settings = dataclasses.replace(settings, precision=hardware.set_precision(settings.precision, device))
    xla = "on" if hardware.compiles_step(settings.xla, device, distribution.is_distributed) else "off"
    print(f"device     {device.name}; precision {settings.precision}; XLA {xla}; strategy {distribution}")
    if note := emulation_note(settings.precision.removeprefix("mixed_"), on_gpu=device.kind == "GPU"):
        print(f"  {note}")
    resources = Resources(device, distribution, find_photographs(settings), find_validation(settings))

    with distribution.lost_worker_errors(settings.run_dir):
        is_first = Checkpoints(Path(settings.run_dir, "srgan"), {}).latest_step() is None
        if settings.mode == "srgan" and not settings.weights and is_first:
            settings = dataclasses.replace(settings, weights=pretrain(settings, resources))
        train_phase(settings, resources)


def find_photographs(settings) -> list[Photographs]:
    """Scans the training images and says what was found: HR, and LR if `--train_dir` has it; downloads a known set.

    Raises:
        UserError: There are none, or `--train_dir` has LR although it is to be made by `--degradation`; see `find_set`.
    """
    kind, sides = "", []
    if settings.train_dir:
        sides = scan_sides(find_set(settings.train_dir), settings.scale, settings.crop_size)
    if not sides:
        scan = folders.embedded_scan("train", min_side=settings.crop_size)
        photographs = [Photographs("", scan.pictures)]
    elif len(sides) == 1:
        ((folder, scan),) = sides
        photographs = [Photographs(folder, scan.pictures)]
    else:
        (hr, _), (lr, _) = sides
        if settings.degradation != "bicubic":
            raise UserError(
                f"--degradation={settings.degradation} cannot be combined with the LR images in {lr}; leave it out, or"
                " name a folder of HR images alone as --train_dir"
            )
        found = fit_pairs(sides, settings.scale)
        scan, kind = found.hr, "pairs of "
        photographs = [Photographs(hr, scan.pictures), Photographs(lr, found.lr)]
    where = settings.train_dir or "embedded in scikit-image; --train_dir names your own"
    say(f"training   {kind}{scan.summary()[0]} ({where})", *scan.summary()[1:])
    return photographs


def find_validation(settings) -> Sequence[folders.Pair]:
    """The pairs to validate on; says what was found and what was left out. Downloads a known set."""
    if settings.valid_dir:
        unreadable: list = []
        folder = find_set(settings.valid_dir)
        pairs: Sequence[folders.Pair] = folders.find_pairs(folder, settings.scale, unreadable.append)
        say(*(f"  skipped {error}" for error in unreadable))
    else:
        embedded = folders.embedded_scan("valid").pictures
        pairs = [folders.Pair(picture.path.stem, picture.path, None) for picture in embedded]
    where = settings.valid_dir or "embedded in scikit-image; --valid_dir names your own"
    say(f"validation {counted(len(pairs), 'image')} ({where})")
    fitting, note = folders.drop_mismatched_lr(pairs, settings.scale)
    if note:
        say(f"  {note}")
    if settings.degradation == "photo" and any(pair.lr is None for pair in fitting):
        say("  LR is degraded as in training")
    pairs, skipped = usable_pairs(fitting, settings.scale)
    for path, reason in skipped:
        say(f"  skipped {path}: {reason}")
    return pairs


def pretrain(settings, resources: Resources) -> str:
    """Trains the run's own SRResNet as far as mode srgan needs it.

    Returns:
        The path of its weights; empty after a dry run.
    """
    folder = Path(settings.run_dir, "srresnet")
    checkpoints = Checkpoints(folder, {})
    done = (checkpoints.restore(part=True) or Progress()).step
    started, _ = run_folder.read_settings(folder, type(settings), required=True) if done else ({}, {})
    first = settings.for_pretraining(started)
    weights = folder / "generator.weights.h5"
    if done < first.steps:
        print(
            f"SRGAN starts from an SRResNet; this run's stands at step {done} of {first.steps}, so it is trained first"
            " (--weights starts from another, --pretrain_steps says how long)"
        )
        was, is_now = ({name: getattr(each, name) for name in ("blocks", "scale")} for each in (first, settings))
        run_folder.refuse_changes(folder, was, is_now)
        # What SRGAN lacks, such as VGG19's file or memory, is found now and not after the SRResNet.
        networks = build_networks(settings, resumes=False, normalization=resources.distribution.normalization)
        if not settings.dry_run:  # which comes to it at once
            check_memory(settings, resources, networks, find_cache(settings, resources))
        del networks
    if done < first.steps or not weights.exists():
        if first.crop_size != settings.crop_size:  # other photographs are large enough
            resources = dataclasses.replace(resources, photographs=find_photographs(first))
        train_phase(first, resources)
    if not weights.exists():
        return ""
    say(f"srgan: starts from {weights}, step {checkpoints.latest_step() or 0}")
    return str(weights)
