"""Generators for other software: TensorFlow's SavedModel, ONNX and LiteRT.

A module a format, each with the `PACKAGES` that it needs and two functions: `write(model, path, metadata)` writes the
model, and `load(path)` gives it back as functions by name.
"""

from srgan_tf.inference.export.exporter import FORMATS, Difference, export
from srgan_tf.inference.export.metadata import describe_weights

__all__ = ["FORMATS", "Difference", "describe_weights", "export"]
