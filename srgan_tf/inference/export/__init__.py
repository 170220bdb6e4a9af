"""Exports generators for other software: TensorFlow's SavedModel, ONNX and LiteRT.

Each format has a module with the `PACKAGES` that it needs and two functions: `write(model, path, metadata)` writes the
model, and `load(path)` returns it as a dict of functions by name.
"""

from srgan_tf.inference.export.exporter import FORMATS, Difference, export
from srgan_tf.inference.export.metadata import describe_weights

__all__ = ["FORMATS", "Difference", "describe_weights", "export"]
