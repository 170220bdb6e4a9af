"""The formats of exported models, apart from the exporters, which import TensorFlow."""

SUFFIXES = {"savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}  # of the file's name; "" for a folder
