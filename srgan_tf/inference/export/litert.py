"""The LiteRT file, formerly TensorFlow Lite: for phones, browsers and small computers."""

import json
import os
import zipfile

import tensorflow as tf

PACKAGES = ("ai_edge_litert",)
METADATA = "metadata.json"  # in the archive at the file's end


def write(model, path, metadata, float16=False):
    """Writes the file: `image`, uint8 `(N, H, W, 3)`, to `upscaled`, uint8 `(N, scale H, scale W, 3)`.

    The metadata are packed like LiteRT's associated files: a ZIP archive at the end, which `unzip` and `zipfile` can
    read and the interpreter ignores. With `float16` the weights take half the size; a CPU still computes in float32, a
    GPU may compute in float16.
    """
    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")]
    function = tf.function(lambda image: {"upscaled": model(image)}, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, json.dumps(metadata, indent=2) + "\n")


def load(path):
    """The file in LiteRT's interpreter: a function from uint8 to uint8 `(N, scale H, scale W, 3)`."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=path.read_bytes(), num_threads=os.cpu_count()).get_signature_runner()
    return {"LiteRT": lambda pictures: runner(image=pictures)["upscaled"].copy()}
