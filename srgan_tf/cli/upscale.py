"""`srgan upscale`: upscales images of any kind and number."""

import dataclasses
import glob
import os
import sys
from pathlib import Path

from srgan_tf.cli.command_line import report_failures
from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.cli.shared import (
    BLENDED_NOTE,
    ENSEMBLE_HELP,
    FAITHFUL_HELP,
    MODEL_HELP,
    ONE_WEIGHTS_HELP,
    STRENGTH_HELP,
    TOWARD_HELP,
    Limits,
    check_dial,
    one_weights,
    precision_notes,
)
from srgan_tf.evaluation.systems import DEFAULT_SCALE, SELFEX, load_upscaler
from srgan_tf.imaging.formats import KINDS, kind_of
from srgan_tf.inference.plan import STREAM, output_name, plan
from srgan_tf.system.atomic import check_writable, keep_existing
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.system.terminal import say
from srgan_tf.weights import DIAL, DIAL_X2, dial_for


@dataclasses.dataclass(frozen=True)
class Settings(Limits):
    """Upscale an image, a folder, or all that a pattern names.

    srgan upscale photo.jpg                            writes photo_x4.jpg beside it
    srgan upscale photo.jpg large.png
    srgan upscale photos/ large/ --format=webp
    srgan upscale 'photos/**/*.jpg' large/ --outscale=2
    srgan upscale photo.jpg --strength=0.5             half as sharp as it can be, with fewer invented details
    cat photo.jpg | srgan upscale - - > large.png
    """

    input: str = setting(
        "",
        "what to upscale: an image; a folder, with its subfolders; a pattern in quotes, such as 'photos/**/*.jpg', in"
        " which ** stands for any folders; or - for standard input",
        positional="INPUT",
        required=True,
    )
    output: str = setting(
        "",
        "where to: an image, whose ending says its format; a folder, in which the images lie as in the input folder; or"
        " - for standard output (empty: beside the one image, named by its scale factor: photo_x4.jpg)",
        positional="OUTPUT",
    )
    weights: str = setting(
        "", f"{ONE_WEIGHTS_HELP} (empty: {DIAL[1]}; {DIAL_X2[1]} if --outscale is at most 2)", once=True
    )
    model: str = setting("", f"{MODEL_HELP}; in the place of the weights", choices=("", SELFEX))
    faithful: bool = setting(False, FAITHFUL_HELP)
    strength: float = setting(AUTO, f"{STRENGTH_HELP} (auto: the network of --weights)", lower=0, upper=1)
    toward: str = setting("", TOWARD_HELP, once=True)
    ensemble: bool = setting(False, ENSEMBLE_HELP)
    invented: str = setting(
        "", "file for a map of one image: where the network invents detail and how large its error is to be expected"
    )
    outscale: float = setting(
        AUTO, "scale factor, up to the network's, such as 2 or 2.5: its output is downscaled (auto: the network's, 4)"
    )
    format: str = setting(
        AUTO,
        "format of the output (auto: as the name of the output says; in a folder, or without a name, the input's,"
        " but PNG for GIF; to standard output PNG)",
        choices=(AUTO, *KINDS),
    )
    quality: int = setting(AUTO, "quality of JPEG and WebP (auto: 95, lossless)", lower=1, upper=100)
    max_megapixels: float = setting(
        256.0,
        "larger inputs are refused as decompression bombs: small files made to fill the memory or to run for hours",
        lower=0,
    )
    overwrite: bool = setting(
        False,
        "replace existing files; by default existing files are skipped, so the same command resumes an interrupted run",
    )
    verbose: bool = setting(False, "say of each image how faithful it was made, with --faithful")

    def limits(self):
        return super().limits() | {"faithful": self.faithful}

    def checked(self):
        if self.outscale != AUTO and self.outscale <= 0:
            raise UsageError(f"--outscale={self.outscale:g}: must be above 0")
        if self.verbose and not self.faithful:
            raise UsageError("--verbose is about --faithful; leave it out or give both")
        if self.model and self.weights:
            raise UsageError(f"upscale takes --model={self.model} or --weights, not both")
        if self.model and (self.toward or self.strength != AUTO):
            raise UsageError(f"--strength is between networks, and --model={self.model} is none; leave one out")
        self._check_map()
        check_dial(self, self.weights, unless_auto(self.strength))
        if not self.output and not _is_one_picture(self.input):
            raise UsageError(f"{self.input}: give an OUTPUT, too, a folder or - (--help shows examples)")
        return super().checked()

    def _check_map(self):
        if self.invented and not _is_one_picture(self.input):
            raise UsageError("--invented is the map of one image; give a file as INPUT")
        if self.invented and Path(self.invented).resolve() in (Path(self.input).resolve(), Path(self.output).resolve()):
            raise UsageError(f"--invented={self.invented}: is the input or the output; give another file")

    def networks(self):
        """`[weights, toward]`: the files of the only network, or of that at strength 0, and of that at strength 1; None
        for no network."""
        given = [self.weights, self.toward]
        if not self.weights and not self.model:
            smooth, sharp = dial_for(unless_auto(self.outscale))
            given = [sharp, ""] if self.strength == AUTO else [smooth, sharp]
        return [one_weights(text)[1] if text else None for text in given]

    def check_map_target(self, jobs):
        """Refuses, before anything is computed, a place that the map cannot be written to, such as a result's."""
        if not self.invented:
            return
        path = Path(self.invented)
        if path.resolve() in [job.target.resolve() for job in jobs if job.target]:
            raise UsageError(f"--invented={path}: is where the upscaled image is written; give another file")
        if path.is_dir():
            raise UserError(f"{path}: a folder; name a file for the map")
        kind_of(path)
        keep_existing(path, self.overwrite)
        check_writable(path)


def run(settings):
    """Upscales an image, or every image of a folder or pattern into the same relative paths of another folder."""
    weights, toward = settings.networks()
    system, upscaler = settings.model or weights, None
    options = settings.limits() | {"ensemble": settings.ensemble}
    options |= {"toward": toward, "strength": unless_auto(settings.strength)}
    output, scale = settings.output, unless_auto(settings.outscale)
    if not output:
        if settings.weights and not scale:
            upscaler = load_upscaler(weights, **options)
            scale = upscaler.scale
        output = _beside(Path(settings.input), scale or DEFAULT_SCALE, unless_auto(settings.format))
    unreadable: list = []
    jobs, skipped = plan(settings.input, output, unless_auto(settings.format), settings.overwrite, unreadable.append)
    if settings.quality != AUTO and jobs and not {"jpeg", "webp"} & {job.kind for job in jobs}:
        raise UsageError(f"--quality is about JPEG and WebP, not {jobs[0].kind}; leave it out, or set --format")
    if settings.faithful and (lossy := [job for job in jobs if _is_lossy(job.kind, settings.quality)]):
        where, kind = lossy[0].target or output, KINDS[lossy[0].kind]
        raise UsageError(f"{where}: {kind} would change the pixels again after --faithful; write PNG, --format=png")
    settings.check_map_target(jobs + skipped)
    failures, left = [], 0
    if jobs:
        upscaler = upscaler or load_upscaler(system, **options)
        _check_fits(settings, upscaler, system)
        from srgan_tf.inference.jobs import DiskFull
        from srgan_tf.inference.jobs import run as run_jobs

        failures = run_jobs(
            jobs,
            upscaler,
            outscale=unless_auto(settings.outscale),
            quality=unless_auto(settings.quality),
            max_pixels=int(settings.max_megapixels * 1e6),
            verbose=settings.verbose,
        )
        left = sum(error.left for error in failures if isinstance(error, DiskFull))
    if output != STREAM:
        failed = len(failures) - (left > 0)
        done = len(jobs) - failed - left
        say(*_summary(output, jobs, skipped, done, {"failed": failed, "left": left, "unreadable": len(unreadable)}))
        if done:
            _say_how(upscaler)
    if settings.invented and not failures:
        failures = _write_map(settings, upscaler or load_upscaler(system, **options))
    return report_failures(unreadable + failures)


def _check_fits(settings, upscaler, system):
    """Refuses settings that the network does not support."""
    if settings.faithful and settings.outscale not in (AUTO, upscaler.scale):
        raise UsageError(f"--faithful is about the network's own scale factor, {upscaler.scale}; leave --outscale out")
    if settings.precision not in (AUTO, upscaler.precision):
        raise UsageError(f"--precision={settings.precision}: {system} is computed in float32; leave it out")


def _is_one_picture(source):
    return source != STREAM and not os.path.isdir(source) and (os.path.exists(source) or not glob.has_magic(source))


def _say_how(upscaler):
    say(*precision_notes([upscaler]))
    if upscaler.blended:
        say(BLENDED_NOTE)


def _write_map(settings, upscaler):
    from srgan_tf.inference.invention import write_map

    try:
        invention = write_map(settings.input, settings.invented, upscaler, int(settings.max_megapixels * 1e6))
    except MemoryError as error:
        return [UserError(f"{settings.input}: {str(error) or 'out of memory'}")]
    say(f"{settings.invented}: {invention}", file=sys.stderr if settings.output == STREAM else sys.stdout)
    return []


def _is_lossy(kind, quality):
    return kind == "jpeg" or kind == "webp" and quality != AUTO


def _beside(path, scale, kind):
    """The name of the upscaled image beside the image: photo_x4.jpg."""
    name = Path(output_name(path, kind)[0])
    return str(path.with_name(f"{name.stem}_x{scale:g}{name.suffix}"))


def _summary(output, jobs, skipped, done, others):
    """The lines that say what was done."""
    if done or len(jobs) > 1 or others["unreadable"]:
        yield f"{done} upscaled to {output}" + "".join(f", {count} {what}" for what, count in others.items() if count)
    if len(skipped) > 1 or skipped and jobs:
        yield f"{len(skipped)} left as they are, because they exist (--overwrite replaces them)"
    elif skipped:
        yield f"{skipped[0].target} exists already and is left as it is (--overwrite replaces it)"
