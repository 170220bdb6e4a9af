"""The command `srgan`: finds the mode, reads its settings and runs it."""

import difflib
import functools
import importlib
import os
import sys

import srgan_tf
from srgan_tf.cli import command_line, flags
from srgan_tf.system.errors import UsageError

# Each mode's module, which has its `Settings` and `run`, and the line that `srgan --help` shows of it.
MODES = {
    "upscale": ("srgan_tf.cli.upscale", "enlarges your pictures"),
    "train": ("srgan_tf.cli.train", "trains SRResNet, SRGAN and smaller networks on your photographs"),
    "pack": ("srgan_tf.cli.pack", "decodes photographs into TFRecords, which training reads faster"),
    "evaluate": ("srgan_tf.cli.evaluate", "scores networks on a test set: PSNR, SSIM, LPIPS, speed"),
    "compare": ("srgan_tf.cli.compare", "shows what networks make of your pictures side by side"),
    "export": ("srgan_tf.cli.export", "writes a network as SavedModel, ONNX, LiteRT or for TensorLayerX"),
    "import": ("srgan_tf.cli.convert", "reads a network of TensorLayerX or of krasserm's super-resolution"),
    "faces": ("srgan_tf.cli.faces", "measures how well FaceNet verifies enlarged faces"),
    "mos make": ("srgan_tf.cli.mos_make", "writes the page on which people rate pictures"),
    "mos score": ("srgan_tf.cli.mos_score", "computes mean opinion scores from what they saved"),
}


def main(argv=None):
    """Runs the command line `argv`, by default that of the process; returns the exit status."""
    argv = sys.argv if argv is None else argv
    name = os.path.basename(argv[0])
    return command_line.run(name, functools.partial(run, name), argv[1:])


def run(name, words):
    """Runs the words behind the command's name; returns the exit status.

    Raises:
        UserError: What went wrong, in one line.
    """
    if not words or words[0] in ("--help", "-h", "-help", "help"):
        print(help_page(name))
        return 0 if words else 2
    if words[0] in ("--version", "-version"):
        print(f"srgan_tf {srgan_tf.__version__}")
        return 0
    mode, words = find_mode(words)
    module = importlib.import_module(MODES[mode][0])
    settings = flags.parse(module.Settings, [f"{name} {mode}", *words])
    if hasattr(settings, "checked"):
        settings = settings.checked()
    return module.run(settings)


def find_mode(words):
    """The mode that the first word names, or the first two, and the words behind it."""
    for count in (1, 2):
        mode = " ".join(words[:count])
        if mode in MODES:
            return mode, words[count:]
    kinds = [mode for mode in MODES if mode.split()[0] == words[0]]
    if kinds:
        raise UsageError(f"{words[0]} needs another word: {' or '.join(kinds)}")
    if words[0].startswith("-"):
        raise UsageError(f"{words[0]}: the mode comes first, as in `srgan upscale {words[0]}` (--help lists the modes)")
    near = difflib.get_close_matches(words[0], sorted({mode.split()[0] for mode in MODES}), 1)
    raise UsageError(f"no mode {words[0]!r};{f' did you mean {near[0]!r}?' if near else ''} (--help lists the modes)")


def help_page(name):
    """The text of `srgan --help`."""
    lines = ["SRGAN: 4x single-image super-resolution, trained, measured and used.", ""]
    lines += [f"usage: {name} MODE [words] [--flag=value ...]", ""]
    lines += [f"  {mode:<10} {line}" for mode, (_, line) in MODES.items()]
    return "\n".join([*lines, "", f"{name} MODE --help lists the flags of a mode; {name} --version"])
