"""The SavedModel: for TensorFlow, TensorFlow Serving and Beam, with memory that does not grow with the image."""

import json
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from srgan_tf.inference.export.encoded import decode_upright, require
from srgan_tf.inference.export_formats import MAX_MEGAPIXELS

PACKAGES = ()
MAIN_FILE = "saved_model.pb"  # every SavedModel has it
PARTS = {MAIN_FILE, "fingerprint.pb", "variables", "assets"}  # all that `write` creates
METADATA = "metadata.json"  # in the folder "assets"
# Side of the tiles of large images, LR pixels without the margin. With the margin of 16 blocks, a tile takes 0.7 GiB (a
# megapixel at once would take 7 GiB), and tiles make 1.7 times the work.
TILE = 256


def write(model, path, metadata, max_megapixels=MAX_MEGAPIXELS):
    """Writes the SavedModel with its two signatures, which refuse results larger than `max_megapixels`."""
    any_size, network = _any_size(model, TILE), model.network
    pictures = tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")
    files = tf.TensorSpec((None,), tf.string, name="image_bytes")
    most = max_megapixels * 1e6 / network.scale**2

    @tf.function(input_signature=[pictures])
    def serving_default(image):
        # TensorFlow does not compare rank and channels of a request with the signature, and kernels would crash.
        image = tf.ensure_shape(image, pictures.shape)
        size = tf.reduce_prod(tf.cast(tf.shape(image)[:3], tf.float64))
        some = require(size > 0, "image has no pixels: its shape is", tf.shape(image))
        few = require(size <= most, "image is larger than this model takes, in pixels:", size, most)
        with tf.control_dependencies([some, few]):
            return {"image": any_size(tf.identity(image))}

    def upscale_file(content):
        return tf.io.encode_png(any_size(decode_upright(content, most)[None])[0])

    @tf.function(input_signature=[files])
    def serving_bytes(image_bytes):
        image_bytes = tf.ensure_shape(image_bytes, files.shape)
        # TensorFlow Serving's REST API encodes outputs in base64 if their name ends in "_bytes".
        sr = tf.map_fn(upscale_file, image_bytes, fn_output_signature=tf.string, parallel_iterations=1)
        return {"image_bytes": sr}

    with tempfile.TemporaryDirectory() as folder:
        asset = Path(folder, METADATA)
        exported = {"margin": network.margin, "max_megapixels": max_megapixels}
        metadata = metadata | {"export": metadata.get("export", {}) | exported}
        asset.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
        module = tf.Module()
        # Not a signature, but called by Beam's workers: for 16 bits, and for gray, whose mean is rounded last.
        module.generate = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
        module.metadata = tf.saved_model.Asset(str(asset))
        signatures = {"serving_default": serving_default, "serving_bytes": serving_bytes}
        tf.saved_model.save(module, str(path), signatures=signatures)


def load(path):
    """The two signatures, by name, as functions from uint8 `(N, H, W, 3)` to uint8 `(N, scale H, scale W, 3)`."""
    loaded = tf.saved_model.load(str(path))

    def serving_default(pictures):
        return loaded.signatures["serving_default"](image=tf.constant(pictures))["image"].numpy()

    def serving_bytes(pictures):
        files = tf.stack([tf.io.encode_png(picture) for picture in pictures])
        upscaled = loaded.signatures["serving_bytes"](image_bytes=files)["image_bytes"]
        return np.stack([tf.io.decode_png(file).numpy() for file in upscaled])

    return {"serving_default": serving_default, "serving_bytes": serving_bytes}


def _any_size(model, side):
    """`model`, an `exporter.EightBit`, for images of every size: a batch that has no more pixels than a tile with its
    margin is computed at once, larger images in tiles of at most `side` LR pixels without the margin."""
    scale, margin = model.network.scale, model.network.margin
    most = (side + 2 * margin) ** 2
    pictures = tf.TensorSpec((None, None, None, 3), tf.uint8)
    at_once = tf.function(model, input_signature=[pictures])

    def tile(picture, top, bottom, left, right):
        above, before = tf.maximum(top - margin, 0), tf.maximum(left - margin, 0)
        # Cut off at the image's border, where the network pads anyway.
        sr = at_once(picture[None, above : bottom + margin, before : right + margin])[0]
        rows = slice((top - above) * scale, (bottom - above) * scale)
        return sr[rows, (left - before) * scale : (right - before) * scale]

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def in_tiles(picture):
        height, width = tf.shape(picture)[0], tf.shape(picture)[1]
        down, across = -(-height // side), -(-width // side)
        strips = _array(down)
        for row in tf.range(down):
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)  # to save memory
            top, bottom = height * row // down, height * (row + 1) // down
            columns = _array(across)
            for column in tf.range(across):
                tf.autograph.experimental.set_loop_options(parallel_iterations=1)
                left, right = width * column // across, width * (column + 1) // across
                part = tile(picture, top, bottom, left, right)
                columns = columns.write(column, tf.transpose(part, (1, 0, 2)))
            strips = strips.write(row, tf.transpose(columns.concat(), (1, 0, 2)))
        return strips.concat()

    def one(picture):
        if tf.size(picture) // 3 <= most:
            return at_once(picture[None])[0]
        return in_tiles(picture)

    @tf.function(input_signature=[pictures])
    def any_size(image):
        if tf.size(image) // 3 <= most:
            return at_once(image)
        return tf.map_fn(one, image, parallel_iterations=1)

    return any_size


def _array(count):
    """A `TensorArray` for so many parts of an image, to be concatenated along their first axis."""
    return tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None, 3))
