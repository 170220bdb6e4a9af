"""The steps of the Beam pipeline: find the images, read them in batches, upscale them by the exported SavedModel."""

import contextlib
import dataclasses
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.io import ReadFromText
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.transforms.window import GlobalWindows

from srgan_tf.data.walk import is_leftover
from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.formats import READABLE_SUFFIXES
from srgan_tf.imaging.header import MAX_PIXELS
from srgan_tf.imaging.raster import open_raster
from srgan_tf.imaging.raster_writer import write_raster
from srgan_tf.inference.plan import output_name
from srgan_tf.system.bounded import TEXT_BYTES
from srgan_tf.system.errors import UserError
from srgan_tf.system.memory import free_host_bytes, resident_bytes

BAD_PICTURES = "bad-pictures.jsonl"
UNFINISHED = ".unfinished"  # suffix of files that are being written
METRICS_NAMESPACE = "srgan_tf"
UPSCALED, EXISTING, BAD = "upscaled", "skipped", "bad"  # the counters
_CONFIG = ("scale", "margin", "filters")
BATCH_PIXELS = 2**15  # LR pixels of a batch; a larger image is enough work alone
MAX_WAITING_BYTES = 2**26  # of files that wait for others of the same size


class Picture(NamedTuple):
    """An image to upscale: its file, the file and kind (of `formats.KINDS`) of the result, and the input's content."""

    source: str
    target: str
    kind: str
    content: bytes


class Outcome(NamedTuple):
    """The outcome for a file: `reason` says why it has no result; None if it has one."""

    source: str
    reason: str | None


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders of the images and of their results. All workers must see both.

    Attributes:
        root: The folder to which names of images are relative; ends in /.
        output: The folder of the results; ends in /.
        kind: The format of all results, a key of `formats.KINDS`; None: by each name.
    """

    root: str
    output: str
    kind: str | None = None

    def find(self, pattern):
        """Yields the results of `with_target` for the image files that a pattern matches, except for leftovers."""
        (match,) = FileSystems.match([pattern])
        for metadata in match.metadata_list:
            name = metadata.path[len(self.root) :]
            path = PurePosixPath(name)
            if path.suffix.lower() in READABLE_SUFFIXES and not any(map(is_leftover, path.parts)):
                yield from self.with_target(name)

    def with_target(self, name):
        """Yields `(name of the result, name)` of an image, both relative; or, as "bad", an `Outcome`."""
        name = name.removeprefix(self.root)
        path = PurePosixPath(name)
        if FileSystems.get_scheme(name) or path.is_absolute() or ".." in path.parts:
            yield _bad(name, f"does not lie in {self.root}, which --input names")
        elif name != (shown := name.encode(errors="backslashreplace").decode()):
            yield _bad(self.root + shown, "its name is not UTF-8; rename it")
        elif path.name:
            target = str(path.with_name(output_name(path, self.kind)[0]))
            place = self.output + target
            if place.startswith(self.root):
                yield _bad(self.root + name, f"would be written to {place}, in the input folder; give another --output")
            else:
                yield target, name

    def picture(self, target, name, content):
        _, kind = output_name(PurePosixPath(name), self.kind)
        return Picture(self.root + name, self.output + target, kind, content)


def _bad(source, reason):
    Metrics.counter(METRICS_NAMESPACE, BAD).inc()
    return beam.pvalue.TaggedOutput(BAD, Outcome(source, str(reason)))


class ReadInBatches(beam.DoFn):
    """Reads the images that have no result yet, and batches small ones of one size and type.

    Input: `(target, names)`, the grouped results of `Layout.with_target`. Output: lists of `Picture`; as "bad" the
    `Outcome` of images that cannot be upscaled, for example because of more than `max_pixels`.
    """

    def __init__(self, layout, max_pixels=MAX_PIXELS, overwrite=False):
        self._layout, self._max_pixels, self._overwrite = layout, max_pixels, overwrite

    def start_bundle(self):
        self._waiting = {}  # lists of images by height, width, bands and type
        self._waiting_bytes = 0

    def process(self, element):
        target, names = element
        first, *others = sorted(set(names))
        if others:
            for name in (first, *others):
                other = others[0] if name == first else first
                both = f"{self._layout.root}{other} would be written to {target}, too"
                yield self._bad(name, f"{both}; rename one")
        elif not self._overwrite and FileSystems.exists(self._layout.output + target):
            Metrics.counter(METRICS_NAMESPACE, EXISTING).inc()
        else:
            yield from self._read(first, target)

    def _read(self, name, target):
        try:
            content = self._content(self._layout.root + name)
            with open_raster(content, self._max_pixels) as raster:
                key = raster.height, raster.width, raster.bands, raster.dtype
        except PictureError as error:
            yield self._bad(name, error.reason)
            return
        picture = self._layout.picture(target, name, content)
        batch_size = BATCH_PIXELS // (raster.height * raster.width)
        if batch_size < 2:
            yield [picture]
            return
        batch = self._waiting.setdefault(key, [])
        batch.append(picture)
        self._waiting_bytes += len(content)
        if len(batch) == batch_size:
            del self._waiting[key]
            self._waiting_bytes -= sum(len(picture.content) for picture in batch)
            yield batch
        elif self._waiting_bytes > MAX_WAITING_BYTES:
            yield from self._waiting.values()
            self.start_bundle()

    def _content(self, source):
        limit = 2**20 + 16 * self._max_pixels  # twice the size of RGBA with 16 bits
        try:
            with _open(source) as file:
                content = file.read(limit + 1)
        except FileNotFoundError:
            raise PictureError(source, "no such file") from None
        except Exception as error:  # every file system has its own errors
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise PictureError(source, f"cannot be read ({reason})") from None
        if len(content) > limit:
            raise PictureError(source, f"more than {limit:,} bytes; allow more with --max_megapixels")
        return content

    def _bad(self, name, reason):
        return _bad(self._layout.root + name, reason)

    def finish_bundle(self):
        for batch in self._waiting.values():
            yield GlobalWindows.windowed_value_at_end_of_window(batch)
        self._waiting = {}


def read_model_config(model):
    """The `scale`, `margin` and `filters` of the network in an exported SavedModel, on any file system of Beam.

    Raises:
        UserError: There is no SavedModel of this package.
    """
    if not FileSystems.exists(f"{model}/saved_model.pb"):
        raise UserError(f"{model}: no SavedModel; `srgan export` writes one")
    asset = f"{model}/assets/metadata.json"
    if FileSystems.exists(asset):
        with _open(asset) as file, contextlib.suppress(ValueError, LookupError, TypeError):
            config = json.loads(file.read(TEXT_BYTES))["export"]
            return {name: config[name] for name in _CONFIG}
    raise UserError(f"{model}: not exported by this version of `srgan export`; export again")


class ExportedGenerator:
    """The generator of a SavedModel as a network, see `networks`.

    Args:
        folder: The SavedModel's folder on this computer.
        config: The result of `read_model_config`.
    """

    def __init__(self, folder, config):
        import tensorflow as tf  # here, since only the workers need it

        self.scale, self.margin, self.filters = (config[name] for name in _CONFIG)
        self._loaded = tf.saved_model.load(str(folder))

    def __call__(self, lr):
        return self._loaded.generate(lr)


class UpscaleHandler(ModelHandler[Picture, Outcome, object]):
    """Upscales batches of `Picture` by a SavedModel, writes the results and returns the `Outcome` of each.

    The results are written here, since that of a large image comes strip by strip and need not fit into the memory.

    Args:
        model: The SavedModel's folder, on any file system of Beam.
        config: The result of `read_model_config`.
        quality: Of JPEG and WebP, 1 to 100; None: 95 and lossless.
        max_memory: Bytes that a process may have at its peak. None: its memory after loading TensorFlow, plus the free
            memory divided by the number of processors, since most runners start a process for each; at least 512 MiB
            more.
        overwrite: Whether to replace existing results.
    """

    def __init__(self, model, config, quality=None, max_memory=None, overwrite=False):
        super().__init__(env_vars={"KERAS_BACKEND": "tensorflow"})
        self._model, self._config = model, config
        self._quality, self._max_memory, self._overwrite = quality, max_memory, overwrite

    def load_model(self):
        """The `Upscaler` of a process, which all its threads share."""
        from srgan_tf.inference.upscaler import Upscaler

        with tempfile.TemporaryDirectory() as folder:
            generator = ExportedGenerator(_local_copy(self._model, Path(folder)), self._config)
        share = max(free_host_bytes() // (os.cpu_count() or 1), 2**29)
        return Upscaler(generator, max_memory=self._max_memory or resident_bytes() + share)

    def run_inference(self, batch, model, inference_args=None):
        with contextlib.ExitStack() as stack:
            # `ReadInBatches` has checked that they are valid and small enough.
            rasters = [stack.enter_context(open_raster(picture.content, sys.maxsize)) for picture in batch]
            try:
                results = self._upscale(rasters, model)
            except (UserError, MemoryError) as error:
                return [_failure(picture, error) for picture in batch]
            return [self._write(*each, model.scale) for each in zip(batch, rasters, results)]

    def _upscale(self, rasters, model):
        """The strips of each result."""
        if len(rasters) == 1:
            (raster,) = rasters
            shape = raster.height, raster.width, raster.bands, raster.dtype
            return [model.upscale_strips(raster.rows, *shape, reserve=raster.decoder_bytes)]
        images = np.stack([raster.rows(0, raster.height) for raster in rasters])
        return [[image] for image in model.upscale_batch(images)]

    def _write(self, picture, raster, strips, scale):
        with tempfile.TemporaryDirectory(prefix="srgan_tf_") as folder:
            # First to a local file, to separate errors of the image from errors of the output.
            path = Path(folder, "picture")
            shape = raster.height * scale, raster.width * scale
            try:
                notes = write_raster(path, raster, strips, shape, kind=picture.kind, quality=self._quality)
            except (UserError, MemoryError) as error:
                return _failure(picture, error)
            write_atomically(path, picture.target, self._overwrite)
        for note in notes:
            logging.getLogger(__name__).warning("%s: %s", picture.source, note)
        Metrics.counter(METRICS_NAMESPACE, UPSCALED).inc()
        return Outcome(picture.source, None)

    def get_num_bytes(self, batch):
        return sum(len(picture.content) for picture in batch)

    def get_metrics_namespace(self):
        return f"{METRICS_NAMESPACE} model"


def _failure(picture, error):
    """The `Outcome` of an image that could not be upscaled."""
    Metrics.counter(METRICS_NAMESPACE, BAD).inc()
    return Outcome(picture.source, str(getattr(error, "reason", error)) or "out of memory")


def _local_copy(model, folder):
    """The folder of the SavedModel; if it is not on this computer, a copy in `folder`."""
    if FileSystems.get_scheme(model) is None:
        return Path(model)
    (match,) = FileSystems.match([f"{model}/**"])
    for metadata in match.metadata_list:
        path = folder / metadata.path[len(model) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(metadata.path) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
    return folder


def _open(path):
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def write_atomically(path, target, overwrite):
    """Copies a local file to any file system of Beam under a temporary name, and renames it.

    Args:
        path: The file.
        target: The final path.
        overwrite: Whether to replace an existing file; else it is kept.
    """
    folder = target[: target.rindex("/") + 1]
    partial = f"{folder}.{secrets.token_hex(8)}{UNFINISHED}"
    uncompressed = CompressionTypes.UNCOMPRESSED  # whatever the name may say
    with open(path, "rb") as file, FileSystems.create(partial, compression_type=uncompressed) as written:
        shutil.copyfileobj(file, written)
    try:
        FileSystems.rename([partial], [target])
    except OSError:
        # HDFS never replaces files. The existing file may be of a worker that was wrongly considered dead.
        if FileSystems.get_scheme(target) is None or not FileSystems.exists(target):
            raise
        if overwrite:
            FileSystems.checksum(target)  # fails for a folder, which would be deleted with its content
            FileSystems.delete([target])
            FileSystems.rename([partial], [target])
        else:
            FileSystems.delete([partial])


def build(pipeline, layout, handler, pattern=None, list_file=None, max_pixels=MAX_PIXELS, overwrite=False):
    """Adds the steps to a pipeline.

    Args:
        pipeline: A `beam.Pipeline`.
        layout: `Layout`.
        handler: `UpscaleHandler`.
        pattern: The pattern of the files to read.
        list_file: A text file with their names instead, one in each line, relative to `layout.root` or absolute.
        max_pixels: Height times width that an image may have.
        overwrite: Whether to replace existing results.
    """
    if list_file:
        names, step = pipeline | "list" >> ReadFromText(list_file) | beam.Filter(bool), layout.with_target
    else:
        names, step = pipeline | beam.Create([pattern]), layout.find
    find = beam.FlatMap(step).with_output_types(tuple[str, str])
    targets = names | "find" >> find.with_outputs(BAD, main="good")
    batches = (
        targets.good
        | beam.GroupByKey()  # this also distributes them over the workers
        | "read" >> beam.ParDo(ReadInBatches(layout, max_pixels, overwrite)).with_outputs(BAD, main="good")
    )
    upscaled = batches.good | RunInference(handler.with_no_batching())
    outcomes = (targets[BAD], batches[BAD], upscaled) | beam.Flatten()
    bad = outcomes | "bad ones" >> beam.Filter(lambda outcome: outcome.reason is not None)
    # So that without bad images an empty list replaces that of an earlier run.
    nothing = pipeline | "nothing" >> beam.Create([None])
    (
        (bad, nothing)
        | "bad ones and nothing" >> beam.Flatten()
        | beam.WithKeys(0)
        | "together" >> beam.GroupByKey()
        | beam.Values()
        | "list bad ones" >> beam.Map(_write_list, layout.output + BAD_PICTURES)
    )


def _write_list(outcomes, target):
    with tempfile.TemporaryDirectory(prefix="srgan_tf_") as folder:
        path = Path(folder, BAD_PICTURES)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(outcome._asdict()) + "\n" for outcome in outcomes if outcome)
        write_atomically(path, target, overwrite=True)
