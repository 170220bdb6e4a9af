"""The systems to score or show: networks, systems without weights, and folders of external results."""

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from srgan_tf.evaluation.benchmark import BASELINES
from srgan_tf.evaluation.records import HR, LR, dial_name
from srgan_tf.inference.precision import emulation_note
from srgan_tf.models.generator_weights import read_scale
from srgan_tf.system import quiet
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.system.terminal import say
from srgan_tf.weights import find_weights

if TYPE_CHECKING:
    from srgan_tf.inference.upscaler import Upscaler

SELFEX = "selfex"  # models.selfex, a system without weights
RESERVED = (*BASELINES, HR, LR, SELFEX)  # names that no weights can have
NONE = "none"  # instead of weights: no network
DEFAULT_SCALE = 4  # of systems without weights


def named_weights(given: Iterable[str]) -> dict[str, Path]:
    """The weights files by name.

    Args:
        given: `NAME=FILE`, or `FILE`, which is then named after its folder and itself; `FILE` may be the name of
            pretrained weights. "none" alone gives no weights.

    Raises:
        UserError: There is no such file, or two have one name.
    """
    given = tuple(given)
    found: dict[str, Path] = {}
    for text in () if given == (NONE,) else given:
        name, equals, file = text.partition("=")
        if not equals or Path(text).is_file():
            file, path = text, Path(text)
            stem = path.name.removesuffix(".keras").removesuffix(".h5").removesuffix(".weights")
            name = "-".join(filter(None, (path.parent.name, stem)))
        if not file:
            raise UserError(f"--weights={text}: no such weights file; give NAME=FILE")
        if name in ("", ".", "..") or "/" in name or os.sep in name:
            raise UsageError(f"--weights={text}: {name!r} cannot be the name of a folder; give NAME=FILE")
        if name in found or name in RESERVED:
            raise UsageError(f"--weights={text}: the name {name} is taken; give another one as NAME=FILE")
        found[name] = find_weights(file)
    return found


def named_results(given: Iterable[str], weights: Iterable[str]) -> dict[str, Path]:
    """The folders of external results by system, from `NAME=FOLDER`; names in `weights` are taken.

    Raises:
        UsageError: A text is something else, or two systems have one name.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise UsageError(f"--results={text}: give NAME=FOLDER, the system's name and its images")
        if name in found or name in weights or name in RESERVED:
            raise UsageError(f"--results={text}: the name {name} is taken; give another one")
        found[name] = Path(folder)
    return found


def find_scale(weights: Mapping[str, Path]) -> int:
    """The scale factor by which LR of a test set is chosen before the networks are loaded: that of the first weights
    file; 4 without any.

    Raises:
        UserError: It cannot be read.
    """
    first = next(iter(weights.values()), None)
    return DEFAULT_SCALE if first is None else read_scale(first) or load_upscaler(first).scale


def load_upscaler(weights: str | Path | None = None, *, scale: int = DEFAULT_SCALE, **options):
    """The `Upscaler` of weights, or of "selfex" with a scale factor; the first call imports TensorFlow."""
    quiet.import_tensorflow()
    from srgan_tf.inference.networks import SelfExemplars
    from srgan_tf.inference.upscaler import Upscaler

    network = SelfExemplars(scale) if weights == SELFEX else weights
    upscaler = Upscaler(network, **options)
    say_if_emulated(upscaler.precision)
    return upscaler


@functools.cache  # said once
def say_if_emulated(number_format: str) -> None:
    """Says on standard error, before anything is computed, that a number format is slow here; see `precision`."""
    import tensorflow as tf

    if note := emulation_note(number_format, on_gpu=bool(tf.config.list_physical_devices("GPU"))):
        say(note, file=sys.stderr)


def generators_precision(upscalers: Iterable["Upscaler"]) -> str | None:
    """What SRGAN and SRResNet are computed in; None without either, since other networks are always in float32."""
    return next((each.precision for each in upscalers if hasattr(each.network, "precision")), None)


def load_upscalers(weights: Mapping[str, Path], model: str = "", **options):
    """The `Upscaler`s of several weights files, and of "selfex" if that is the `model`.

    Returns:
        `(upscalers, scale)`: a dict by name, and their common scale factor, 4 without weights.

    Raises:
        UserError: Weights cannot be read, or differ in their scale factor.
    """
    upscalers = {name: load_upscaler(path, **options) for name, path in weights.items()}
    scales = {upscaler.scale for upscaler in upscalers.values()} or {DEFAULT_SCALE}
    if len(scales) > 1:
        raise UserError(f"the weights upscale {' and '.join(map(str, sorted(scales)))} times; use them separately")
    (scale,) = scales
    if model:
        upscalers[model] = load_upscaler(model, scale=scale, **options)
    return upscalers, scale


def load_dial(weights: Mapping[str, Path], strengths: Iterable[float], **options):
    """`(upscalers, scale)` for strengths between the two networks of `weights`, that of strength 0 first; the names are
    those of `records.dial_name`."""
    start, end = weights.values()
    upscalers = {
        dial_name(strength): load_upscaler(start, toward=end, strength=strength, **options) for strength in strengths
    }
    return upscalers, next(iter(upscalers.values())).scale


def load_systems(weights: Mapping[str, Path], model: str = "", **options):
    """`(systems, scale)`: the systems of `with_baselines`, and the scale factor; for the arguments see
    `load_upscalers`."""
    upscalers, scale = load_upscalers(weights, model, **options)
    return with_baselines(upscalers, scale), scale


def with_baselines(upscalers: Mapping, scale: int):
    """The systems by name, functions from LR to SR, both uint8 `(H, W, 3)`: `Upscaler`s first, then the baselines."""
    systems = {name: upscaler.upscale for name, upscaler in upscalers.items()}
    return systems | {name: functools.partial(baseline, factor=scale) for name, baseline in BASELINES.items()}
