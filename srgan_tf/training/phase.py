"""A phase of a run, SRResNet or SRGAN: builds its networks, crops and step, and trains it."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.data import pipeline
from srgan_tf.data.folders import Pair
from srgan_tf.data.paired import Photographs
from srgan_tf.data.sampling import Sampler
from srgan_tf.data.store import Store
from srgan_tf.evaluation.validation import Validation
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.models.baselines import BUILDERS, loss_border
from srgan_tf.models.discriminator import build_discriminator
from srgan_tf.models.generator import build_generator, change_scale, describe, load_generator, save_generator
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.models.vgg import build_vgg
from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError
from srgan_tf.system.lock import run_lock
from srgan_tf.system.terminal import counted, say
from srgan_tf.training import balance, colours, hardware, loop, run_folder, steps
from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.distribution import Distribution
from srgan_tf.training.ema import MovingAverage
from srgan_tf.training.monitoring import Monitor, NoMonitor
from srgan_tf.training.optimizers import LearningRate, make_optimizer
from srgan_tf.training.snapshot import Snapshot
from srgan_tf.training.state import Networks, TrainState
from srgan_tf.weights import find_weights


@dataclasses.dataclass(frozen=True)
class Resources:
    """What all phases of a run share.

    Attributes:
        device: The device to compute on.
        distribution: The devices and processes of the run.
        photographs: The training images: HR, and LR if that is not made from HR.
        pairs: The validation images.
    """

    device: hardware.Device
    distribution: Distribution
    photographs: Sequence[Photographs]
    pairs: Sequence[Pair]


@dataclasses.dataclass(frozen=True)
class CropSource:
    """The crops of a phase.

    Attributes:
        stores: The `data.store.Store`s that they come from: of HR, and of LR if that is not made from HR.
        batches: `data.pipeline.batches` with all arguments but `start` and `stop`.
        cache: Bytes of main memory for decoded photographs.
    """

    stores: Sequence[Store]
    batches: Callable
    cache: int

    @contextlib.contextmanager
    def unwrapped_errors(self) -> Iterator[None]:
        """`Store.unwrapped_errors` of all stores."""
        with contextlib.ExitStack() as stack:
            for store in self.stores:
                stack.enter_context(store.unwrapped_errors())
            yield


def phase_name(settings) -> str:
    """The name of the phase and of its folder."""
    return settings.mode if settings.model == "resnet" else settings.model


def train_phase(settings, resources: Resources) -> None:
    """Trains a phase in its folder, which is locked meanwhile; a dry run writes nothing.

    Raises:
        Interrupted: See `loop.train`.
        UserError: It cannot train; the message says why.
    """
    distribution = resources.distribution
    folder = Path(settings.run_dir, phase_name(settings))
    with run_lock(folder) if distribution.chief and not settings.dry_run else contextlib.nullcontext():
        with distribution.strategy.scope():
            crops = _train_in(folder, settings, resources)
        # Outside of the scope, where making variables would wait for the other workers.
        if settings.balance_colours and crops and distribution.chief:
            stop = settings.steps + -(-colours.CROPS // settings.batch_size)
            with crops.unwrapped_errors():
                colours.balance_file(folder / "generator.weights.h5", crops.batches(start=settings.steps, stop=stop))
    distribution.check_same()  # wait until the chief has written everything


def _train_in(folder, settings, resources):
    """Builds what a phase needs, restores it if it was started before, and trains it.

    Returns:
        The `CropSource` that the phase was trained on; None if it was not trained.
    """
    distribution = resources.distribution
    resumes = Checkpoints(folder, {}).latest_step() is not None
    started, facts = run_folder.read_settings(folder, type(settings), required=resumes)
    if resumes:
        settings = run_folder.resumed_settings(folder, settings, started)
    elif distribution.chief and not settings.dry_run:
        refuse_to_replace_weights(folder)

    keras.utils.set_random_seed(settings.seed)
    networks = build_networks(settings, resumes, distribution.normalization)
    print_sizes(networks)
    xla = hardware.compiles_step(settings.xla, resources.device, distribution.is_distributed)
    state = build_state(folder, settings, networks, xla, resumes)
    if is_done(state, settings):
        step = state.progress.step
        print(f"{phase_name(settings)}: {counted(step, 'step')} done already; --steps trains longer")
        write_missing_weights(state)
        return None
    found = find_facts(resources, networks)
    if resumes:
        compare_facts(folder, settings, facts, found, state.progress)
        say_rate_change(settings, started, state)

    crops = build_crops(settings, resources)
    check_memory(settings, resources, networks, crops.cache)
    with hardware.enough_memory(folder), crops.unwrapped_errors():
        weights = find_loss_weights(settings, networks.features, crops, facts if resumes else {})
        if settings.dry_run:
            print_first_losses(networks, crops, weights)
            return None
        step = distribution.on_devices(build_step(settings, state, weights, xla), settings.accumulate)
        check_workers(distribution, settings, state, found)
        share = distribution.share(settings.batch_size, settings.accumulate)
        with open_monitor(folder, settings, state, found | {"vgg_loss_weight": weights.vgg}, distribution) as monitor:
            loop.train(
                state,
                step=step,
                make_batches=functools.partial(crops.batches, stop=settings.steps, share=share),
                validate=Validation(state.snapshot.model, resources.pairs, settings.scale, find_degradation(settings)),
                monitor=monitor,
                settings=settings,
                distribution=distribution,
            )
    if distribution.chief:
        write_missing_weights(state)
    done = counted(state.progress.step, "step")
    say(f"{phase_name(settings)}: {done} done; the weights are in {folder}/generator.weights.h5")
    return crops


def refuse_to_replace_weights(folder: Path) -> None:
    """Refuses to start a phase where weights are left of another one, whose checkpoints someone removed to save room.

    Raises:
        UserError: There are such weights.
    """
    for path in (folder / "generator.weights.h5", folder / "best.weights.h5"):
        if path.exists():
            raise UserError(
                f"{path}: would be replaced, since it has no checkpoint beside it to resume from; move it, or give"
                f" another --run_dir (--weights={path} starts from it)"
            )


def build_networks(settings, resumes: bool, normalization: Callable) -> Networks:
    """Builds the networks with their first weights; if the phase resumes, these come from its checkpoint later.

    Raises:
        UserError: Weights are missing or of another network, or the crops are too small for the model.
    """
    if settings.weights and not resumes:
        generator = _load_generator(settings, normalization)
    else:
        generator = _new_generator(settings, normalization)
    border = loss_border(generator)
    if settings.crop_size <= 2 * border:
        raise UserError(
            f"--crop_size={settings.crop_size}: --model={settings.model} needs more than {2 * border}, the borders from"
            " which it sees beyond the crop"
        )
    discriminator = build_discriminator(normalization=normalization) if settings.mode == "srgan" else None
    if discriminator is not None and settings.discriminator and not resumes:
        source = Checkpoints(settings.discriminator, {"d": discriminator.variables}).restore(part=True)
        if source is None:
            raise UserError(f"--discriminator={settings.discriminator}: no checkpoint-*.npz there")
    features = None if settings.content_loss == "mse" else build_vgg(settings.content_loss, settings.vgg_path)
    return Networks(generator, discriminator, features)


def print_sizes(networks: Networks) -> None:
    """Prints how many weights each network has."""
    models = {"G": networks.generator, "D": networks.discriminator, "VGG19": networks.features}
    sizes = [f"{name} {model.count_params():,}" for name, model in models.items() if model is not None]
    print(f"weights    {', '.join(sizes)}")


def _load_generator(settings, normalization):
    """The network of `--weights`; if that is G for another scale factor, with its upsampling changed to `--scale`."""
    generator = load_generator(find_weights(settings.weights), normalization=normalization)
    found = {"model": "resnet"} | describe(generator)
    wanted = {"model": settings.model, "blocks": settings.blocks, "scale": settings.scale}
    differing = [name for name in wanted if name in found and found[name] != wanted[name]]
    changes_scale = settings.model == found["model"] == "resnet" and "scale" in differing
    if changes_scale:
        differing.remove("scale")
    if differing:
        own, other = (" ".join(f"--{name}={of[name]}" for name in differing) for of in (found, wanted))
        raise UserError(f"{settings.weights}: has {own}, not {other}; give the same")
    if not changes_scale:
        return generator
    say(f"{settings.weights}: of --scale={found['scale']}; its upsampling is trained anew")
    return change_scale(generator, settings.scale, normalization=normalization)


def _new_generator(settings, normalization):
    if settings.model != "resnet":
        return BUILDERS[settings.model](settings.scale)
    generator = build_generator(settings.blocks, settings.scale, normalization=normalization)
    if settings.initial == "upsampling":
        initialize_as_bilinear(generator)
    return generator


def build_state(folder: Path, settings, networks: Networks, xla: bool, resumes: bool) -> TrainState:
    """Builds optimizers, moving average and checkpoints; if the phase resumes, restores the newest checkpoint."""
    rate = LearningRate(
        settings.learning_rate, settings.schedule, settings.steps, settings.warmup_steps, settings.decay_rate
    )
    kind = settings.optimizer
    optimizers = {
        name: make_optimizer(network, rate, kind=kind, beta1=settings.beta1, name=f"{name}_{kind}")
        for name, network in networks.trained.items()
    }
    groups = {name: network.variables for name, network in networks.trained.items()}
    groups |= {f"{name}_optimizer": optimizer.variables for name, optimizer in optimizers.items()}
    average = MovingAverage(networks.generator, settings.ema_decay, xla=xla) if settings.ema_decay else None
    if average:
        groups["g_average"] = average.model.variables
    snapshot = Snapshot(average.model if average else networks.generator)
    checkpoints = Checkpoints(folder, groups)
    progress = Progress()
    if resumes:
        progress = checkpoints.restore() or progress
        say(f"{phase_name(settings)}: resumes from step {progress.step} of {settings.steps} in {folder}")
    return TrainState(networks, optimizers, rate, average, snapshot, checkpoints, progress)


def is_done(state: TrainState, settings) -> bool:
    """Whether all steps are done already, and neither a dry run nor the balance of colours is asked for."""
    done = state.progress.step >= settings.steps
    return done and not settings.dry_run and not settings.balance_colours


def write_missing_weights(state: TrainState) -> None:
    """Writes the weights of the newest checkpoint if they are missing beside it."""
    weights = state.checkpoints.folder / "generator.weights.h5"
    if not weights.exists():
        state.snapshot.refresh()
        save_generator(state.snapshot.model, weights)


def find_facts(resources: Resources, networks: Networks) -> dict:
    """The facts that a run records besides its settings: hashes of its inputs, device, versions."""
    return {
        "photographs": run_folder.fingerprint(picture for side in resources.photographs for picture in side.pictures),
        "validation": run_folder.fingerprint(resources.pairs),
        "vgg": run_folder.digest(networks.features.variables) if networks.features is not None else "",
        "device": resources.device.name,
        "versions": {module.__name__: module.__version__ for module in (tf, keras, np)},
    }


def compare_facts(folder: Path, settings, before: dict, now: dict, progress: Progress) -> None:
    """Says which facts differ from those of the run so far; resets the best PSNR if the validation images do.

    Raises:
        UserError: VGG19 has other weights.
    """
    if before.get("vgg") != now["vgg"]:
        raise UserError(f"{folder}: was started with other VGG19 weights than --vgg_path={settings.vgg_path}")
    if before.get("photographs") != now["photographs"]:
        say(f"{folder}: the photographs are different from before; the crops continue with them")
    if before.get("validation") != now["validation"]:
        say(f"{folder}: the validation images are different from before; the best PSNR is reset")
        progress.best_psnr = -math.inf


def say_rate_change(settings, started: dict, state: TrainState) -> None:
    """Says so if a changed `--steps` changes the current learning rate: a schedule that had ended starts again."""
    step, steps = state.progress.step, started.get("steps", settings.steps)
    before = LearningRate(**state.rate.get_config() | {"steps": steps})
    was, now = float(before(step)), float(state.rate(step))
    if not math.isclose(was, now, rel_tol=1e-3):
        say(
            f"{phase_name(settings)}: --steps was {steps} and is {settings.steps}: with"
            f" --schedule={settings.schedule} the learning rate goes from {was:.3g} to {now:.3g} at step {step}"
        )


def check_memory(settings, resources: Resources, networks: Networks, cache: int) -> None:
    """`hardware.check_memory` of a phase, with `cache` of `find_cache`."""
    crops = resources.distribution.crops_per_device(settings.batch_size, settings.accumulate)
    memory = hardware.step_memory(
        settings.crop_size, networks.generator, settings.scale, networks.discriminator, networks.features
    )
    hardware.check_memory(memory, resources.device, settings.batch_size, crops, settings.accumulate, cache)


def find_cache(settings, resources: Resources) -> int:
    """Bytes of main memory for decoded photographs; packed ones need none."""
    decoded = [picture for side in resources.photographs if not side.is_packed for picture in side.pictures]
    return hardware.cache_bytes(decoded, None if settings.cache_gb == AUTO else settings.cache_gb)


def build_crops(settings, resources: Resources) -> CropSource:
    """The crops of the photographs, from a folder or packed."""
    cache = find_cache(settings, resources)
    lr_cache = cache // (settings.scale**2 + 1) if len(resources.photographs) > 1 else 0  # LR's share of the pixels
    caches = (cache - lr_cache, lr_cache)
    stores = [side.store(scale, room) for side, scale, room in zip(resources.photographs, (settings.scale, 1), caches)]
    sampler = Sampler(
        stores[0].sizes,
        crop_size=settings.crop_size,
        batch_size=settings.batch_size,
        scale=settings.scale,
        seed=settings.seed,
        crops_per_image=settings.crops_per_image,
    )
    batches = functools.partial(
        pipeline.batches,
        stores[0],
        sampler,
        workers=settings.workers,
        xla=settings.xla != "off",
        on_device=resources.device.kind == "GPU" and not resources.distribution.is_distributed,
        degradation=find_degradation(settings),
        lr_store=stores[1] if len(stores) > 1 else None,
    )
    return CropSource(stores, batches, cache)


def find_degradation(settings) -> Degradation | None:
    """The random degradation that makes LR from HR; None for MATLAB's bicubic."""
    return settings.photo_degradation(settings.scale, settings.seed) if settings.degradation == "photo" else None


def find_loss_weights(settings, features, crops: CropSource, facts: dict) -> steps.LossWeights:
    """The weights of the losses; that of VGG19, if left at auto, is taken from the `facts` of the run or measured."""
    vgg = 0.0 if features is None else settings.vgg_loss_weight
    if vgg == AUTO:
        needed = -(-balance.CROPS // settings.batch_size)
        vgg = facts.get("vgg_loss_weight") or balance.balanced_vgg_weight(
            crops.batches(start=0, stop=needed), features, settings.scale
        )
        print(f"VGG weight {vgg:.4g} (measured: the VGG term of bicubic equals its MSE)")
    return steps.LossWeights(
        settings.mse_loss_weight, vgg, settings.adversarial_loss_weight, settings.consistency_loss_weight
    )


def print_first_losses(networks: Networks, crops: CropSource, weights: steps.LossWeights) -> None:
    """Prints the last lines of a dry run."""
    lr, hr = next(iter(crops.batches(start=0, stop=1)))
    for name, value in balance.first_losses(networks, lr, hr, weights).items():
        print(f"first loss {name} {value:.6g}")


def build_step(settings, state: TrainState, weights: steps.LossWeights, xla: bool) -> Callable:
    """The step of the phase, of `training.steps`."""
    networks = state.networks
    options = {"clip_norm": settings.clip_norm, "accumulate": settings.accumulate, "xla": xla}
    if networks.discriminator is None:
        return steps.make_content_step(
            networks.generator,
            state.optimizers["g"],
            weights,
            networks.features,
            remaining=state.rate.remaining,
            **options,
        )
    return steps.make_adversarial_step(
        networks.generator,
        networks.discriminator,
        state.optimizers["g"],
        state.optimizers["d"],
        weights,
        networks.features,
        sequential=settings.sequential_updates,
        **options,
    )


def check_workers(distribution: Distribution, settings, state: TrainState, facts: dict) -> None:
    """Refuses to train if workers have different settings, images or weights.

    Raises:
        UserError: Names what differs.
    """
    fixed = {
        name: value for name, value in dataclasses.asdict(settings).items() if name not in run_folder.MUTABLE_ON_RESUME
    }
    distribution.check_same(
        photographs=facts["photographs"],
        checkpoint=str(state.progress),
        weights=run_folder.digest(state.checkpoints.variables),
        VGG19=facts["vgg"],
        flags=str(fixed),
        steps=str(settings.steps),
    )


@contextlib.contextmanager
def open_monitor(
    folder: Path, settings, state: TrainState, facts: dict, distribution: Distribution
) -> Iterator[Monitor | NoMonitor]:
    """Yields the `Monitor` of a phase, and writes `settings.json`; workers other than the chief get a `NoMonitor`."""
    if not distribution.chief:
        yield NoMonitor()
        return
    state.checkpoints.check_room()
    text = run_folder.write_settings(folder, dataclasses.asdict(settings), facts)
    monitor = Monitor(folder, start=state.progress.step, total=settings.steps, name=phase_name(settings))
    with contextlib.closing(monitor):
        monitor.settings(text)
        yield monitor
