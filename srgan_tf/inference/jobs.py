"""Runs the planned jobs one after the other, each strip by strip."""

import concurrent.futures
import contextlib
import errno
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from srgan_tf.imaging import files
from srgan_tf.imaging.header import MAX_PIXELS
from srgan_tf.imaging.raster import open_raster
from srgan_tf.imaging.raster_writer import write_raster, writer_bytes
from srgan_tf.inference.faithful import describe
from srgan_tf.inference.memory_budget import bytes_left
from srgan_tf.inference.precision import NotFiniteError
from srgan_tf.system.errors import UserError, user_errors
from srgan_tf.system.terminal import printable

_WRITE_SHARE = 8  # results are collected in 1 / _WRITE_SHARE of the allowed memory


class DiskFull(UserError):
    """The disk is full, so that the last `left` of `total` images were not tried."""

    def __init__(self, left: int, total: int):
        super().__init__(f"the disk is full; {left} of {total} images are left, which the same command continues with")
        self.left = left


def run(jobs, upscaler, *, outscale=None, quality=None, max_pixels=MAX_PIXELS, progress=None, verbose=False):
    """Upscales images. An error in one does not stop the others, except for a full disk.

    A progress bar is shown if standard error is a terminal.

    Args:
        jobs: A list of `plan.Job`.
        upscaler: An `Upscaler`.
        outscale: Scale factor of the results, above 0 and at most `upscaler.scale`, the default.
        quality: Of JPEG and WebP, 1 to 100. By default 95 and lossless.
        max_pixels: Height times width that an input may have.
        progress: Called after each tile with the number of its LR pixels.
        verbose: Whether to report on standard error how faithful every image is, if the upscaler is faithful; else only
            images that are not.

    Returns:
        A list of `UserError`, one for each image that could not be read, upscaled or written; and `DiskFull` as the
        last, if images are left.

    Raises:
        UserError: `outscale` is out of its range.
    """
    if outscale is not None and not 0 < outscale <= upscaler.scale:
        raise UserError(f"--outscale={outscale:g}: these weights upscale {upscaler.scale} times; run it twice for more")
    failures = []
    hidden = not sys.stderr.isatty()
    # The bar counts pixels instead of images, for an estimate of the remaining time.
    sizes = [0] * len(jobs) if hidden else _pixel_counts(jobs)
    options = {"outscale": outscale, "quality": quality, "max_pixels": max_pixels, "verbose": verbose}
    with tqdm(total=sum(sizes), unit="px", unit_scale=True, disable=hidden, leave=False, dynamic_ncols=True) as bar:
        remaining = bar.total
        for number, (job, size) in enumerate(zip(jobs, sizes), 1):
            remaining -= size
            if len(jobs) > 1:
                bar.set_description(f"{number} of {len(jobs)}", refresh=False)
            try:
                _upscale(job, upscaler, bar, size, progress or bar.update, **options)
            except UserError as error:
                failures.append(error)
            except MemoryError as error:
                failures.append(UserError(f"{_name(job)}: {str(error) or 'out of memory'}"))
            bar.update(bar.total - remaining - bar.n)  # what is missing after an error
            if failures and number < len(jobs) and os.strerror(errno.ENOSPC) in str(failures[-1]):
                failures.append(DiskFull(len(jobs) - number, len(jobs)))
                break
    return failures


def _pixel_counts(jobs):
    """Height times width of each input; 0 if it is not known beforehand."""

    def count(job):
        try:
            height, width = files.probe(job.source) if job.source else (0, 0)
        except UserError:  # reported when it is processed
            return 0
        return height * width

    with concurrent.futures.ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(count, jobs))


def _upscale(job, upscaler, bar, expected, progress, *, outscale, quality, max_pixels, verbose):
    scale = upscaler.scale

    def report(residual):
        if verbose or not residual.is_faithful:
            bar.write(printable(f"{_name(job)}: {describe(residual)}"), file=sys.stderr)

    left = bytes_left(upscaler.max_memory)
    with _stored(job) as source, open_raster(source, max_pixels, max_bytes=left, name=str(_name(job))) as raster:
        height, width = raster.height, raster.width
        bar.total += height * width - expected
        size = None
        if outscale not in (None, scale):
            size = max(1, round(height * outscale)), max(1, round(width * outscale))
        # A part of the allowed memory is for writing, the rest for the tiles.
        room = None if upscaler.max_memory is None else upscaler.max_memory // _WRITE_SHARE
        write_bytes = writer_bytes(raster, job.kind, height * scale, width * scale, room)
        if room is not None and job.kind == "webp" and write_bytes > upscaler.max_memory // 2:
            raise UserError(
                f"{_name(job)}: WebP is encoded as a whole, which takes {write_bytes >> 20:,} MiB here; allow more"
                " --max_memory, or take --format=png or tiff"
            )
        try:
            strips = upscaler.upscale_strips(
                raster.rows,
                height,
                width,
                raster.bands,
                raster.dtype,
                reserve=write_bytes + raster.decoder_bytes,
                progress=progress,
                on_residual=report,
            )
        except UserError as error:  # about memory, without the name of the file
            raise UserError(f"{_name(job)}: {error}") from None

        notes = write_raster(
            sys.stdout.buffer if job.target is None else job.target,
            raster,
            _named(job, strips),
            (height * scale, width * scale),
            size=size,
            kind=job.kind,
            quality=quality,
            buffer_bytes=room,
        )
    for note in notes:
        bar.write(printable(f"{_name(job)}: {note}"), file=sys.stderr)


def _named(job, strips):
    """The strips; an error of the network gets the name of the file."""
    try:
        yield from strips
    except NotFiniteError as error:
        raise UserError(f"{_name(job)}: {error}") from None


@contextlib.contextmanager
def _stored(job):
    """Yields the file of the input; standard input, which may be of any length, is copied to a temporary file."""
    if job.source is not None:
        yield job.source
        return
    with tempfile.NamedTemporaryFile(prefix="srgan_tf_") as file:
        with user_errors(_name(job), "cannot be stored"):
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        yield Path(file.name)


def _name(job):
    return "standard input" if job.source is None else job.source
