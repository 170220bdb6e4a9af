"""The faces' experiment with a tiny network and drawn faces."""

import contextlib
import json
import os
import sqlite3
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw
from tensorflow.core.protobuf import saved_model_pb2

import evaluate
from srgan_tf.evaluation import facenet, faces
from srgan_tf.evaluation.facenet import Embedder, standardised
from srgan_tf.imaging.resize import imresize, upscale_bicubic
from srgan_tf.system.errors import UserError

KERNEL = np.random.default_rng(0).normal(size=(75, 16)).astype(np.float32)


def _vectors(values):
    """What the tiny network makes of standardised faces: the means of 5x5 parts, mixed."""
    parts = values.reshape(-1, 5, 32, 5, 32, 3).mean(axis=(2, 4))
    vectors = parts.reshape(-1, 75) @ KERNEL
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _frozen(path, phase=True, fixed=None, queue=False, names=("input", "embeddings")):
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.float32, (fixed, 160, 160, 3), "images" if queue else names[0])
        given = tf.identity(given, names[0]) if queue else given
        training = tf.compat.v1.placeholder(tf.bool, (), "phase_train") if phase else tf.constant(False)
        given = tf.where(training, tf.zeros_like(given), given)
        parts = tf.reshape(tf.nn.avg_pool2d(given, 32, 32, "VALID"), (fixed or -1, 75))
        tf.identity(parts @ tf.constant(KERNEL), names[1])
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def _keras_model():
    layers = [keras.Input((160, 160, 3)), keras.layers.AveragePooling2D(32), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(16, use_bias=False)])
    model.layers[-1].set_weights([KERNEL])
    return model


def _model(kind, path):
    if kind == "keras":
        _keras_model().save(path / "net.keras")
        return path / "net.keras"
    if kind == "savedmodel":
        _keras_model().export(path / "net", verbose=False)
        return path / "net"
    options = {"without phase_train": {"phase": False}, "one at once": {"fixed": 1}, "queue": {"queue": True}}
    return _frozen(path / "net.pb", **options.get(kind, {}))


@pytest.mark.parametrize("kind", ["frozen", "without phase_train", "one at once", "queue", "keras", "savedmodel"])
def test_every_form_of_a_model_gives_the_same_vectors(tmp_path, kind):
    pixels = np.random.default_rng(1).integers(0, 256, (35, 160, 160, 3), np.uint8)
    embedder = Embedder(_model(kind, tmp_path))
    assert embedder.batch_size == (1 if kind == "one at once" else 32)
    assert embedder.standardisation == "fixed"
    np.testing.assert_allclose(embedder(pixels), _vectors((pixels - 127.5) / 128), atol=1e-5)


def test_standardisation_suits_the_file(tmp_path):
    embedder = Embedder(_frozen(tmp_path / "20170512-110547.pb"))
    assert embedder.standardisation == "per-image"
    assert Embedder(_frozen(tmp_path / "20170512-110547.pb"), "fixed").standardisation == "fixed"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
    values = standardised(pixels, "per-image")
    np.testing.assert_allclose(embedder(pixels), _vectors(values), atol=1e-5)
    np.testing.assert_allclose([values.mean(axis=(1, 2, 3)), values.std(axis=(1, 2, 3))], [[0, 0], [1, 1]], atol=1e-4)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: path / "none.pb", "no such model"),
        (lambda path: path.joinpath("net.pb").write_bytes(b"no graph") and path / "net.pb", "not a model|no tensor"),
        (lambda path: _frozen(path / "net.pb", names=("input", "logits")), "no tensor embeddings:0"),
        (lambda path: _frozen(path / "net.pb", names=("pictures", "embeddings")), "no tensor input:0"),
        (lambda path: path.joinpath("net.keras").write_bytes(b"no zip") and path / "net.keras", "not a model"),
        (lambda path: path, "not a model"),
    ],
)
def test_what_is_no_facenet_is_one_line(tmp_path, make, said):
    with pytest.raises(UserError, match=said) as error:
        Embedder(make(tmp_path))
    assert "\n" not in str(error.value)


def _hostile(path, insert):
    """A frozen FaceNet with an operation: `insert` gives its result, which is added to the input."""
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.float32, (None, 160, 160, 3), "input")
        given = insert(given, path.parent / "written")
        parts = tf.reshape(tf.nn.avg_pool2d(given, 32, 32, "VALID"), (-1, 75))
        tf.identity(parts @ tf.constant(KERNEL), "embeddings")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def _write(path):
    return tf.raw_ops.WriteFile(filename=str(path), contents="taken")


def _control(given, path):
    with tf.control_dependencies([_write(path)]):
        return tf.identity(given)


def _function(given, path):
    @tf.function
    def call(given):
        with tf.control_dependencies([_write(path)]):
            return tf.identity(given)

    return call(given)


HOSTILE = {
    "WriteFile": _control,
    "ReadFile": lambda given, path: (
        given + tf.cast(tf.strings.length(tf.raw_ops.ReadFile(filename=str(path))), tf.float32)
    ),
    "PyFunc": lambda given, path: given + tf.compat.v1.py_func(lambda: path.touch() or 1.0, [], tf.float32),
    "MatchingFiles": lambda given, path: (
        given + tf.cast(tf.size(tf.raw_ops.MatchingFiles(pattern=str(path))), tf.float32)
    ),
    "ReadVariableOp": lambda given, path: (
        given
        + tf.raw_ops.ReadVariableOp(
            resource=tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=(), shared_name="v"), dtype=tf.float32
        )
    ),
    "WriteFile in a function": _function,
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_graph_that_does_more_than_to_compute_is_refused_before_it_is_imported(tmp_path, monkeypatch, hostile):
    path = _hostile(tmp_path / "net.pb", HOSTILE[hostile])
    monkeypatch.setattr(tf.graph_util, "import_graph_def", None)
    with pytest.raises(UserError, match=f"net.pb: refused, .* operations .*'{hostile.split()[0]}'") as error:
        Embedder(path)
    assert "\n" not in str(error.value) and not (tmp_path / "written").exists()


def _saved(path, insert):
    """A SavedModel with an operation, or a variable, as `_hostile` has it."""
    net = tf.Module()
    net.kernel = tf.Variable(KERNEL)

    @tf.function(input_signature=[tf.TensorSpec((None, 160, 160, 3), tf.float32)])
    def call(given):
        given = insert(given, path.parent / "written")
        return tf.reshape(tf.nn.avg_pool2d(given, 32, 32, "VALID"), (-1, 75)) @ net.kernel

    net.call = call
    tf.saved_model.save(net, str(path), signatures={"serving_default": call})
    return path


@pytest.mark.parametrize("hostile", [name for name in HOSTILE if name not in ("PyFunc", "ReadVariableOp")])
def test_a_saved_model_that_does_more_than_to_compute_is_refused_before_it_is_loaded(tmp_path, monkeypatch, hostile):
    path = _saved(tmp_path / "net", HOSTILE[hostile])
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(UserError, match=f"net: refused, .* operations .*'{hostile.split()[0]}'") as error:
        Embedder(path)
    assert "\n" not in str(error.value) and not (tmp_path / "written").exists()


def test_what_saves_a_saved_model_must_not_be_called_otherwise(tmp_path):
    path = _saved(tmp_path / "net", lambda given, _: given + 0)
    assert Embedder(path).length == 16
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    (meta,) = saved.meta_graphs
    (saver,) = (node for node in meta.graph_def.node if f"{node.name}:0" == meta.saver_def.save_tensor_name)
    meta.graph_def.node.add(name="again", op="StatefulPartitionedCall").attr["f"].func.name = saver.attr["f"].func.name
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(UserError, match="what saves it is also called otherwise"):
        Embedder(path)
    meta.ClearField("object_graph_def")  # TensorFlow would then restore it by its own functions
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(UserError, match="operations .*'RestoreV2'"):
        Embedder(path)


def test_dropout_behind_phase_train_is_no_reason_to_refuse(tmp_path):
    def dropout(given, _):
        training = tf.compat.v1.placeholder(tf.bool, (), "phase_train")
        return tf.where(training, given * tf.random.uniform(tf.shape(given)), given)

    assert Embedder(_hostile(tmp_path / "net.pb", dropout)).batch_size == 32


def test_vectors_that_are_no_numbers_are_refused(tmp_path):
    def dark(given, _):
        return tf.where(given < 0, given * np.nan, given)

    embedder = Embedder(_hostile(tmp_path / "net.pb", dark))
    with pytest.raises(UserError, match="net.pb: makes vectors with NaN or infinity"):
        embedder(np.zeros((1, 160, 160, 3), np.uint8))
    empty = tf.Module()
    empty.call = tf.function(lambda x: x[:, 0, 0, :0], input_signature=[tf.TensorSpec((None, 160, 160, 3), tf.float32)])
    tf.saved_model.save(empty, str(tmp_path / "empty"), signatures={"serving_default": empty.call})
    with pytest.raises(UserError, match="does not make a vector each"):
        Embedder(tmp_path / "empty")


def test_a_graph_for_other_faces_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((96, 96, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    model.save(tmp_path / "net.keras")
    with pytest.raises(UserError, match="does not make a vector each of 160x160"):
        Embedder(tmp_path / "net.keras")


class _Strange(keras.layers.Layer):
    """A layer that is not Keras's own."""


@pytest.mark.parametrize(
    "layer, name",
    [
        (keras.layers.Lambda(lambda values: values), "Lambda"),
        (_Strange(), "_Strange"),
        (keras.layers.Masking(), "Mask"),
    ],
)
@pytest.mark.parametrize("file", ["net.keras", "net.h5"])
def test_a_keras_model_that_can_be_any_code_is_refused_before_it_is_loaded(tmp_path, monkeypatch, layer, name, file):
    keras.Sequential([*_keras_model().layers, layer]).save(tmp_path / file)
    monkeypatch.setattr(keras.models, "load_model", None)
    with pytest.raises(
        UserError, match=f"{file}: refused, since a network for inference does without .*'{name}"
    ) as error:
        Embedder(tmp_path / file)
    assert "\n" not in str(error.value)


def test_weights_of_a_keras_model_lie_in_it(tmp_path):
    _keras_model().save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        archive.extractall(tmp_path / "inside")
    weights = tmp_path / "inside" / "model.weights.h5"
    with h5py.File(weights, "r+") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (75, 16), "f4", external=[("/etc/hostname", 0, 4_800)])
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        for each in weights.parent.iterdir():
            archive.write(each, each.name)
    with pytest.raises(UserError, match="refused, since layers/dense/vars/0 lies in another file"):
        Embedder(tmp_path / "net.keras")


@pytest.mark.parametrize("limit, batch_size", [(1000, 32), (400, 16), (150, 1), (90, 0)])
def test_fewer_faces_are_embedded_at_once_where_memory_is_short(tmp_path, monkeypatch, limit, batch_size):
    peaks = iter([megabytes << 20 for megabytes in (100, 110, 130, 170, 250, 410)])  # of 1, 2, 4 ... 32 faces
    monkeypatch.setattr(facenet, "resident_bytes", lambda: 0)
    monkeypatch.setattr(facenet, "watched_peak", lambda: contextlib.nullcontext([next(peaks)]))
    monkeypatch.setattr(facenet, "bytes_left", lambda limit: limit)
    path = _frozen(tmp_path / "net.pb")
    if batch_size:
        embedder = Embedder(path, max_memory=limit << 20)
        assert embedder.batch_size == batch_size and embedder.call_bytes <= limit << 20
        return
    with pytest.raises(UserError, match="net.pb: 100 MiB are needed to embed 1 face, 90 MiB are left"):
        Embedder(path, max_memory=limit << 20)
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match="net.pb: .* needed to load it, 90 MiB are left; allow more with --max_memory"):
        Embedder(path, max_memory=limit << 20)


def test_faces_are_reduced_upscaled_and_brought_back():
    face = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    upscale = faces.bicubic(4).upscale
    np.testing.assert_array_equal(
        faces.degraded(face[None], 40, upscale)[0], upscale_bicubic(imresize(face, 40, 40), 4)
    )
    for size in (20, 60):
        expected = imresize(upscale_bicubic(imresize(face, size, size), 4), 160, 160)
        np.testing.assert_array_equal(faces.degraded(face[None], size, upscale)[0], expected)


@pytest.fixture
def people(tmp_path):
    """Eight people, drawn: two pictures of each, which differ in brightness and noise; and pairs in two folds."""
    rng = np.random.default_rng(0)
    names = [f"Person_{letter}" for letter in "ABCDEFGH"]
    for name in names:
        skin, shapes = tuple(rng.integers(60, 250, 3)), rng.integers(60, 190, (4, 2))
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for number in (1, 2):
            image = Image.new("RGB", (250, 250), tuple(int(value) for value in skin))
            for x, y in shapes:
                ImageDraw.Draw(image).ellipse((int(x) - 20, int(y) - 12, int(x) + 20, int(y) + 12), "black")
            noisy = np.clip(np.asarray(image) + rng.normal(0, 8, (250, 250, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "lfw" / name / f"{name}_{number:04d}.jpg")
    lines = ["2\t4"]
    for fold in (names[:4], names[4:]):
        lines += [f"{name}\t1\t2" for name in fold]
        lines += [f"{name}\t1\t{other}\t2" for name, other in zip(fold, fold[1:] + fold[:1])]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    _frozen(tmp_path / "net.pb")
    return tmp_path


def _run(people, *flags):
    places = {"lfw": "lfw", "pairs": "pairs.txt", "facenet": "net.pb", "output": "out"}
    own = [f"--{name}={people / place}" for name, place in places.items()]
    return evaluate.main(["evaluate.py", "--mode=faces", "--face_crop=130", *own, *flags])


def test_the_command_prints_the_table_and_computes_only_what_is_new(people, weights, capsys, monkeypatch):
    calls = []
    embed = Embedder.__call__
    monkeypatch.setattr(Embedder, "__call__", lambda self, faces: calls.append(faces) or embed(self, faces))
    assert _run(people, f"--weights=ours={weights}") == 0
    out = capsys.readouterr().out
    assert "16 pairs in 2 folds (the official list has 10), 16 images" in out and "fixed standardisation" in out
    row = next(line for line in out.splitlines() if line.startswith("20x20")).split()
    assert row[1:3] == ["93.50", "92.22"] and row.count("±") == 3
    assert sum(map(len, calls)) == 16 * 11 * 2
    for face, mirrored in zip(calls[::2], calls[1::2]):
        np.testing.assert_array_equal(mirrored, face[:, :, ::-1])
    known = json.loads((people / "out" / "faces.json").read_text())
    rows = [(each["size"], each["method"]) for each in known["rows"]]
    assert rows[:3] == [(160, "HR"), (20, "bicubic"), (20, "ours")]
    assert known["rows"][0]["accuracy"] == 1.0
    assert Image.open(people / "out" / "faces.png").size[0] == 4 * 164 and (people / "out" / "roc.png").exists()

    assert _run(people, f"--weights=ours={weights}") == 1
    assert capsys.readouterr().err == f"srgan: error: {people}/out/faces.png: exists already; --overwrite replaces it\n"
    calls.clear()
    assert _run(people, f"--weights=ours={weights}", "--overwrite") == 0
    assert not calls and capsys.readouterr().out == out
    # One person's picture is another now: it alone is computed again.
    changed = people / "lfw" / "Person_A" / "Person_A_0001.jpg"
    Image.new("RGB", (250, 250), "red").save(changed)
    assert _run(people, f"--weights=ours={weights}", "--overwrite") == 0
    assert sum(map(len, calls)) == 11 * 2


def test_an_interrupted_run_goes_on(people, capsys, monkeypatch):
    embed, calls = Embedder.__call__, []

    def interrupted(self, given):
        calls.append(len(given))
        if len(calls) == 7:
            raise KeyboardInterrupt
        return embed(self, given)

    monkeypatch.setattr(Embedder, "__call__", interrupted)
    assert _run(people, "--weights=srresnet") == 130
    done = sum(calls[:6])
    assert _run(people, "--weights=srresnet") == 0
    assert sum(calls[7:]) == 16 * 11 * 2 - done > 0


def test_a_network_that_fails_is_named(people, capsys, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("srgan_tf.inference.upscaler.Upscaler.upscale_batch", fail)
    assert _run(people, "--weights=srresnet") == 1
    first = people / "lfw" / "Person_A" / "Person_A_0001.jpg"
    assert f"error: {first} and the next, srresnet at 20x20: out of memory\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "broken, said",
    [
        ("lfw/Person_B/Person_B_0002.jpg", "Person_B_0002.jpg: "),
        ("out/vectors.sqlite", "vectors.sqlite: cannot be used"),
    ],
)
def test_a_damaged_file_is_one_line(people, capsys, broken, said):
    (people / broken).parent.mkdir(exist_ok=True)
    (people / broken).write_bytes(b"this is neither a picture nor a data base" * 100)
    assert _run(people, "--weights=srresnet") == 1
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_the_vectors_are_kept_in_a_plain_data_base(tmp_path):
    vectors = faces.EmbeddingCache(tmp_path / "vectors.sqlite", 2)
    vectors.put({b"one": np.float32([1, 2])})
    vectors.close()
    (row,) = sqlite3.connect(tmp_path / "vectors.sqlite").execute("SELECT key, vector FROM vectors")
    assert row == (b"one", np.float32([1, 2]).tobytes())


@pytest.mark.parametrize(
    "content", [b"\0" * 7, b"\0" * 4, b"", "text of eight", None, 5, np.float32([1, np.nan]).tobytes()]
)
def test_a_damaged_vector_is_computed_again(tmp_path, content):
    vectors = faces.EmbeddingCache(tmp_path / "vectors.sqlite", 2)
    vectors.put({b"one": np.float32([1, 2])})
    np.testing.assert_array_equal(vectors.get(b"one"), [1, 2])
    with sqlite3.connect(tmp_path / "vectors.sqlite") as file:
        file.execute("UPDATE vectors SET vector = ?", (content,))
    assert vectors.get(b"one") is None and vectors.get(b"two") is None
    vectors.close()


def test_flags_of_other_modes_are_refused(capsys):
    assert evaluate.main(["evaluate.py", "--mode=faces", "--lfw=x", "--pairs=y"]) == 2
    assert "faces needs --facenet" in capsys.readouterr().err
    assert evaluate.main(["evaluate.py", "--lfw=x"]) == 2
    assert "'lfw'" in capsys.readouterr().err
