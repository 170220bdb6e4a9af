import json
import zipfile

import numpy as np
import pytest

from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.export import export

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


@pytest.fixture(scope="module", params=["float32", "float16"])
def exported(request, generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / f"{request.param}.tflite"
    export(generator, path, "litert", metadata={"weights": {"sha256": "0123"}}, precision=request.param)
    return path


def test_pictures_of_all_sizes_in_the_interpreter(generator, exported):
    model = interpreter.Interpreter(model_path=str(exported))
    (given,) = model.get_input_details()
    assert given["dtype"] == np.uint8 and given["shape_signature"].tolist() == [-1, -1, -1, 3]
    runner = model.get_signature_runner()
    rng = np.random.default_rng(0)
    for shape in ((1, 75, 80), (3, 20, 25), (1, 1, 1), (2, 5, 1)):
        image = rng.integers(0, 256, (*shape, 3), np.uint8)
        given = runner(image=image)["upscaled"]
        expected = from_network(generator(to_network(image), training=False))
        assert given.dtype == np.uint8 and given.shape == expected.shape
        apart = np.abs(given.astype(int) - expected)
        if exported.stem == "float16":
            assert apart.max() <= 2
        else:
            assert apart.max() <= 1 and np.count_nonzero(apart) <= max(1, 1e-4 * apart.size)


def test_the_metadata_are_an_archive_at_the_end(exported):
    with zipfile.ZipFile(exported) as archive:
        assert archive.testzip() is None and archive.namelist() == ["metadata.json"]
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["weights"] == {"sha256": "0123"}
    assert (metadata["export"]["format"], metadata["export"]["precision"]) == ("litert", exported.stem)


def test_float16_takes_half_the_place(generator, tmp_path, capfd):
    sizes = {}
    for precision in ("float32", "float16"):
        path = tmp_path / f"{precision}.tflite"
        export(generator, path, "litert", precision=precision)
        sizes[precision] = path.stat().st_size
    weights = sum(np.size(weight) for weight in generator.get_weights())
    assert sizes["float32"] - sizes["float16"] > 1.5 * weights  # 2 bytes of each, but for the few that stay as they are
    assert capfd.readouterr() == ("", "") and len(list(tmp_path.iterdir())) == 2
