"""The ONNX file: for ONNX Runtime and whatever else reads ONNX."""

import json

import tensorflow as tf

PACKAGES = ("onnx", "tf2onnx", "onnxruntime")
_OPSET = 18  # the latest that tf2onnx writes


def write(model, path, metadata):
    """Writes the file: `image`, uint8 `(N, H, W, 3)`, to `upscaled`, uint8 `(N, scale H, scale W, 3)`.

    The metadata become the file's `metadata_props`, as JSON where they are not text.
    """
    import onnx
    import tf2onnx

    signature = [tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")]
    function = tf.function(lambda image: {"upscaled": model(image)}, input_signature=signature)
    exported, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    _name_axes(exported.graph.input[0], ("N", "H", "W"))
    _name_axes(exported.graph.output[0], ("N", f"{model.network.scale}*H", f"{model.network.scale}*W"))
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(exported, texts)
    onnx.checker.check_model(exported)
    onnx.save(exported, path)


def load(path):
    """The file in ONNX Runtime, on the processor: a function from uint8 to uint8 `(N, scale H, scale W, 3)`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return {"ONNX Runtime": lambda pictures: session.run(["upscaled"], {"image": pictures})[0]}


def _name_axes(value, names):
    for axis, name in zip(value.type.tensor_type.shape.dim, names):
        axis.dim_param = name
