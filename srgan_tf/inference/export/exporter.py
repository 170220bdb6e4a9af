"""Writes a generator for other software, and checks it there against Keras; writes it completely or not at all."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.imaging.files import read_rgb
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.inference.export import litert, onnx, savedmodel
from srgan_tf.inference.export_formats import MAX_MEGAPIXELS, PRECISIONS, SUFFIXES
from srgan_tf.inference.networks import to_inference_network
from srgan_tf.models.generator import describe
from srgan_tf.models.registry import is_registered
from srgan_tf.system.atomic import atomic_file, atomic_folder, check_folder_target, keep_existing
from srgan_tf.system.errors import UserError
from srgan_tf.system.quiet import quiet

FORMATS: dict[str, ModuleType] = {"savedmodel": savedmodel, "onnx": onnx, "litert": litert}
# The share of values that may differ by a level. With the package's SRResNet, one in 5,000 does, since rounding of
# float32 sums depends on their order; Keras differs as much from float64. With a bug, such as truncation, most differ.
_MAX_SHARE = 1e-2


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between an exported model and the generator in Keras on a photograph.

    Attributes:
        picture: The photograph's name.
        levels: The largest difference, levels of 255.
        share: Share of the values that differ, 0 to 1.
    """

    picture: str
    levels: int
    share: float


class EightBit(tf.Module):
    """A network, see `networks`, for 8-bit images."""

    def __init__(self, network):
        super().__init__(name="eight_bit")
        self.network = network

    def __call__(self, image):
        """uint8 `(N, H, W, 3)` in [0, 255] to uint8 `(N, scale H, scale W, 3)`, rounded to nearest and clipped."""
        sr = self.network(tf.cast(image, tf.float32) / 127.5 - 1.0)
        return tf.cast(tf.clip_by_value(tf.round((sr + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def export(
    generator: keras.Model,
    path: Path | str,
    format: str = "savedmodel",
    *,
    overwrite: bool = False,
    metadata: dict[str, Any] | None = None,
    precision: str = "float32",
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Difference:
    """Writes the fused generator for other software, and checks there that its results equal Keras'.

    Every format takes uint8 RGB `(N, H, W, 3)` in [0, 255], with any N, H and W from 1, and returns uint8
    `(N, scale H, scale W, 3)`.

    - "savedmodel": a folder for TensorFlow, which does not need this package, with two signatures. `serving_default`
      takes and returns `image`, as above. `serving_bytes` takes `image_bytes`, strings `(N,)`: encoded images of mixed
      sizes (PNG, JPEG, BMP, WebP, the first of a GIF; alpha is dropped, 16 bits become 8, the orientation of EXIF is
      applied). It returns `image_bytes`, PNG. A call fails for another shape, a file that cannot be read, and a result
      with more pixels than `max_megapixels`, in this case before the file is decoded. Images larger than a tile with
      its margin are computed in tiles, with the same values. Metadata: `assets/metadata.json`.
    - "onnx": a file for ONNX Runtime, `image` to `upscaled`. Metadata: `metadata_props`.
    - "litert": a file for LiteRT, `image` to `upscaled`. Metadata: `unzip FILE metadata.json`.

    The last two compute every image as a whole, in 8 to 10 kB for each of its pixels at 64 channels and scale 4.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`, or one of `models.registry`.
        path: The folder or file; folders above it are made. A file's name must end in `.onnx` or `.tflite`.
        format: A key of `FORMATS`.
        overwrite: Whether an existing model may be replaced. Anything else is never replaced, nor a SavedModel's folder
            with other files in it.
        metadata: A dict for JSON, as of `describe_weights`; the model's shape and versions are added.
        precision: "float16" stores the weights of "litert" in half the size, with errors of up to two levels.
            "bfloat16" computes "savedmodel" in it, see `fused.FusedGenerator`, for CPUs that support it. Else
            "float32".
        max_megapixels: Of "savedmodel": the largest result of a call of `serving_default`, or of a file of
            `serving_bytes`.

    Returns:
        The `Difference`: at most 1 level, in at most 1 % of the values; with "float16" at most 2 levels, with
        "bfloat16" at most 1 on average.

    Raises:
        UserError: A package is missing; `path` is taken or cannot be written; the generator cannot be converted; or the
            results of the exported model differ from the generator's.
        ValueError: `format` is unknown, or does not have `precision`.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {tuple(FORMATS)}. Received: {format!r}")
    if PRECISIONS.get(precision, precision) not in (None, format):
        raise ValueError(f"precision must be one that {format} has, of {PRECISIONS}. Received: {precision!r}")
    if precision == "bfloat16" and is_registered(generator):
        raise UserError(f"--precision=bfloat16: {generator.name} is computed in float32; leave it out")
    path, module = Path(path), FORMATS[format]
    missing = [name for name in module.PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--format={format} needs {' and '.join(missing)}: pip install 'srgan_tf[export]'")
    exported = describe(generator) | {"format": format, "precision": precision}
    exported["versions"] = {package.__name__: package.__version__ for package in (tf, keras)}
    metadata = (metadata or {}) | {"export": exported}
    if suffix := SUFFIXES[format]:
        _check_file(path, suffix, overwrite)
        target = atomic_file(path, suffix)
    else:
        check_folder_target(path, savedmodel.PARTS, "a SavedModel", overwrite, mark=savedmodel.MAIN_FILE)
        target = atomic_folder(path)
    with target as partial:
        options = {"savedmodel": {"max_megapixels": max_megapixels}, "litert": {"float16": precision == "float16"}}
        _write(generator, module, partial, path, metadata, precision, options.get(format, {}))
        return _compare(generator, module, partial, path, precision)


def _check_file(path, suffix, overwrite):
    if not path.name.endswith(suffix):
        raise UserError(f"{path}: the file's name must end in {suffix}; give such a name")
    if path.is_dir():
        raise UserError(f"{path}: a folder; name another file")
    keep_existing(path, overwrite)


def _write(generator, module, partial, path, metadata, precision, options):
    """Writes the model to `partial`; errors name its final `path`."""
    network = to_inference_network(generator, "bfloat16" if precision == "bfloat16" else "float32")
    try:
        with quiet() as messages:
            module.write(EightBit(network), partial, metadata, **options)
    except OSError:
        raise
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be written ({error.message})") from None
    except Exception as error:  # whatever a converter may raise
        sys.stderr.write(messages[0])
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: not written, since the generator could not be converted ({reason})") from error


def _compare(generator, module, partial, path, precision):
    """Compares on a photograph and on a batch of two parts of it, on the CPU, where arithmetic is float32."""
    source = next(iter(embedded_pictures().values()))
    photograph = downscale(crop_to_multiple(read_rgb(source), 4), 4)
    inputs = [photograph[None], np.stack([photograph[:37, :52], photograph[-37:, -52:]])]
    with tf.device("CPU:0"):
        expected = [from_network(generator(to_network(image), training=False)) for image in inputs]
        with quiet():
            results = {name: [run(image) for image in inputs] for name, run in module.load(partial).items()}
    levels, share, mean = 0, 0.0, 0.0
    for name, arrays in results.items():
        for array, right in zip(arrays, expected):
            if array.shape != right.shape:
                raise _differs(path, f"in {name}, an image of {right.shape} becomes {array.shape}")
            difference = np.abs(array.astype(np.int16) - right)
            levels, share = max(levels, int(difference.max())), max(share, float(np.mean(difference > 0)))
            mean = max(mean, float(np.mean(difference)))
    if precision == "float16" and levels > 2:
        what = f"with weights in float16 it is up to {levels} of 255 levels off the generator on {source.name}"
        raise UserError(f"{path}: not written, since {what}; leave out --precision=float16")
    if precision == "bfloat16" and mean > 1:
        raise UserError(
            f"{path}: not written, since in bfloat16 it is {mean:.1f} of 255 levels off the generator on"
            f" {source.name}, on average; leave out --precision=bfloat16"
        )
    if precision == "float32" and (levels > 1 or share > _MAX_SHARE):
        raise _differs(path, f"on {source.name} by up to {levels} of 255 levels, in {share:.1e} of the values")
    return Difference(source.name, levels, share)


def _differs(path, what):
    return UserError(
        f"{path}: not written, since the exported model differs from the generator: {what}; report this line, with"
        f" TensorFlow {tf.__version__}, Keras {keras.__version__} and the weights file"
    )
