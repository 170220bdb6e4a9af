"""Plans which images are read and where each is written, before anything is computed."""

import dataclasses
import fnmatch
import glob
import os
import stat
import sys
from pathlib import Path

from srgan_tf.data.walk import find_pictures, is_leftover, is_picture
from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.formats import KINDS, READABLE_SUFFIXES, SUFFIXES
from srgan_tf.system.atomic import check_name, check_writable, file_id
from srgan_tf.system.errors import UserError, reason

STREAM = "-"  # instead of a file's name: standard input or output
_SUFFIX = {kind: suffix for suffix, kind in reversed(SUFFIXES.items())}  # of each kind, the first in SUFFIXES
_DEVICE_FOLDERS = ("/dev", "/dev/fd", "/proc/self/fd")  # not for temporary files


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to upscale.

    Attributes:
        source: The file to read; None is standard input.
        target: The file to write; None is standard output.
        kind: The format to write, a key of `KINDS`.
    """

    source: Path | None
    target: Path | None
    kind: str


def plan(source, target, kind=None, overwrite=False, on_error=None):
    """Finds what to read and where to write it.

    Args:
        source: A file; a folder, searched as `find_pictures` does; a pattern, in which `*`, `?` and `[...]` match parts
            of a name and `**` matches folders of any depth; or `-`.
        target: A file, a folder or `-` if `source` is a file or `-`, else a folder. In it the images have the same
            relative paths as in the source folder, or in the part of the pattern before the first wildcard.
        kind: A key of `KINDS`. By default that of the target's suffix; in a folder that of the source's suffix, and PNG
            for GIF and unknown suffixes; on standard output PNG.
        overwrite: Also write what exists already.
        on_error: See `find_pictures`.

    Returns:
        `(jobs, skipped)`: two lists of `Job`; the targets of the second exist and are not replaced.

    Raises:
        UserError: There is nothing to read; a target cannot be written to; two images would be written to one file; or
            a result would replace an input, or become an input of the next run.
    """
    source_type = _source_type(source)
    many = source_type in ("folder", "pattern")
    if many:
        found = _many(source, source_type, target, kind, on_error)
    else:
        found = [_single(None if source_type == "stream" else Path(source), target, kind)]
    jobs, skipped = _split_existing(found, overwrite)
    if jobs and target != STREAM:
        check_writable(Path(target) if many else jobs[0].target.parent, folder=True)
    return jobs, skipped


def output_name(path, kind=None):
    """The name of an output in a folder, and its kind.

    Args:
        path: The input's `PurePath`.
        kind: A key of `KINDS`; None: by the suffix of the input, and PNG for GIF and unknown suffixes.
    """
    own = SUFFIXES.get(path.suffix.lower())
    kind = kind or own or "png"
    if kind == own:
        return path.name, kind
    known = path.suffix.lower() in READABLE_SUFFIXES
    return (path.stem if known else path.name) + _SUFFIX[kind], kind


def _source_type(source):
    if source == STREAM:
        if sys.stdin is None or sys.stdin.isatty():
            raise UserError(
                "-: nothing comes in; pipe an image into it, as in `cat photo.jpg | srgan upscale - large.png`"
            )
        return "stream"
    try:
        mode = os.stat(source).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if glob.has_magic(source):
            return "pattern"
        raise UserError(f"{source}: no such image or folder; the input must be one") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({reason(error)})") from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise UserError(f"{source}: not a regular file; - as the input reads standard input")
    return "folder" if stat.S_ISDIR(mode) else "file"


def _is_folder(target):
    return target.endswith(("/", os.sep)) or os.path.isdir(target)


def _single(source, target, kind):
    if target == STREAM:
        if sys.stdout is None or sys.stdout.isatty():
            raise UserError("-: would print the image on the terminal; redirect it, as in `> large.png`")
        return Job(source, None, kind or "png")
    if _is_folder(target):
        if source is None:
            raise UserError(
                f"{target}: a folder, but standard input has no name to write by; give a file as the output"
            )
        name, kind = output_name(source, kind)
        return Job(source, Path(target, name), kind)
    target = Path(target)
    if os.path.abspath(target.parent) in _DEVICE_FOLDERS or (os.path.exists(target) and not os.path.isfile(target)):
        raise UserError(f"{target}: not a regular file; - as the output writes to standard output")
    named = SUFFIXES.get(target.suffix.lower())
    if kind and named and kind != named:
        raise UserError(f"{target}: named as {KINDS[named]}, but --format={kind}; change one or leave --format out")
    if not kind and not named:
        raise UserError(
            f"{target}: not a kind of image that can be written; end the output in .png, .jpg, .webp, .tif or .bmp,"
            " or in / for a folder"
        )
    return Job(source, target, kind or named)


def _many(source, source_type, target, kind, on_error):
    """The jobs of a folder or of a pattern."""
    described = f"{source} is a {source_type}"
    if target == STREAM:
        raise UserError(f"{source}: a {source_type}, but standard output takes one image; give a folder as the output")
    if os.path.exists(target) and not os.path.isdir(target):
        raise UserError(f"{target}: a file, but {described}; give a folder as the output")
    if not _is_folder(target) and Path(target).suffix.lower() in READABLE_SUFFIXES:
        raise UserError(f"{target}: named as an image, but {described}; if it shall be a folder, add a /")
    base, wildcards = (Path(source), ()) if source_type == "folder" else _split_pattern(source)
    problems = []
    paths = _find_matches(base, wildcards, problems.append) if wildcards else find_pictures(base, problems.append)
    for problem in problems:
        if on_error is None or not paths:
            raise problem
        on_error(problem)
    if not paths:
        problem = "no images in it" if source_type == "folder" else "matches no image (** matches any folders)"
        raise UserError(f"{source}: {problem}; give another input")
    outputs = {}
    for path in paths:
        name, own_kind = output_name(path, kind)
        output = Path(target, path.relative_to(base).parent, name)
        other = outputs.setdefault(output, Job(path, output, own_kind)).source
        if other != path:
            raise UserError(f"{path} and {other}: would both be written to {output}; rename one")
    _check_outside(base, wildcards, outputs, Path(target))
    return list(outputs.values())


def _split_pattern(pattern):
    """The existing folder at the start of a pattern, whose name may contain brackets, and the parts after it."""
    base, parts = Path(), list(Path(pattern).parts)
    while os.path.isdir(base / parts[0]):
        base /= parts.pop(0)
    if not glob.has_magic(parts[0]):
        raise UserError(f"{base / parts[0]}: no such folder; the input must be an image, a folder or a pattern")
    return base, tuple(parts)


def _find_matches(base, wildcards, on_error):
    """The images that match, sorted by their path relative to `base`."""
    if "**" in wildcards:  # not by glob, which follows circular links endlessly
        return [path for path in find_pictures(base, on_error) if _matches(path.relative_to(base).parts, wildcards)]
    for depth in range(1, len(wildcards)):  # glob silently skips folders that it may not read
        for path in _glob(base, wildcards[:depth]):
            if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
                on_error(PictureError(path, "cannot be read (Permission denied)"))
    pictures = (path for path in _glob(base, wildcards) if is_picture(path) and not _is_special(path))
    return sorted(pictures, key=lambda path: path.relative_to(base).as_posix())


def _glob(base, wildcards):
    """Yields the paths that match, except for leftovers of other programs."""
    for name in glob.iglob(os.path.join(*wildcards), root_dir=base):
        if not any(is_leftover(part) and glob.has_magic(own) for part, own in zip(Path(name).parts, wildcards)):
            yield Path(base, name)


def _is_special(path):
    """Whether it is a folder, a pipe or the like. A broken link is not, so that it is reported later."""
    return os.path.exists(path) and not os.path.isfile(path)


def _matches(parts, wildcards):
    if not wildcards:
        return not parts
    if wildcards[0] == "**":
        return any(_matches(parts[number:], wildcards[1:]) for number in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], wildcards[0]) and _matches(parts[1:], wildcards[1:])


def _check_outside(base, wildcards, outputs, target):
    """Refuses outputs that the next run would find as inputs, also through links."""
    real = target.resolve()
    for folder in {base, *(job.source.parent for job in outputs.values())}:
        searched = folder.resolve()
        if real.is_relative_to(searched):
            relative = folder.relative_to(base) / real.relative_to(searched)
            if any(_matches((relative / output.relative_to(target)).parts, wildcards or ("**",)) for output in outputs):
                raise UserError(f"{target}: lies in the input folder {base}; give an output outside it")


def _split_existing(jobs, overwrite):
    """The jobs to do, and those whose target exists."""
    inputs = {file_id(job.source): job.source for job in jobs if job.source}
    to_do, done, places = [], [], {}
    for job in jobs:
        existing = file_id(job.target) if job.target else None
        if existing and existing in inputs:
            raise UserError(f"{job.target}: would replace the input {inputs[existing]}; give another output")
        if job.target:
            check_name(job.target)
            other = places.setdefault(os.path.realpath(job.target), job.target)
            if other != job.target:
                raise UserError(f"{job.target}: is the same file as {other}; remove the link")
        (done if existing and not overwrite else to_do).append(job)
    return to_do, done
