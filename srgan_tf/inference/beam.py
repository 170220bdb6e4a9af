"""Upscales the images of a file system on many machines: an Apache Beam pipeline around the exported SavedModel."""

import argparse
import contextlib
import os
import re
import sys

from srgan_tf.imaging.formats import KINDS
from srgan_tf.imaging.header import MAX_PIXELS
from srgan_tf.system.errors import UserError, exit_status
from srgan_tf.system.terminal import say

SCRIPT = "srgan_tf.inference.beam"
_MOST = 1e9  # megapixels, or GB

try:
    import apache_beam
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.metrics import MetricsFilter
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    from srgan_tf.inference import beam_steps
except ModuleNotFoundError as missing:
    if __name__ != "__main__" or missing.name != "apache_beam":
        raise
    sys.exit(f"{SCRIPT}: error: needs Apache Beam; pip install 'srgan_tf[beam]'")

USAGE = """python -m srgan_tf.inference.beam --model=exported --input='gs://bucket/photos/**' --output=gs://bucket/large

Flags that are not listed below are Beam's: --runner=DataflowRunner, FlinkRunner or SparkRunner and their flags. Without
--runner the pipeline runs on this computer; --direct_running_mode=multi_processing --direct_num_workers=8 takes eight
processes. Existing results are not computed again, so the same command resumes an interrupted run."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message} (--help lists the flags)")


def parse(argv):
    """Reads the command line `argv[1:]`; returns our settings and the flags that are Beam's."""
    parser = _Parser(
        SCRIPT, usage=USAGE, description=__doc__, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of the exported SavedModel, which all workers must see")
    add("--input", required=True, help="file pattern (** matches any folders) or folder; with --list its folder")
    add(
        "--output",
        required=True,
        help="folder to write to; the images keep their paths relative to the input's fixed part",
    )
    add("--list", help="text file with an image a line, as a path or relative to --input")
    add("--overwrite", action="store_true", help="also replace existing results")
    add("--format", choices=KINDS, help="of all results (default: each image's own; PNG for GIF)")
    add("--quality", type=int, choices=range(1, 101), metavar="1..100", help="of JPEG (default: 95), WebP (lossless)")
    add(
        "--max_megapixels", type=positive, default=MAX_PIXELS / 1e6, help="larger inputs are bad (default: %(default)g)"
    )
    add("--max_memory_gb", type=positive, help="that a process may take (default: by what is free for each processor)")
    settings, flags = parser.parse_known_args(argv[1:])
    for name, value in vars(settings).items():
        if value == "":
            raise UserError(f"--{name} is given without a value; leave it out or give one")
    return settings, flags


def positive(text):
    number = float(text)
    if not 0 < number <= _MOST:
        raise ValueError
    return number


def _absolute(path):
    """A path without a / at the end; a local one is made absolute, since workers may start in other folders."""
    if FileSystems.get_scheme(path) is None:
        path = os.path.abspath(os.path.expanduser(path))
    return path.rstrip("/")


def _real(folder):
    """A folder with / at its end; of a local one that which links lead to."""
    return folder if FileSystems.get_scheme(folder) is not None else os.path.join(os.path.realpath(folder), "")


def _root_and_pattern(text, has_list):
    """The folder to which the names of images are relative, and the pattern of all of them."""
    path = _absolute(text)
    fixed = re.match(r"[^*?[]*", path)[0]
    if fixed == path and (has_list or _matches(f"{path}/**")):
        return f"{path}/", f"{path}/**"
    if not has_list and not _matches(path):
        raise UserError(f"--input={text}: no such file, nor anything that it matches; ** matches any folders")
    return fixed[: fixed.rindex("/") + 1], path


def _matches(pattern):
    (match,) = FileSystems.match([pattern], [1])
    return bool(match.metadata_list)


def prepare(settings):
    """Checks the settings; returns the arguments of `build` after the pipeline, a dict."""
    output = _absolute(settings.output)
    paths = {"--model": _absolute(settings.model), "--input": settings.input, "--output": output}
    if settings.list:
        paths["--list"] = _absolute(settings.list)
    for flag, path in paths.items():
        try:
            FileSystems.get_filesystem(path)
        except ValueError as error:
            raise UserError(f"{flag}={path}: {error}") from None
    if re.search(r"[*?[]", output):
        raise UserError(f"--output={output}: Beam takes *, ? and [ for wildcards; give another name")
    try:
        config = beam_steps.read_model_config(paths["--model"])
        root, pattern = _root_and_pattern(settings.input, settings.list)
        if settings.list and not FileSystems.exists(paths["--list"]):
            raise UserError(f"--list={paths['--list']}: no such file")
    except OSError as error:
        raise UserError(f"cannot be looked up: {' '.join(str(error).split())}") from None
    if _real(f"{output}/").startswith(_real(root)):
        raise UserError(f"--output={output}: lies in the input folder {root}; give another one")
    max_memory = settings.max_memory_gb and int(settings.max_memory_gb * 1e9)
    handler = beam_steps.UpscaleHandler(paths["--model"], config, settings.quality, max_memory, settings.overwrite)
    return {
        "layout": beam_steps.Layout(root, f"{output}/", settings.format),
        "handler": handler,
        "pattern": pattern,
        "list_file": paths.get("--list"),
        "max_pixels": int(settings.max_megapixels * 1e6),
        "overwrite": settings.overwrite,
    }


def run(argv):
    """Runs the pipeline of the command line `argv` and waits for its end."""
    settings, flags = parse(argv)
    options = PipelineOptions(flags)
    if options.view_as(StandardOptions).runner is None:
        # Beam's DirectRunner would download another program, Prism, which cannot use several processes.
        options.view_as(StandardOptions).runner = "FnApiRunner"
        unknown = options.get_all_options(retain_unknown_options=True).keys() - options.get_all_options().keys()
        if unknown:  # with another runner, Beam passes it on
            raise UserError(f"--{min(unknown)}: no such flag (--help lists ours)")
    FileSystems.set_options(options)
    job = prepare(settings)
    pipeline = apache_beam.Pipeline(options=options)
    beam_steps.build(pipeline, **job)
    result = pipeline.run()
    result.wait_until_finish()
    output = job["layout"].output
    # Remove leftovers of an interrupted run or of a worker that died.
    (unfinished,) = FileSystems.match([f"{output}**{beam_steps.UNFINISHED}"])
    for metadata in unfinished.metadata_list:
        with contextlib.suppress(OSError):
            # Some file systems take the path as a pattern, and a folder's name may contain brackets.
            FileSystems.delete([re.sub(r"[*?[]", "?", metadata.path)])
    counts = {beam_steps.UPSCALED: 0, beam_steps.EXISTING: 0, beam_steps.BAD: 0}
    for counter in result.metrics().query(MetricsFilter().with_namespace(beam_steps.METRICS_NAMESPACE))["counters"]:
        counts[counter.key.metric.name] += counter.result
    say(f"{counts[beam_steps.UPSCALED]} upscaled to {output}")
    if counts[beam_steps.EXISTING]:
        print(f"{counts[beam_steps.EXISTING]} left as they are, because they exist (--overwrite replaces them)")
    if counts[beam_steps.BAD]:
        say(f"{counts[beam_steps.BAD]} bad images, listed with their reasons in {output}{beam_steps.BAD_PICTURES}")


def main(argv):
    """Runs the command line `argv`; returns the exit status."""
    return exit_status(SCRIPT, lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
