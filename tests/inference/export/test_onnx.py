import json

import numpy as np
import pytest

from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.export import export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def exported(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(generator, path, "onnx", metadata={"srgan_tf": "0.1", "weights": {"sha256": "0123"}})
    return path


def test_pictures_of_all_sizes_in_onnx_runtime(generator, exported):
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for shape in ((1, 75, 80), (3, 20, 25), (1, 1, 1), (2, 5, 1)):
        image = rng.integers(0, 256, (*shape, 3), np.uint8)
        (given,) = session.run(None, {"image": image})
        expected = from_network(generator(to_network(image), training=False))
        assert given.dtype == np.uint8 and given.shape == expected.shape
        apart = np.abs(given.astype(int) - expected)
        assert apart.max() <= 1 and np.count_nonzero(apart) <= max(1, 1e-4 * apart.size)


def test_the_interface(exported):
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)  # infers all shapes, too
    described = [
        (value.name, value.type.tensor_type.elem_type, [axis.dim_param or axis.dim_value for axis in axes])
        for value in (*model.graph.input, *model.graph.output)
        for axes in [value.type.tensor_type.shape.dim]
    ]
    assert described == [
        ("image", onnx.TensorProto.UINT8, ["N", "H", "W", 3]),
        ("upscaled", onnx.TensorProto.UINT8, ["N", "4*H", "4*W", 3]),
    ]
    assert [(opset.domain, opset.version) for opset in model.opset_import if opset.domain == ""] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}  # nothing that only one runtime knows


def test_the_metadata(exported):
    metadata = {prop.key: prop.value for prop in onnx.load(exported).metadata_props}
    assert metadata["srgan_tf"] == "0.1" and json.loads(metadata["weights"]) == {"sha256": "0123"}
    assert json.loads(metadata["export"])["format"] == "onnx"


def test_nothing_is_printed_and_nothing_else_written(generator, tmp_path, capfd):
    export(generator, tmp_path / "model.onnx", "onnx")
    assert capfd.readouterr() == ("", "") and [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
