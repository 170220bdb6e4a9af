"""The command `srgan`: finds the mode, reads its settings and runs it."""

import difflib
import importlib
import sys
from collections.abc import Sequence

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
_HELP = ("--help", "-help", "-h", "help")
_VERSION = ("--version", "-version", "version")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv`, by default that of the process; returns the exit status."""
    return command_line.run(_run, (sys.argv if argv is None else argv)[1:])


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
    mode, words = _find_mode(words)
    module = importlib.import_module(MODES[mode][0])
    settings = flags.parse(module.Settings, [f"{command_line.NAME} {mode}", *words])
    if hasattr(settings, "checked"):
        settings = settings.checked()
    return module.run(settings)


def _find_mode(words):
    """The mode that the first word names, or the first two, and the words behind it."""
    first, words = words[0], words[1:]
    if first in MODES:
        return first, words
    if first == "mos":
        return _find_task(words)
    if first.startswith("-"):
        raise UsageError(f"{first}: the mode comes first, as in `srgan upscale photo.jpg` (--help lists the modes)")
    near = difflib.get_close_matches(first, [mode.split()[0] for mode in MODES], 1)
    raise UsageError(f"no mode {first!r}{f'; did you mean {near[0]!r}?' if near else ''} (--help lists the modes)")


def _find_task(words):
    """Which of the two modes of opinions it is; each may also be named by a flag, `--make` or `--score FILES`."""
    if words[:1] in (["make"], ["score"]):
        return f"mos {words[0]}", words[1:]
    if "--make" in words:
        return "mos make", [word for word in words if word != "--make"]
    if any(word.partition("=")[0] == "--score" for word in words):
        return "mos score", [word.removeprefix("--score=") for word in words if word != "--score"]
    raise UsageError("mos needs another word: `mos make` writes the page, `mos score` reads what raters saved")


def _mode_first(words):
    """The words of `srgan` for those of `evaluate.py`."""
    mode, others, rest = "", [], iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--mode", "-mode"):
            mode = value if equals else next(rest, "")
        else:
            others.append(word)
    if not mode and others[:1] in ([word] for word in (*_HELP, *_VERSION)):
        return others
    if not mode and any(word.startswith("--input") for word in others):
        raise UsageError("--input is enlarged with --mode=upscale, as in `srgan upscale photo.jpg large.png`")
    return [mode or "evaluate", *others]


def help_page() -> str:
    """The text of `srgan --help`."""
    lines = ["SRGAN: 4x single-image super-resolution, trained, measured and used.", ""]
    lines += ["usage: srgan MODE [words] [--flag=value ...]", ""]
    lines += [f"  {mode:<10} {line}" for mode, (_, line) in MODES.items()]
    return "\n".join([*lines, "", "srgan MODE --help lists the flags of a mode; srgan --version"])
