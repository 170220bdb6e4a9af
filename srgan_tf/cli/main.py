"""The command `srgan`: finds the mode, reads its settings and runs it."""

import difflib
import importlib
import sys
from collections.abc import Sequence

import srgan_tf
from srgan_tf.cli import command_line, flags
from srgan_tf.system.errors import UsageError

# The module of each mode, with `Settings` and `run`, and its line in `srgan --help`.
MODES = {
    "upscale": ("srgan_tf.cli.upscale", "upscales your images"),
    "train": ("srgan_tf.cli.train", "trains SRResNet, SRGAN and smaller networks on your photographs"),
    "pack": ("srgan_tf.cli.pack", "decodes photographs into TFRecords, which training reads faster"),
    "degrade": ("srgan_tf.cli.degrade", "makes degraded test sets of your photographs"),
    "evaluate": ("srgan_tf.cli.evaluate", "scores networks on a test set: PSNR, SSIM, LPIPS, speed"),
    "reproduce": ("srgan_tf.cli.reproduce", "writes the slides' tables with the package's own figures beside them"),
    "compare": ("srgan_tf.cli.compare", "shows your images, upscaled by several networks, side by side"),
    "demo": ("srgan_tf.cli.demo", "serves a page on which images are upscaled"),
    "export": ("srgan_tf.cli.export", "writes a network as SavedModel, ONNX, LiteRT or for TensorLayerX"),
    "import": ("srgan_tf.cli.convert", "reads a network of TensorLayerX or of krasserm's super-resolution"),
    "faces": ("srgan_tf.cli.faces", "measures how well FaceNet verifies upscaled faces"),
    "mos make": ("srgan_tf.cli.mos_make", "writes the page on which people rate or compare images"),
    "mos score": ("srgan_tf.cli.mos_score", "computes opinion scores or preferences from the raters' files"),
}
_HELP = ("--help", "-help", "-h", "help")
_VERSION = ("--version", "-version", "version")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv`, by default that of the process; returns the exit status."""
    return command_line.run(_run, (sys.argv if argv is None else argv)[1:])


def train_script(argv: Sequence[str]) -> int:
    """Runs a command line of `train.py`, in which `--pack=FOLDER` stands for the mode pack; returns the exit status."""
    mode = "pack" if "pack" in map(_flag, argv[1:]) else "train"
    return command_line.run(_run, [mode, *argv[1:]])


def evaluate_script(argv: Sequence[str]) -> int:
    """Runs a command line of `evaluate.py`, in which `--mode=MODE` names the mode; returns the exit status."""
    return command_line.run(lambda words: _run(_mode_first(words)), argv[1:])


def _run(words):
    if not words or words[0] in _HELP:
        print(help_page())
        return 0 if words else 2
    if words[0] in _VERSION:
        print(f"srgan_tf {srgan_tf.__version__}")
        return 0
    if words[0] == "mos" and words[1:2] in ([word] for word in _HELP):
        print(help_page("mos "))
        return 0
    mode, words = _find_mode(words)
    module = importlib.import_module(MODES[mode][0])
    settings = flags.parse(module.Settings, [f"{command_line.NAME} {mode}", *words])
    if hasattr(settings, "checked"):
        settings = settings.checked()
    return module.run(settings)


def _find_mode(words):
    """The mode that the first word, or the first two, name, and the words after it."""
    first, words = words[0], words[1:]
    if first == "evaluate" and "input" in map(_flag, words):
        raise UsageError("evaluate takes a test set, --data, not --input; `srgan upscale photo.jpg` upscales an image")
    if first in MODES:
        return first, words
    if first == "mos":
        return _find_task(words)
    if first.startswith("-"):
        raise UsageError(f"{first}: the mode comes first, as in `srgan upscale photo.jpg` (--help lists the modes)")
    near = difflib.get_close_matches(first, [mode.split()[0] for mode in MODES], 1)
    raise UsageError(f"no mode {first!r}{f'; did you mean {near[0]!r}?' if near else ''} (--help lists the modes)")


def _find_task(words):
    """The mode `mos make` or `mos score`, which may also be named by a flag, `--make` or `--score FILES`, and the words
    after it."""
    if words[:1] in (["make"], ["score"]):
        return f"mos {words[0]}", words[1:]
    if "make" in map(_flag, words):
        return "mos make", [word for word in words if _flag(word) != "make"]
    if "score" in map(_flag, words):
        values = [word.partition("=")[2] if _flag(word) == "score" else word for word in words]
        return "mos score", [value for value in values if value]
    raise UsageError("mos needs another word: `mos make` writes the page, `mos score` reads the raters' files")


def _flag(word):
    """The name of the flag in a word of the command line; empty if it is not a flag."""
    return word.lstrip("-").partition("=")[0] if word.startswith("-") else ""


def _mode_first(words):
    """Translates the words of `evaluate.py` to those of `srgan`."""
    mode, others, rest = None, [], iter(words)
    for word in rest:
        if _flag(word) == "mode":
            mode = word.partition("=")[2] if "=" in word else next(rest, "")
        else:
            others.append(word)
    if mode in ("", "train", "pack"):
        told = f"`python train.py` has mode {mode}" if mode else "name one, such as --mode=upscale, or leave it out"
        raise UsageError(f"--mode={mode}: {told}")
    if mode is None and others[:1] in ([word] for word in (*_HELP, *_VERSION)):
        return others
    return [mode or "evaluate", *others]


def help_page(prefix: str = "") -> str:
    """The text of `srgan --help`, or of a group of modes, whose names begin with `prefix`."""
    lines = ["4x single-image super-resolution: training, evaluation, inference, export.", ""]
    lines += [f"usage: srgan {prefix or 'MODE '}[words] [--flag=value ...]", ""]
    lines += [f"  {mode:<10} {line}" for mode, (_, line) in MODES.items() if mode.startswith(prefix)]
    return "\n".join([*lines, "", "srgan MODE --help lists the flags of a mode; srgan --version"])
