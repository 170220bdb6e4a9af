"""Scores generators in a table, upscales pictures or exports; `python evaluate.py --help` lists the flags."""

import dataclasses
import os
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

import config
from srgan_tf import command_line
from srgan_tf.data.folders import Pair, embedded_pictures, find_pairs, find_pictures
from srgan_tf.errors import UserError
from srgan_tf.imaging import files

SCRIPT = "evaluate.py"
USED_BY = {
    "evaluate": ("weights", "data", "verbose", "csv", "pictures", "tile"),
    "upscale": ("weights", "input", "output", "overwrite", "tile"),
    "export": ("weights", "output", "overwrite"),
}
NEEDED_BY = {"evaluate": (), "upscale": ("weights", "input", "output"), "export": ("weights", "output")}
WRITABLE = files.SUFFIXES - {".gif"}  # GIF has 256 colors only; its pictures are written as PNG
HOW_TO_TRAIN = "No --weights given. Train a generator with `python train.py --mode=srresnet` (--help says more)."


def check(settings):
    """Refuses flags that the mode does not use, and a mode without what it needs."""
    mode = settings.mode
    for field in dataclasses.fields(settings):
        given = getattr(settings, field.name) != field.default
        if given and field.name not in ("mode", *USED_BY[mode]):
            raise UserError(f"--{field.name} has no use with --mode={mode}; leave it out")
        if not given and field.name in NEEDED_BY[mode]:
            raise UserError(f"--mode={mode} needs --{field.name}")
    if mode != "evaluate" and len(settings.weights) > 1:
        raise UserError(f"--mode={mode} takes one --weights, not {len(settings.weights)}")


def named_weights(given, taken=()):
    """The weights files by name, from `NAME=FILE` or `FILE`, which is then named after its folder and itself."""
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).is_file():
            path = Path(text)
            name = "-".join(filter(None, (path.parent.name, path.name.removesuffix(".h5").removesuffix(".weights"))))
        if not Path(path).is_file():
            raise UserError(f"{path}: no such weights file; `python train.py --mode=srresnet` makes one")
        if name in ("", ".", "..") or "/" in name or os.sep in name:
            raise UserError(f"--weights={text}: {name!r} cannot be the name of a folder; give NAME=FILE")
        if name in found or name in taken:
            raise UserError(f"--weights={text}: the name {name} is taken; give another one as NAME=FILE")
        found[name] = Path(path)
    return found


def load_upscaler(path, tile):
    """An `Upscaler` with the weights of `path`; the first call imports TensorFlow."""
    command_line.import_tensorflow()
    from srgan_tf.inference.upscaler import Upscaler
    from srgan_tf.models.generator import load_generator

    return Upscaler(load_generator(path), tile=None if tile == config.AUTO else tile)


def evaluate(settings):
    """Prints the table of nearest, bicubic and the weights given; writes CSV and pictures on request."""
    from srgan_tf.evaluation import benchmark, report

    weights = named_weights(settings.weights, taken=benchmark.BASELINES)
    if settings.data:
        pairs = find_pairs(settings.data)
    else:
        pairs = [Pair(name, path, None) for name, path in embedded_pictures().items()]
        print(f"No --data given: {len(pairs)} photographs of scikit-image; without --train_dir, training saw most.\n")
    upscalers = {name: load_upscaler(path, settings.tile) for name, path in weights.items()}
    scales = {upscaler.scale for upscaler in upscalers.values()} or {4}
    if len(scales) > 1:
        raise UserError(f"the weights enlarge {' and '.join(map(str, sorted(scales)))} times; evaluate them separately")
    scale = scales.pop()
    systems = {name: partial(baseline, factor=scale) for name, baseline in benchmark.BASELINES.items()}
    systems |= {name: upscaler.upscale for name, upscaler in upscalers.items()}

    with tqdm(total=len(pairs), unit="picture", leave=False, disable=None) as bar:
        scores, failures = benchmark.score(
            pairs, systems, scale, settings.pictures or None, on_progress=lambda picture: bar.update()
        )
    if scores:
        print(report.table(scores, settings.verbose))
    if not weights:
        print(f"\n{HOW_TO_TRAIN}")
    if scores and settings.csv:
        report.write_csv(scores, settings.csv)
    return finish(failures)


def plan_upscaling(source, target, overwrite):
    """What to read and what to write.

    Returns:
        `(jobs, skipped)`: a list of `(input, output)` paths, and how many outputs exist and are left as they are.
    """
    into_folder = target.endswith(("/", os.sep)) or Path(target).is_dir()
    source, target = Path(source), Path(target)
    if source.is_dir():
        return _plan_folder(source, target, overwrite)
    if not source.is_file():
        raise UserError(f"{source}: no such picture or folder; --input names one")
    output = target / _output_name(source) if into_folder else target
    if output.suffix.lower() not in WRITABLE:
        raise UserError(f"{output}: not a kind of picture that can be written; end --output in .png, or name a folder")
    if output.exists() and output.samefile(source):
        raise UserError(f"{output}: would replace the input; give another --output")
    if output.exists() and not overwrite:
        raise UserError(f"{output}: exists already; --overwrite replaces it")
    return [(source, output)], 0


def _plan_folder(source, target, overwrite):
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: a file, but {source} is a folder; give a folder as --output")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{target}: lies in the input folder {source}; give an --output outside it")
    outputs = {}
    for path in find_pictures(source):
        output = target / path.relative_to(source).parent / _output_name(path)
        if output in outputs:
            raise UserError(f"{path} and {outputs[output]}: would both be written to {output}; rename one")
        outputs[output] = path
    if not outputs:
        raise UserError(f"{source}: no pictures; put some there or give another --input")
    jobs = [(path, output) for output, path in outputs.items() if overwrite or not output.exists()]
    return jobs, len(outputs) - len(jobs)


def _output_name(path):
    return path.name if path.suffix.lower() in WRITABLE else f"{path.stem}.png"


def upscale(settings):
    """Upscales a picture, or every picture of a folder into the same places of another."""
    (path,) = named_weights(settings.weights).values()
    jobs, skipped = plan_upscaling(settings.input, settings.output, settings.overwrite)
    failures = []
    if jobs:
        upscaler = load_upscaler(path, settings.tile)
        quiet = True if len(jobs) == 1 else None  # None: unless stderr is a terminal
        for source, output in tqdm(jobs, unit="picture", disable=quiet):
            try:
                files.write(output, upscaler.upscale_picture(files.read(source)))
            except UserError as error:
                failures.append(error)
            except MemoryError as error:
                failures.append(UserError(f"{source}: {error}"))
    print(f"{len(jobs) - len(failures)} upscaled to {settings.output}" + (f", {len(failures)} failed" * bool(failures)))
    if skipped:
        print(f"{skipped} left as they are, because they exist (--overwrite replaces them)")
    return finish(failures)


def export(settings):
    """Writes the SavedModel."""
    ((name, path),) = named_weights(settings.weights).items()
    command_line.import_tensorflow()
    from srgan_tf.inference.export import export_savedmodel
    from srgan_tf.models.generator import load_generator

    export_savedmodel(load_generator(path), settings.output, settings.overwrite)
    print(f"{name} exported to {settings.output}, and checked: it gives what the generator gives")
    return 0


def finish(failures):
    """Names what went wrong on the way; returns the exit status."""
    for error in failures:
        command_line.print_error(SCRIPT, error)
    return 1 if failures else 0


def main(argv):
    """Runs the command line `argv`; returns the exit status."""
    return command_line.run(SCRIPT, run, argv)


def run(argv):
    settings = config.parse(config.EvaluateSettings, argv)
    check(settings)
    return {"evaluate": evaluate, "upscale": upscale, "export": export}[settings.mode](settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
