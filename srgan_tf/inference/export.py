"""Writes a generator as a SavedModel, which needs TensorFlow but none of this project's code."""

import os
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.errors import UserError
from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.imaging.files import read_rgb
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.inference.upscaler import upscale_batch_function

SAVED_MODEL = "saved_model.pb"  # the file that makes a folder a SavedModel
_APART = 1e-5  # share of the values that may be one level apart: float32 rounds halves either way


def _check_target(folder, overwrite):
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: a file, not a folder; name another one to export to")
    if not (folder / SAVED_MODEL).is_file():
        raise UserError(f"{folder}: not empty and no SavedModel; name another folder to export to")
    if not overwrite:
        raise UserError(f"{folder}: holds a SavedModel already; --overwrite replaces it")


def export_savedmodel(generator, folder, overwrite=False):
    """Writes a SavedModel and checks that it gives what the generator gives.

    Its signature `serving_default` takes `image`, uint8 `(N, H, W, 3)` RGB in [0, 255] of any N, H and W, and returns
    `{"image": uint8 (N, scale H, scale W, 3)}`. The folder is complete and checked, or it is not there.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`.
        folder: Where to; made, with the folders above it.
        overwrite: Replace a SavedModel that lies there. Anything else there is never replaced.

    Raises:
        UserError: `folder` is taken or cannot be written; or, loaded back, the model gives something else than the
            generator.
    """
    folder = Path(folder)
    _check_target(folder, overwrite)
    module = tf.Module()
    module.state = [variable.value for variable in generator.variables]
    upscale_batch = upscale_batch_function(generator)

    @tf.function(input_signature=upscale_batch.input_signature)
    def serve(image):
        return {"image": upscale_batch(image)}

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name[:100]}.", dir=folder.parent) as beside:
            exported, replaced = Path(beside, "exported"), Path(beside, "replaced")
            tf.saved_model.save(module, str(exported), signatures={"serving_default": serve})
            _check(generator, exported, folder)
            if folder.exists():
                os.replace(folder, replaced)
            os.replace(exported, folder)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or error
        raise UserError(f"{folder}: cannot be written ({reason})") from None


def _check(generator, exported, folder):
    """Compares on a photograph, on the processor, whose arithmetic does not depend on how a library was tuned."""
    path = next(iter(embedded_pictures().values()))
    image = downscale(crop_to_multiple(read_rgb(path), 4), 4)[None]
    with tf.device("CPU:0"):
        expected = from_network(generator(to_network(image), training=False))
        serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
        given = serve(image=tf.constant(image))["image"].numpy()
    apart = np.abs(given.astype(np.int16) - expected)
    if apart.max() > 1 or np.mean(apart > 0) >= _APART:
        raise UserError(
            f"{folder}: not written, since the exported model differs from the generator on {path.name}: by up to"
            f" {apart.max()} of 255 levels, in {np.mean(apart > 0):.1e} of the values; report this line, with"
            f" TensorFlow {tf.__version__}, Keras {keras.__version__} and the weights file"
        )
