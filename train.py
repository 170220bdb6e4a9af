"""Trains SRResNet and SRGAN; `python train.py --help` lists the flags."""

import dataclasses
import functools
import signal
import sys
from pathlib import Path

import config
from srgan_tf import command_line
from srgan_tf.data import folders
from srgan_tf.errors import UserError


def run(settings):
    """Trains what the settings ask for; mode srgan trains its SRResNet first if there is none."""
    command_line.import_tensorflow()
    from srgan_tf.training import hardware

    device = hardware.find_device()
    precision = hardware.set_precision(settings.precision, device)
    settings = dataclasses.replace(settings, precision=precision)
    print(f"device     {device.name}; precision {precision}; XLA {'off' if settings.xla == 'off' else 'on'}")
    photographs = find_photographs(settings)
    pairs = find_validation(settings)

    if settings.mode == "srgan" and not settings.weights and not has_checkpoint(settings, "srgan"):
        settings = dataclasses.replace(settings, weights=str(pretrain(settings, device, photographs, pairs)))
    train_phase(settings, device, photographs, pairs)


def find_photographs(settings):
    """Scans the training pictures and says what was found."""
    if settings.train_dir:
        scan = folders.scan(settings.train_dir, min_side=settings.crop_size)
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
        pairs = [folders.Pair(picture.path.stem, picture.path, None) for picture in folders.embedded_scan("valid").pictures]
    where = settings.valid_dir or "embedded in scikit-image; --valid_dir names your own"
    print(f"validation {len(pairs)} {'picture' if len(pairs) == 1 else 'pictures'} ({where})")
    return pairs


def has_checkpoint(settings, phase):
    return any(Path(settings.run_dir, phase).glob("checkpoint-*.npz"))


def pretrain(settings, device, photographs, pairs):
    """Trains the run's own SRResNet as far as mode srgan needs it; returns its weights file."""
    from srgan_tf.training import runs
    from srgan_tf.training.checkpoints import Checkpoints

    folder = Path(settings.run_dir, "srresnet")
    done = Checkpoints(folder, {}).latest_step() or 0
    before, _ = runs.read_settings(folder)
    wanted = min(settings.pretrain_steps, before.get("steps", settings.pretrain_steps))
    if done < wanted:
        print(
            f"SRGAN starts from an SRResNet; this run's stands at step {done} of {wanted}, so it is trained first"
            " (--weights starts from another, --pretrain_steps says how long)"
        )
        first = dataclasses.replace(
            settings, mode="srresnet", steps=wanted, content_loss="mse", vgg_loss_weight=config.AUTO, vgg_path="",
            schedule=config.AUTO, sequential_updates=False,
        )  # fmt: skip
        train_phase(config.resolve(first), device, photographs, pairs)
    # A dry run leaves nothing behind to start from.
    return "" if settings.dry_run else folder / "best.weights.h5"


def train_phase(settings, device, photographs, pairs):
    """Builds what a phase needs, restores it if it was begun before, and trains it."""
    import keras
    import numpy as np
    import tensorflow as tf

    from srgan_tf.data import pipeline
    from srgan_tf.evaluation.validation import Validation
    from srgan_tf.models.discriminator import build_discriminator
    from srgan_tf.models.vgg import build_vgg
    from srgan_tf.training import balance, loop, optimizers, runs, steps
    from srgan_tf.training.checkpoints import Checkpoints
    from srgan_tf.training.monitoring import Monitor

    folder = Path(settings.run_dir, settings.mode)
    told = dataclasses.asdict(settings)
    before, facts = runs.read_settings(folder)
    resuming = has_checkpoint(settings, settings.mode)
    if resuming:
        if not settings.resume:
            raise UserError(f"{folder}: holds a run already; give another --run_dir, or go on with --resume")
        runs.refuse_changes(folder, before, told)

    keras.utils.set_random_seed(settings.seed)
    generator = make_generator(settings, resuming)
    adversarial = settings.mode == "srgan"
    discriminator = build_discriminator() if adversarial else None
    features = build_vgg(settings.content_loss, settings.vgg_path) if settings.content_loss != "mse" else None

    rate = optimizers.LearningRate(
        settings.learning_rate, settings.schedule, settings.steps, settings.warmup_steps, settings.decay_rate
    )
    make_optimizer = functools.partial(optimizers.make_optimizer, rate=rate, beta1=settings.beta1)
    networks = {"g": generator} | ({"d": discriminator} if adversarial else {})
    adams = {name: make_optimizer(network, name=f"{name}_adam") for name, network in networks.items()}

    store = pipeline.PhotographStore(photographs, settings.scale, cache_bytes(settings))
    make_batches = functools.partial(
        pipeline.crops, store, [(picture.height, picture.width) for picture in photographs],
        crop_size=settings.crop_size, batch_size=settings.batch_size, scale=settings.scale, seed=settings.seed,
        workers=settings.workers,
    )  # fmt: skip
    if resuming and facts.get("photographs") != runs.fingerprint(photographs):
        print(f"{folder}: the photographs are others than before; the crops go on from them")
    facts = facts if resuming else {}
    facts |= {
        "photographs": runs.fingerprint(photographs),
        "device": device.name,
        "versions": {module.__name__: module.__version__ for module in (tf, keras, np)},
    }
    if features is not None and settings.vgg_loss_weight == config.AUTO:
        if "vgg_loss_weight" not in facts:
            needed = -(-balance.CROPS // settings.batch_size)
            facts["vgg_loss_weight"] = balance.balanced_vgg_weight(make_batches(start=0, stop=needed), features, settings.scale)
        print(f"VGG weight {facts['vgg_loss_weight']:.4g} (measured: the VGG term of bicubic equals its MSE)")
    else:
        facts["vgg_loss_weight"] = 0.0 if features is None else settings.vgg_loss_weight
    weights = steps.LossWeights(settings.mse_loss_weight, facts["vgg_loss_weight"], settings.adversarial_loss_weight)

    check_memory(settings, device, generator, discriminator, features)
    if settings.dry_run:
        lr, hr = next(iter(make_batches(start=0, stop=1)))
        for name, value in balance.first_losses(generator, lr, hr, discriminator, features).items():
            print(f"first loss {name} {value:.6g}")
        return

    xla = settings.xla != "off"
    if adversarial:
        step_function = steps.make_adversarial_step(
            generator, discriminator, adams["g"], adams["d"], weights, features,
            sequential=settings.sequential_updates, xla=xla,
        )  # fmt: skip
    else:
        step_function = steps.make_content_step(generator, adams["g"], weights, features, xla=xla)

    groups = {name: network.variables for name, network in networks.items()}
    groups |= {f"{name}_optimizer": adam.variables for name, adam in adams.items()}
    checkpoints = Checkpoints(folder, groups)
    state = checkpoints.restore() if resuming else None
    start = state["step"] if state else 0
    if start:
        print(f"{settings.mode}: going on from step {start} of {settings.steps} in {folder}")
    text = runs.write_settings(folder, told, facts)
    monitor = Monitor(folder, start=start, total=settings.steps, name=settings.mode)
    monitor.settings(text)
    try:
        loop.train(
            generator=generator,
            optimizers=adams,
            step_function=step_function,
            make_batches=functools.partial(make_batches, stop=settings.steps),
            checkpoints=checkpoints,
            monitor=monitor,
            validate=Validation(generator, pairs, settings.scale),
            folder=folder,
            state=state,
            steps=settings.steps,
            freeze_bn_after=settings.freeze_bn_after,
            max_bad_steps=settings.max_bad_steps,
            log_every=settings.log_every,
            valid_every=settings.valid_every,
            checkpoint_every=settings.checkpoint_every,
        )
    except Exception:
        if store.error:
            # tf.data wraps what a worker raised in a traceback of its own.
            raise store.error from None
        raise
    finally:
        monitor.close()
    print(f"{settings.mode}: {settings.steps} steps done; the weights are in {folder}/generator.weights.h5")


def make_generator(settings, resuming):
    """G as the phase starts with it."""
    from srgan_tf.models.generator import build_generator, generator_shape, load_generator
    from srgan_tf.models.initial import start_as_upsampling

    if settings.weights and not resuming:
        generator = load_generator(settings.weights)
        blocks, scale, _ = generator_shape(generator)
        if (blocks, scale) != (settings.blocks, settings.scale):
            raise UserError(
                f"{settings.weights}: has --blocks={blocks} --scale={scale}, not --blocks={settings.blocks}"
                f" --scale={settings.scale}; give the same"
            )
        return generator
    generator = build_generator(settings.blocks, settings.scale)
    if settings.initial == "upsampling":
        start_as_upsampling(generator)
    return generator


def cache_bytes(settings):
    """How much memory decoded photographs may take."""
    import psutil

    if settings.cache_gb == config.AUTO:
        return psutil.virtual_memory().available // 4
    return int(settings.cache_gb * 1e9)


def check_memory(settings, device, generator, discriminator, features):
    """Prints sizes and memory; refuses a step that cannot fit, with the batch size that would."""
    from srgan_tf.training.hardware import step_memory

    memory = step_memory(settings.crop_size, generator, settings.scale, discriminator, features)
    needed = memory.needed(settings.batch_size)
    sizes = [f"G {generator.count_params():,}"]
    if discriminator is not None:
        sizes.append(f"D {discriminator.count_params():,}")
    if features is not None:
        sizes.append(f"VGG19 {features.count_params():,}")
    print(f"weights    {', '.join(sizes)}")
    free = device.free_bytes
    available = "unknown" if free is None else f"{free / 1e9:.1f} GB"
    print(f"memory     a step needs about {needed / 1e9:.1f} GB; free: {available}")
    if free is not None and needed > free:
        fitting = memory.largest_batch(free)
        mend = f"--batch_size={fitting} fits" if fitting else "not even --batch_size=1 fits: lower --crop_size"
        raise UserError(
            f"--batch_size={settings.batch_size} --crop_size={settings.crop_size} need {needed / 1e9:.1f} GB and"
            f" {available} are free; {mend}"
        )


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
    sys.exit(command_line.run("train.py", main, sys.argv))
