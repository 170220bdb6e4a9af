"""Trains SRResNet and SRGAN; `python train.py --help` lists the flags."""

import contextlib
import dataclasses
import functools
import signal
import sys
from pathlib import Path

import config
from srgan_tf.cli import command_line
from srgan_tf.data import folders, packed
from srgan_tf.system import quiet
from srgan_tf.system.errors import UserError


def run(settings):
    """Trains what the settings ask for; mode srgan trains its SRResNet first if there is none."""
    if settings.pack:
        pack_photographs(settings)
        return
    quiet.import_tensorflow()
    from srgan_tf.evaluation.validation import usable_pairs
    from srgan_tf.training import hardware
    from srgan_tf.training.distribution import Distribution

    device = hardware.find_device()
    distribution = Distribution(settings.strategy)
    distribution.crops_at_once(settings.batch_size, settings.accumulate)
    if distribution.spreads and settings.xla == "on":
        raise UserError(f"--xla=on: XLA cannot compile what --strategy={distribution.kind} needs; leave it out")
    precision = hardware.set_precision(settings.precision, device)
    settings = dataclasses.replace(settings, precision=precision)
    xla = "on" if hardware.compiles_step(settings.xla, device, distribution.spreads) else "off"
    print(f"device     {device.name}; precision {precision}; XLA {xla}; strategy {distribution}")
    photographs = find_photographs(settings)
    pairs, skipped = usable_pairs(find_validation(settings), settings.scale)
    for path, reason in skipped:
        print(f"  skipped {path}: {reason}")

    with distribution.plain_errors(settings.run_dir):
        if settings.mode == "srgan" and not settings.weights and not has_checkpoint(settings, "srgan"):
            weights = pretrain(settings, device, distribution, photographs, pairs)
            settings = dataclasses.replace(settings, weights=weights)
        train_phase(settings, device, distribution, photographs, pairs)


def pack_photographs(settings):
    """Writes the training pictures into the folder --pack, all that any crop size can use."""
    if packed.is_packed(settings.train_dir):
        raise UserError(f"{settings.train_dir}: is packed already; name the folder of the photographs")
    scan = folders.scan(settings.train_dir)
    print(f"packing    {scan.summary()[0]} ({settings.train_dir})", *scan.summary()[1:], sep="\n")
    quiet.import_tensorflow()
    from srgan_tf.data import packing

    shards = packing.pack(scan.pictures, settings.train_dir, settings.pack, settings.workers).shards
    for name, reason in (skipped for shard in shards for skipped in shard.skipped):
        print(f"  skipped {name}: {reason}")
    count, size = sum(len(shard.pictures) for shard in shards), sum(shard.size for shard in shards)
    print(f"packed     {count} pictures, {size / 1e9:.1f} GB; train with --train_dir={settings.pack}")


def find_photographs(settings):
    """Scans the training pictures and says what was found."""
    if settings.train_dir:
        scan_folder = packed.scan if packed.is_packed(settings.train_dir) else folders.scan
        scan = scan_folder(settings.train_dir, min_side=settings.crop_size)
    else:
        scan = folders.embedded_scan("train", min_side=settings.crop_size)
    where = settings.train_dir or "embedded in scikit-image; --train_dir names your own"
    print(f"training   {scan.summary()[0]} ({where})", *scan.summary()[1:], sep="\n")
    return scan.pictures


def find_validation(settings):
    """The pairs to validate on."""
    if settings.valid_dir:
        pairs = folders.find_pairs(settings.valid_dir)
    else:
        embedded = folders.embedded_scan("valid").pictures
        pairs = [folders.Pair(picture.path.stem, picture.path, None) for picture in embedded]
    where = settings.valid_dir or "embedded in scikit-image; --valid_dir names your own"
    print(f"validation {len(pairs)} {'picture' if len(pairs) == 1 else 'pictures'} ({where})")
    pairs, note = folders.fit_lr(pairs, settings.scale)
    if note:
        print(f"  {note}")
    return pairs


def read_begun(folder):
    """The settings and facts of a phase that was begun; a setting that is newer than the run had its default."""
    from srgan_tf.training import runs

    begun, facts = runs.read_settings(folder)
    defaults = dataclasses.asdict(config.TrainSettings())
    known = {name: default for name, default in defaults.items() if default != config.AUTO}
    return (known | config.BEFORE_THEM | begun if begun else {}), facts


def has_checkpoint(settings, phase):
    return any(Path(settings.run_dir, phase).glob("checkpoint-*.npz"))


def phase_of(settings):
    """The name of what is trained, and of its folder."""
    return settings.mode if settings.model == "resnet" else settings.model


def pretrain(settings, device, distribution, photographs, pairs):
    """Trains the run's own SRResNet as far as mode srgan needs it; returns its weights file."""
    from srgan_tf.training import runs
    from srgan_tf.training.checkpoints import Checkpoints

    folder = Path(settings.run_dir, "srresnet")
    checkpoints = Checkpoints(folder, {})
    state = checkpoints.restore(part=True) or {}
    done = state.get("step", 0)
    begun, _ = read_begun(folder) if done else ({}, {})
    wanted = settings.pretrain_steps
    if wanted == config.AUTO:
        wanted = begun.get("steps", config.AUTO)
    # One that was begun goes on with its own settings, whatever mode srgan was told.
    own = {name: value for name, value in begun.items() if name not in runs.FREE} or {
        "content_loss": "mse",
        "mse_loss_weight": 1.0,
        "vgg_loss_weight": config.AUTO,
        "schedule": config.AUTO,
        "decay_rate": config.TrainSettings.decay_rate,
    }
    own |= {name: getattr(config.TrainSettings, name) for name in config.OF_SRGAN}
    own |= {"mode": "srresnet", "steps": wanted, "vgg_path": begun.get("vgg_path", "")}
    first = config.resolve(dataclasses.replace(settings, **own))
    weights = folder / "generator.weights.h5"
    unfinished = done < first.steps and not state.get("ended")
    if unfinished:
        print(
            f"SRGAN starts from an SRResNet; this run's stands at step {done} of {first.steps}, so it is trained first"
            " (--weights starts from another, --pretrain_steps says how long)"
        )
    if unfinished or not weights.exists():
        train_phase(first, device, distribution, photographs, pairs)
    if not weights.exists():
        return ""  # after a dry run
    print(f"srgan: starts from {weights}, step {checkpoints.latest_step() or 0}")
    return str(weights)


def train_phase(settings, device, distribution, photographs, pairs):
    """Trains a phase in its folder, which nobody else trains in meanwhile; a dry run needs none."""
    from srgan_tf.system.lock import only_run

    if settings.schedule == "plateau" and distribution.workers > 1:
        raise UserError("--schedule=plateau: works in one process, where the validation is; take another schedule")
    folder = Path(settings.run_dir, phase_of(settings))
    with only_run(folder) if distribution.chief and not settings.dry_run else contextlib.nullcontext():
        with distribution.strategy.scope():
            balance_colours = train_in(folder, settings, device, distribution, photographs, pairs)
        if balance_colours and distribution.chief:
            balance_colours()  # outside the scope, in which all workers make variables together
    distribution.check_same()  # the chief has written all


def train_in(folder, settings, device, distribution, photographs, pairs):
    """Builds what a phase needs, restores it if it was begun before, and trains it.

    Returns:
        With --balance_colours a function to be called at the end; else None.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from srgan_tf.data import pipeline
    from srgan_tf.data.store import PhotographStore
    from srgan_tf.evaluation.validation import Validation
    from srgan_tf.models.baselines import loss_border
    from srgan_tf.models.discriminator import build_discriminator
    from srgan_tf.models.generator import save_generator
    from srgan_tf.models.vgg import build_vgg
    from srgan_tf.training import balance, colours, hardware, loop, optimizers, runs, steps
    from srgan_tf.training.checkpoints import Checkpoints
    from srgan_tf.training.ema import MovingAverage
    from srgan_tf.training.monitoring import Monitor, NoMonitor
    from srgan_tf.training.snapshot import Snapshot

    name = phase_of(settings)
    begun, facts = read_begun(folder)
    resuming = has_checkpoint(settings, name)
    if resuming:
        if not settings.resume:
            raise UserError(f"{folder}: holds a run already; give another --run_dir, or go on with --resume")
        for flag in ("weights", "discriminator"):
            first = begun.get(flag, "")
            if getattr(settings, flag) not in ("", first):
                raise UserError(f"{folder}: was begun with another --{flag}; leave it out, or give another --run_dir")
            settings = dataclasses.replace(settings, **{flag: first})
        runs.refuse_changes(folder, begun, dataclasses.asdict(settings))

    keras.utils.set_random_seed(settings.seed)
    generator = make_generator(settings, resuming, distribution.normalization)
    if settings.crop_size <= 2 * loss_border(generator):
        raise UserError(
            f"--crop_size={settings.crop_size}: --model={settings.model} needs more than {2 * loss_border(generator)},"
            " the borders from which it sees beyond the crop"
        )
    adversarial = settings.mode == "srgan"
    discriminator = build_discriminator(normalization=distribution.normalization) if adversarial else None
    if settings.discriminator and not resuming:
        theirs = Checkpoints(settings.discriminator, {"d": discriminator.variables}).restore(part=True)
        if theirs is None:
            raise UserError(f"--discriminator={settings.discriminator}: no checkpoint-*.npz there")
    features = build_vgg(settings.content_loss, settings.vgg_path) if settings.content_loss != "mse" else None
    models = {"G": generator, "D": discriminator, "VGG19": features}
    sizes = [f"{name} {model.count_params():,}" for name, model in models.items() if model is not None]
    print(f"weights    {', '.join(sizes)}")

    rate = optimizers.LearningRate(
        settings.learning_rate,
        settings.schedule,
        settings.steps,
        settings.warmup_steps,
        settings.decay_rate,
        settings.lowest_rate,
    )
    make_optimizer = functools.partial(
        optimizers.make_optimizer,
        rate=rate,
        kind=settings.optimizer,
        beta1=settings.beta1,
        last_layer_rate=settings.last_layer_rate,
    )
    networks = {"g": generator} | ({"d": discriminator} if adversarial else {})
    updaters = {
        name: make_optimizer(network, name=f"{name}_{settings.optimizer}") for name, network in networks.items()
    }

    groups = {name: network.variables for name, network in networks.items()}
    groups |= {f"{name}_optimizer": updater.variables for name, updater in updaters.items()}
    if rate.variables:
        groups["learning_rate"] = rate.variables
    xla = hardware.compiles_step(settings.xla, device, distribution.spreads)
    average = MovingAverage(generator, settings.ema_decay, xla=xla) if settings.ema_decay else None
    if average:
        groups["g_average"] = average.model.variables
    snapshot = Snapshot(average.model if average else generator)
    checkpoints = Checkpoints(folder, groups)
    state = checkpoints.restore() if resuming else None
    if state:
        print(f"{name}: going on from step {state['step']} of {settings.steps} in {folder}")
        ended = state.get("ended", False)
        if (ended or state["step"] >= settings.steps) and not settings.dry_run and not settings.balance_colours:
            longer = "--steps trains longer"
            if ended:
                longer = "the learning rate is at its end; another --run_dir with --weights trains on"
            print(f"{name}: {state['step']} steps are done already; {longer}")
            if not (folder / "generator.weights.h5").exists():
                snapshot.refresh()
                save_generator(snapshot.model, folder / "generator.weights.h5")
            return None

    found = {
        "photographs": runs.fingerprint(photographs),
        "validation": runs.fingerprint(pairs),
        "vgg": runs.digest(features.variables) if features is not None else "",
        "device": device.name,
        "versions": {module.__name__: module.__version__ for module in (tf, keras, np)},
    }
    if state:
        if facts.get("vgg") != found["vgg"]:
            raise UserError(f"{folder}: was begun with other VGG19 weights than --vgg_path={settings.vgg_path}")
        if facts.get("photographs") != found["photographs"]:
            print(f"{folder}: the photographs are others than before; the crops go on from them")
        if facts.get("validation") != found["validation"]:
            print(f"{folder}: the validation pictures are others than before; the best PSNR begins anew")
            state["best_psnr"] = -np.inf
    measured = facts.get("vgg_loss_weight") if resuming else None

    cache = 0
    if packed.is_packed(settings.train_dir):
        store = packed.PackedStore(settings.train_dir, photographs, settings.scale)
    else:
        cache = hardware.cache_bytes(photographs, None if settings.cache_gb == config.AUTO else settings.cache_gb)
        store = PhotographStore(photographs, settings.scale, cache)
    make_batches = functools.partial(
        pipeline.crops,
        store,
        [(picture.height, picture.width) for picture in photographs],
        crop_size=settings.crop_size,
        batch_size=settings.batch_size,
        scale=settings.scale,
        seed=settings.seed,
        workers=settings.workers,
        crops_per_image=settings.crops_per_image,
        xla=settings.xla != "off",
        finish="device" if device.kind == "GPU" and not distribution.spreads else "input",
    )
    share = distribution.share(settings.batch_size, settings.accumulate)
    at_once = distribution.crops_at_once(settings.batch_size, settings.accumulate)
    memory = hardware.step_memory(settings.crop_size, generator, settings.scale, discriminator, features)
    hardware.check_memory(memory, device, settings.batch_size, at_once, settings.accumulate, cache)
    with hardware.enough_memory(folder), store.plain_errors():
        vgg_weight = 0.0
        if features is not None:
            vgg_weight = settings.vgg_loss_weight
            if vgg_weight == config.AUTO:
                needed = -(-balance.CROPS // settings.batch_size)
                vgg_weight = measured or balance.balanced_vgg_weight(
                    make_batches(start=0, stop=needed), features, settings.scale
                )
                print(f"VGG weight {vgg_weight:.4g} (measured: the VGG term of bicubic equals its MSE)")
        weights = steps.LossWeights(
            settings.mse_loss_weight, vgg_weight, settings.adversarial_loss_weight, settings.consistency_loss_weight
        )
        if settings.dry_run:
            lr, hr = next(iter(make_batches(start=0, stop=1)))
            for name, value in balance.first_losses(generator, lr, hr, discriminator, features).items():
                print(f"first loss {name} {value:.6g}")
            return None

        if adversarial:
            step_function = steps.make_adversarial_step(
                generator,
                discriminator,
                updaters["g"],
                updaters["d"],
                weights,
                features,
                sequential=settings.sequential_updates,
                clip_norm=settings.clip_norm,
                accumulate=settings.accumulate,
                xla=xla,
            )
        else:
            step_function = steps.make_content_step(
                generator,
                updaters["g"],
                weights,
                features,
                left=rate.left,
                weight_decay=settings.weight_decay,
                clip_norm=settings.clip_norm,
                accumulate=settings.accumulate,
                xla=xla,
            )
        step_function = distribution.on_devices(step_function, settings.accumulate)
        if average:
            step_function = average.after(step_function)
        distribution.check_same(
            photographs=found["photographs"],
            checkpoint=str(state),
            weights=runs.digest([variable for group in groups.values() for variable in group]),
            VGG19=found["vgg"],
            flags=str({name: value for name, value in dataclasses.asdict(settings).items() if name not in runs.FREE}),
            steps=str(settings.steps),
        )
        if distribution.chief:
            checkpoints.check_room()
            text = runs.write_settings(folder, dataclasses.asdict(settings), found | {"vgg_loss_weight": vgg_weight})
            monitor = Monitor(folder, start=state["step"] if state else 0, total=settings.steps, name=name)
            monitor.settings(text)
        else:
            monitor = NoMonitor()
        try:
            done, _ = loop.train(
                snapshot=snapshot,
                optimizers=updaters,
                step_function=step_function,
                make_batches=functools.partial(make_batches, stop=settings.steps, share=share),
                checkpoints=checkpoints,
                monitor=monitor,
                validate=Validation(snapshot.model, pairs, settings.scale),
                folder=folder,
                state=state,
                steps=settings.steps,
                distribution=distribution,
                freeze_bn_after=settings.freeze_bn_after,
                max_bad_steps=settings.max_bad_steps,
                keep_best=not adversarial,  # G's PSNR falls when D comes in: the best would be the first
                lower_rate=rate.lower if settings.schedule == "plateau" else None,
                patience=settings.patience,
                log_every=settings.log_every,
                valid_every=settings.valid_every,
                checkpoint_every=settings.checkpoint_every,
            )
        finally:
            monitor.close()
    print(f"{name}: {done} steps done; the weights are in {folder}/generator.weights.h5")

    def balance_colours():
        stop = settings.steps + -(-colours.CROPS // settings.batch_size)
        with store.plain_errors():
            colours.balance_file(folder / "generator.weights.h5", make_batches(start=settings.steps, stop=stop))

    return balance_colours if settings.balance_colours else None


def make_generator(settings, resuming, normalization):
    """G as the phase starts with it."""
    from srgan_tf.models.baselines import BUILDERS
    from srgan_tf.models.generator import build_generator, describe, load_generator
    from srgan_tf.models.initialization import initialize_as_bilinear
    from srgan_tf.weights import find_weights

    if settings.weights and not resuming:
        generator = load_generator(find_weights(settings.weights), normalization=normalization)
        found = {"model": "resnet"} | describe(generator)
        wanted = {"model": settings.model, "blocks": settings.blocks, "scale": settings.scale}
        differing = [name for name in wanted if name in found and found[name] != wanted[name]]
        if differing:
            own, other = (" ".join(f"--{name}={of[name]}" for name in differing) for of in (found, wanted))
            raise UserError(f"{settings.weights}: has {own}, not {other}; give the same")
        return generator
    if settings.model != "resnet":
        return BUILDERS[settings.model](settings.scale)
    generator = build_generator(settings.blocks, settings.scale, normalization=normalization)
    if settings.initial == "upsampling":
        initialize_as_bilinear(generator)
    return generator


def main(argv):
    """Runs the command line `argv`; returns the exit status."""
    settings = config.resolve(config.parse(config.TrainSettings, argv))
    try:
        run(settings)
    except Exception as error:
        number = getattr(error, "signal_number", None)
        if number is None:
            raise
        print(f"{signal.Signals(number).name}: saved; the same command goes on from here", file=sys.stderr)
        return 128 + number
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run(main, sys.argv))
