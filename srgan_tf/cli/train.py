"""`srgan train`: SRResNet, SRGAN, and the smaller networks of the tables."""

import dataclasses
import signal
import sys

from srgan_tf.cli.flags import AUTO, MAX_THREADS, setting
from srgan_tf.cli.shared import PhotoDegradation
from srgan_tf.system import quiet
from srgan_tf.system.errors import UsageError
from srgan_tf.training.run_folder import MUTABLE_ON_RESUME
from srgan_tf.weights import pretrained_names

BICUBIC, PHOTO = "bicubic", "photo"

# The values of `auto` in each phase: those of the slides, or else of the paper.
_PHASES = {
    "srresnet": {"content_loss": "mse", "steps": 1_000_000, "schedule": "constant"},
    "srgan": {"content_loss": "pool4", "steps": 200_000, "schedule": "step"},
}
# Side of the HR crop (ESPCN: of the LR crop), and crops in a step. SRCNN's paper has 33 pixels, of which 17 count in
# the loss; that is too small here, where bicubic does not see beyond the crop either. The papers of ESPCN and DRCN have
# 17 and 41. 128 crops are those of SRCNN's published code, 16 the slides', 64 those of DRCN's paper.
_CROPS = {"resnet": (384, 16), "srcnn": (64, 128), "espcn": (17, 16), "drcn": (40, 64)}
_RATES = {"adam": 1e-4, "muon": 3e-3}
_ONLY_SRGAN = ("discriminator", "adversarial_loss_weight", "sequential_updates", "pretrain_steps")
_WITHOUT_WEIGHTS = ("initial", "pretrain_steps")
_ONLY_RESNET = ("mode", "consistency_loss_weight", "freeze_bn_after", "blocks", "initial", "balance_colours")
_POOL4_WEIGHT = 2e-6  # the slides', for the mean over this layer with Caffe's preprocessing
_SMALLEST_VGG_CROP = 32  # VGG19's five poolings


@dataclasses.dataclass(frozen=True)
class Settings(PhotoDegradation):
    """Train a generator for 4x super-resolution.

    srgan train --mode=srresnet --train_dir=PHOTOS     G alone, on the content loss
    srgan train --mode=srgan --train_dir=PHOTOS        then G against D
    srgan train --mode=srgan --train_dir=div2k-train   on a set that is downloaded, 3.5 GB
    srgan train --model=espcn --train_dir=PHOTOS       a smaller network
    srgan train --degradation=photo --train_dir=PHOTOS for photographs with blur, noise and JPEG artefacts

    The defaults are those of "the slides", a university seminar's on SRGAN (Ledig et al. 2017) and TensorLayer's code
    of it; where the slides are silent, the paper's.
    """

    # What to train
    mode: str = setting("srresnet", "phase: G on its content loss, or G against D", choices=("srresnet", "srgan"))
    run_dir: str = setting("runs/default", "folder of the run; each phase has its own inside: srresnet/, srgan/")
    resume: bool = setting(True, "resume from the newest checkpoint of the run folder, if it has one")
    weights: str = setting(
        "",
        "weights that G starts from, instead of the run's own: a file (*.weights.h5, *.keras), or the package's"
        f" {pretrained_names()}",
    )
    discriminator: str = setting(
        "", "folder of another run's SRGAN, runs/NAME/srgan, with whose D this one starts (empty: a new D)"
    )
    dry_run: bool = setting(False, "print device, sizes, memory and first losses, and stop")

    # Data
    train_dir: str = setting(
        "",
        "folder of HR photographs, searched recursively; or one with HR/ and LR/, whose LR is then trained on; or one"
        " that was packed; or the name of a set that is downloaded, such as div2k-train (empty: a few embedded ones)",
    )
    valid_dir: str = setting(
        "",
        "folder of HR images, or with HR/ and LR/, to validate on; or the name of a set that is downloaded, such as"
        " div2k-valid (empty: an embedded one)",
    )
    degradation: str = setting(
        BICUBIC,
        "how LR is made of HR: bicubic, MATLAB's; or photo, random chains of blur, resizing, noise and JPEG",
        choices=(BICUBIC, PHOTO),
    )
    crop_size: int = setting(
        AUTO,
        "side of an HR crop, pixels; the LR crop is smaller by the factor --scale (auto: 384; 64 for srcnn, 17 times"
        " --scale for espcn, 40 for drcn)",
        lower=16,
        upper=2**15,
    )
    batch_size: int = setting(
        AUTO, "crops a step, on all devices together (auto: 16; 128 for srcnn, 64 for drcn)", lower=1
    )
    accumulate: int = setting(
        1,
        "gradient accumulation: micro-batches per step, for a large batch in the memory of a small one; BN takes its"
        " statistics from each",
        lower=1,
    )
    crops_per_image: int = setting(
        1, "crops from one decoding of a photograph, in different batches", lower=1, upper=1024
    )
    cache_gb: float = setting(
        AUTO,
        "memory for decoded photographs, GB; they need 3 bytes a pixel (auto: a quarter of what is free, or none if a"
        " tenth of them would not fit there)",
        lower=0,
    )
    workers: int = setting(2, "threads that decode, crop and degrade", lower=1, upper=MAX_THREADS)

    # Generator
    model: str = setting(
        "resnet",
        "resnet: the generator of SRResNet and SRGAN; srcnn, espcn, drcn: baselines on luma (Y), in a folder of their"
        " name",
        choices=("resnet", "srcnn", "espcn", "drcn"),
    )
    scale: int = setting(4, "upscaling factor: 2, 4 or 8", lower=2)
    blocks: int = setting(16, "residual blocks of G", lower=1, upper=1024)
    initial: str = setting(
        "upsampling",
        "G's first weights: 'upsampling' starts as bilinear upsampling, 'random' as the slides do (Glorot)",
        choices=("upsampling", "random"),
    )
    freeze_bn_after: int = setting(
        -1, "step after which G uses BN's moving statistics (0: from the start; -1: never)", lower=-1
    )

    # Losses
    content_loss: str = setting(
        AUTO,
        "mse; or mse plus vgg22, vgg54, pool4 (the seminar's code) (auto: mse for srresnet, pool4 for srgan)",
        choices=(AUTO, "mse", "vgg22", "vgg54", "pool4"),
    )
    mse_loss_weight: float = setting(1.0, "weight of the MSE between images in [-1, 1]; 0 gives the paper's", lower=0)
    vgg_loss_weight: float = setting(
        AUTO,
        "weight of the mean squared difference of VGG19's features (auto: 2e-6 for pool4; for vgg22 and vgg54 measured"
        " once on 64 crops, so that it equals the MSE between HR and its bicubic)",
        lower=0,
    )
    adversarial_loss_weight: float = setting(1e-3, "weight of -log D(G(LR)) in G's loss", lower=0)
    consistency_loss_weight: float = setting(
        0.0, "weight of the MSE between HR and SR, both downscaled; constrains colour (0: off)", lower=0
    )
    vgg_path: str = setting("", "VGG19 weights without top, Keras layout (empty: Keras downloads them)")
    sequential_updates: bool = setting(False, "update D first and G against the new D, as the slides do")

    # Optimisation
    steps: int = setting(
        AUTO, "optimisation steps of the phase (auto: 1000000 for srresnet, 200000 for srgan)", lower=1
    )
    pretrain_steps: int = setting(
        AUTO,
        "steps of the SRResNet that mode srgan starts from and trains first as far as they are not done"
        " (auto: those that the run's own was started with, or else 1000000)",
        lower=1,
    )
    optimizer: str = setting(
        AUTO,
        "adam; or muon, with which srcnn and espcn need a twentieth of the steps (auto: adam; for srcnn, espcn and drcn"
        " muon)",
        choices=(AUTO, "adam", "muon"),
    )
    learning_rate: float = setting(AUTO, "learning rate of the optimizer (auto: 1e-4; with muon 3e-3)", lower=0)
    beta1: float = setting(0.9, "first-moment decay of Adam; Muon's for biases and BN", lower=0)
    schedule: str = setting(
        AUTO,
        "learning-rate schedule: constant; step, times decay_rate at half the steps; cosine, to zero (auto: constant"
        " for srresnet, step for srgan; for srcnn, espcn and drcn cosine)",
        choices=(AUTO, "constant", "step", "cosine"),
    )
    decay_rate: float = setting(0.1, "factor of the schedule step", lower=0)
    warmup_steps: int = setting(0, "steps over which the learning rate rises from 0", lower=0)
    clip_norm: float = setting(
        0.0, "largest global norm of a network's gradients; larger ones are scaled down to it (0: off)", lower=0
    )
    ema_decay: float = setting(
        0.0, "decay a step of a moving average of G, which is then what is validated and written (0: off)", lower=0
    )
    balance_colours: bool = setting(
        False, "at the end, move the last layer's bias in generator.weights.h5 so that the mean colours are right"
    )
    seed: int = setting(0, "random seed of weights, shuffling, crops, flips and degradations", lower=0, upper=2**32 - 1)

    # Hardware
    precision: str = setting(
        AUTO,
        "float32, mixed_float16 or mixed_bfloat16 (auto: mixed_float16 on a GPU with tensor cores, else float32)",
        choices=(AUTO, "float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: str = setting(AUTO, "compile the step with XLA (auto: on a GPU that works alone)", choices=(AUTO, "on", "off"))
    strategy: str = setting(
        AUTO,
        "none; mirrored: all GPUs of this machine; multiworker: the processes that TF_CONFIG names"
        " (auto: multiworker or mirrored where there is more than one, else none)",
        choices=(AUTO, "none", "mirrored", "multiworker"),
    )
    max_bad_steps: int = setting(50, "skipped steps in a row, with gradients not finite, that stop the run", lower=1)

    # Reports, each every so many steps
    log_every: int = setting(50, "steps between lines of metrics.jsonl and points in TensorBoard", lower=1)
    valid_every: int = setting(1000, "steps between validations", lower=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", lower=1)

    def checked(self):
        """These settings with values instead of `auto`, except for what must be measured: the weight of vgg22 and
        vgg54, precision, XLA and the cache. Idempotent.

        Raises:
            UsageError: A combination is impossible; the message names the flags.
        """
        super().checked()
        settings = _fill_auto(self)
        for is_wrong, message in _mistakes(settings, vgg_weight_given=self.vgg_loss_weight != AUTO):
            if is_wrong:
                raise UsageError(message)
        return settings

    def for_pretraining(self, started):
        """The checked settings of the SRResNet that mode srgan starts from.

        Args:
            started: The settings that the run's own SRResNet was started with, which it keeps; `{}` without one.
        """
        own = {name: value for name, value in started.items() if name not in MUTABLE_ON_RESUME} or {
            "content_loss": "mse",
            "mse_loss_weight": Settings.mse_loss_weight,
            "vgg_loss_weight": AUTO,
            "schedule": AUTO,
            "decay_rate": Settings.decay_rate,
        }
        own |= {name: getattr(Settings, name) for name in _ONLY_SRGAN}
        steps = started.get("steps", AUTO) if self.pretrain_steps == AUTO else self.pretrain_steps
        own |= {"mode": "srresnet", "steps": steps, "vgg_path": started.get("vgg_path", "")}
        return dataclasses.replace(self, **own).checked()


def _fill_auto(settings):
    """Replaces `auto` by the values for this phase and model."""
    is_resnet = settings.model == "resnet"
    settings = _replace_auto(settings, optimizer="adam" if is_resnet else "muon")
    crop, batch = _CROPS[settings.model]
    crop *= settings.scale if settings.model == "espcn" else 1
    values = {"crop_size": crop, "batch_size": batch, "learning_rate": _RATES[settings.optimizer]}
    settings = _replace_auto(
        settings, **_PHASES[settings.mode] | values | ({} if is_resnet else {"schedule": "cosine"})
    )
    return _replace_auto(settings, vgg_loss_weight=_POOL4_WEIGHT) if settings.content_loss == "pool4" else settings


def _replace_auto(settings, **values):
    """Sets values of settings that were left at auto."""
    return dataclasses.replace(
        settings, **{name: value for name, value in values.items() if getattr(settings, name) == AUTO}
    )


def _mistakes(settings, vgg_weight_given):
    """Yields `(is_wrong, message)` for each combination of settings that is impossible."""
    for names, flag, is_right in (
        (_ONLY_RESNET, f"--model={settings.model}", settings.model == "resnet"),
        (_ONLY_SRGAN, f"--mode={settings.mode}", settings.mode == "srgan"),
        (_WITHOUT_WEIGHTS, f"--weights={settings.weights}", not settings.weights),
    ):
        for name in names:
            value = getattr(settings, name)
            is_given = value != getattr(Settings, name)
            yield is_given and not is_right, f"--{name}={value} cannot be combined with {flag}; leave it out"
    yield from _mistakes_of_data(settings)
    yield from _mistakes_of_losses(settings, vgg_weight_given)
    yield from _mistakes_of_optimisation(settings)


def _mistakes_of_data(settings):
    yield settings.scale not in (2, 4, 8), f"--scale={settings.scale}: must be 2, 4 or 8"
    for name in ("degradation_strength", "degradation_ranges"):
        is_given = getattr(settings, name) != getattr(Settings, name)
        yield (
            is_given and settings.degradation != PHOTO,
            f"--{name} cannot be combined with --degradation={settings.degradation}; add --degradation={PHOTO}",
        )
    crop = f"--crop_size={settings.crop_size}:"
    yield settings.crop_size % settings.scale, f"{crop} must be a multiple of --scale={settings.scale}"
    yield (
        settings.content_loss != "mse" and settings.crop_size < _SMALLEST_VGG_CROP,
        f"{crop} VGG19 needs {_SMALLEST_VGG_CROP} or more; or use --content_loss=mse",
    )
    yield (
        settings.consistency_loss_weight and settings.crop_size <= 4 * settings.scale,
        f"{crop} --consistency_loss_weight needs more than {4 * settings.scale}",
    )
    yield (
        settings.batch_size % settings.accumulate,
        f"--batch_size={settings.batch_size}: must be a multiple of --accumulate={settings.accumulate}",
    )


def _mistakes_of_losses(settings, vgg_weight_given):
    vgg = settings.content_loss != "mse"
    yield (
        vgg and settings.model != "resnet",
        f"--content_loss={settings.content_loss} cannot be combined with --model={settings.model}; leave it out",
    )
    for flag, is_given in (("vgg_loss_weight", vgg_weight_given), ("vgg_path", settings.vgg_path)):
        yield is_given and not vgg, f"--{flag} cannot be combined with --content_loss=mse; leave it out"
    yield (not vgg and settings.mse_loss_weight == 0, "--mse_loss_weight=0 needs a VGG loss: --content_loss=vgg54, say")


def _mistakes_of_optimisation(settings):
    for name in ("beta1", "ema_decay"):
        yield getattr(settings, name) >= 1, f"--{name}={getattr(settings, name)}: must be below 1"
    yield settings.learning_rate == 0, "--learning_rate=0 trains nothing"
    for name in ("steps", "pretrain_steps"):
        most = getattr(settings, name)
        yield (
            most != AUTO and settings.warmup_steps >= most,
            f"--warmup_steps={settings.warmup_steps}: must be below --{name}={most}",
        )
    yield (
        settings.decay_rate != Settings.decay_rate and settings.schedule != "step",
        f"--decay_rate cannot be combined with --schedule={settings.schedule}; leave it out",
    )


def run(settings):
    """Trains as checked settings say; mode srgan trains its SRResNet first if there is none.

    Returns:
        The exit status: 0, or 128 plus the number of the signal that stopped it, after everything was saved.

    Raises:
        UserError: It cannot train; the message says why.
    """
    quiet.import_tensorflow()
    from srgan_tf.training.loop import Interrupted
    from srgan_tf.training.run import train

    try:
        train(settings)
    except Interrupted as error:
        name = signal.Signals(error.signal_number).name
        print(f"{name}: saved; the same command resumes from here", file=sys.stderr)
        return 128 + error.signal_number
    return 0
