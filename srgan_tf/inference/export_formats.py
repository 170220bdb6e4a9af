"""The formats of exported models; separate from the exporters, which import TensorFlow."""

SUFFIXES = {"savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}  # of the file's name; "" for a folder
# Number formats, and the only format that has each: the weights of LiteRT, the arithmetic of a SavedModel.
PRECISIONS = {"float32": None, "float16": "litert", "bfloat16": "savedmodel"}
MAX_MEGAPIXELS = 256.0  # of the result of a request to a SavedModel
