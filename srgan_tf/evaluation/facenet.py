"""Networks that embed faces: FaceNet as published, and any other of the same form."""

import hashlib
import json
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.evaluation.lfw import SIDE
from srgan_tf.evaluation.memory import require_memory
from srgan_tf.inference.memory_budget import bytes_left
from srgan_tf.models.hdf5 import open_hdf5
from srgan_tf.models.whole_model import unpacked
from srgan_tf.system.bounded import read_bounded
from srgan_tf.system.disk import sha256
from srgan_tf.system.errors import UserError, user_errors
from srgan_tf.system.memory import resident_bytes, watched_peak
from srgan_tf.system.terminal import counted

INPUT, TRAINING, OUTPUT = "input", "phase_train", "embeddings"  # names in a frozen graph
# The operations that a frozen network for inference may have; others are refused, since operations can read, write and
# run files. All of these compute their result from their inputs, except for random numbers of dropout.
_OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax Assert AvgPool BatchMatMul BatchMatMulV2 BatchNormWithGlobalNormalization
    BatchToSpaceND BiasAdd BroadcastTo Cast Ceil CheckNumerics ClipByValue Concat ConcatV2 Const Conv2D DepthToSpace
    DepthwiseConv2dNative Div DivNoNan Elu Equal Erf Exp ExpandDims FakeQuantWithMinMaxVars Fill Floor
    FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherV2 Greater GreaterEqual Identity
    IdentityN L2Loss LRN LeakyRelu Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool
    MaxPoolV2 Maximum Mean Merge Min Minimum MirrorPad Mul Neg NoOp NotEqual OnesLike Pack Pad PadV2
    Placeholder PlaceholderWithDefault PlaceholderV2 Pow Prod RandomUniform Range Rank RealDiv Reciprocal Relu Relu6
    Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Size
    Slice Snapshot Softmax Softplus SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze
    StopGradient StridedSlice Sub Sum Switch Tanh Tile Transpose Unpack Where ZerosLike
    """.split()
)
# In a SavedModel also variables and calls of functions.
_SAVED_OPERATIONS = _OPERATIONS | frozenset(
    """
    AssignVariableOp DisableCopyOnRead PartitionedCall ReadVariableOp StatefulPartitionedCall VarHandleOp
    VarIsInitializedOp
    """.split()
)
# The classes that a Keras model may name; others are refused, since they can be any code, or read files.
_LAYERS = frozenset(
    """
    Activation Add Average AveragePooling2D BatchNormalization CenterCrop Concatenate Conv2D Cropping2D Dense
    DepthwiseConv2D Dot Dropout ELU Flatten GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D
    GroupNormalization InputLayer LayerNormalization LeakyReLU MaxPooling2D Maximum Minimum Multiply Normalization PReLU
    Permute ReLU Rescaling Reshape Resizing SeparableConv2D Softmax SpatialDropout2D Subtract UnitNormalization
    UpSampling2D ZeroPadding2D CustomScaleLayer LayerScale
    Functional Model Sequential DTypePolicy __keras_tensor__ __slice__ __tuple__
    Absolute Divide Exp GetItem Log Matmul Max Mean Negative Normalize Power Relu Relu6 Sigmoid Sqrt Square Squeeze Sum
    Tanh TrueDivide
    Constant GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform Ones Orthogonal RandomNormal
    RandomUniform TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 MaxNorm NonNeg UnitNorm
    """.split()
)
_MODULES = frozenset(
    """
    keras keras.constraints keras.initializers keras.layers keras.models keras.regularizers
    keras.src.applications.convnext keras.src.applications.inception_resnet_v2 keras.src.models.functional
    keras.src.models.model keras.src.models.sequential keras.src.ops.nn keras.src.ops.numpy
    """.split()
)
_BATCH_SIZE = 32  # faces, where the graph takes more than one
# Ratio of the memory until the first face is embedded to the size of the model's files: InceptionResNetV2 with 220 MB
# took 3,500 MB as a frozen graph, whose constants TensorFlow copies often, and 900 as a Keras model; 1,000 as a
# SavedModel of 420 MB.
_LOADING = {".pb": 17}
_LOADING_OTHERS = 4
_GRAPH_BYTES = 2**31  # limit of Protocol Buffers
_SECOND_FACE = 64 * 2**20  # assumed memory of the second face, bytes; that of further faces is measured
_PER_IMAGE = ("20170511", "20170512")  # models of davidsandberg/facenet with per-image standardisation


class Embedder:
    """Computes embeddings of faces.

    Args:
        path: A frozen graph (`.pb`), with `input`, `embeddings` and maybe `phase_train` in it; a Keras model (`.keras`,
            `.h5`); or the folder of a SavedModel.
        standardisation: What the network was trained on: "fixed" is (x - 127.5) / 128; "per-image" subtracts a face's
            mean and divides by its standard deviation; None: "per-image" for the models of davidsandberg/facenet of
            2017, else "fixed".
        max_memory: Bytes that the process may have at its peak; it limits the faces in a call.

    Attributes:
        standardisation: As given, or what None stands for.
        digest: SHA-256 of the model.
        batch_size: Faces in a call.
        length: D, the length of an embedding.
        call_bytes: Memory that a call takes while it runs, if there is a `max_memory`.

    Raises:
        UserError: There is no such model, it does not compute embeddings of 160x160 faces, or it needs more memory.
    """

    def __init__(self, path: Path | str, standardisation: str | None = None, max_memory: int | None = None):
        path = Path(path)
        if not path.exists():
            raise UserError(f"{path}: no such model; give FaceNet's frozen graph, such as 20180402-114759.pb")
        old = any(name in str(path.resolve()) for name in _PER_IMAGE)
        self.standardisation = standardisation or ("per-image" if old else "fixed")
        self._path = path
        self.call_bytes = 0
        require_memory(path, _loading_bytes(path), bytes_left(max_memory), "to load it")
        with user_errors(path, "not a model that can be loaded", of=Exception):  # TensorFlow and Keras raise anything
            self._network = _load(path)
        self.digest = _digest(path)
        self.batch_size = self._find_batch_size(bytes_left(max_memory))
        if not self.batch_size:
            raise UserError(f"{path}: does not make a vector each of {SIDE}x{SIDE} RGB faces; give a FaceNet")

    def _find_batch_size(self, left):
        """The number of faces in a call: `_BATCH_SIZE` or one; with a limit, as many as fit; 0 if none does."""
        if left is None:
            return next((count for count in (_BATCH_SIZE, 1) if self._fits(count)), 0)
        start, found, count, growth = resident_bytes(), 0, 1, 0
        while count <= _BATCH_SIZE and self.call_bytes + growth <= left:
            with watched_peak() as peak:
                fits = self._fits(count)
            if fits:
                taken = peak[0] - start
                require_memory(self._path, taken, left, f"to embed {counted(count, 'face')}")
                growth = 2 * (taken - self.call_bytes) if found else _SECOND_FACE
                found, self.call_bytes = count, taken
            elif found:
                break
            count *= 2
        self.call_bytes = max(0, start + self.call_bytes - resident_bytes())
        return found

    def _fits(self, count):
        try:
            # Not zeros, whose embedding may be a zero vector.
            found = self._network(tf.fill((count, SIDE, SIDE, 3), 0.5)).numpy()
        except (tf.errors.OpError, ValueError, TypeError):
            return False
        self.length = found.shape[-1]
        return found.ndim == 2 and len(found) == count and found.shape[1] > 0

    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The embeddings of faces, uint8 RGB `(N, 160, 160, 3)`: float32 `(N, D)`, each of length 1.

        Raises:
            UserError: A vector has NaN or infinity.
        """
        found = []
        for start in range(0, len(faces), self.batch_size):
            batch = standardised(faces[start : start + self.batch_size], self.standardisation)
            padding = self.batch_size - len(batch)  # a graph may take only this number
            padded = np.concatenate([batch, np.repeat(batch[-1:], padding, axis=0)])
            found.append(self._network(tf.constant(padded)).numpy()[: len(batch)])
        embeddings = np.concatenate(found).astype(np.float32)
        if not np.isfinite(embeddings).all():
            raise UserError(f"{self._path}: makes vectors with NaN or infinity of these faces; give another FaceNet")
        return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-10)


def standardised(faces: NDArray[np.uint8], kind: str) -> NDArray[np.floating]:
    """Standardises uint8 faces `(N, H, W, 3)` for the network: float32, see `Embedder`."""
    values = faces.astype(np.float32)
    if kind == "fixed":
        return (values - 127.5) / 128
    mean = values.mean(axis=(1, 2, 3), keepdims=True)
    deviation = values.std(axis=(1, 2, 3), keepdims=True)
    return (values - mean) / np.maximum(deviation, np.float32(values[0].size ** -0.5))


def _files(path):
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _digest(path):
    return hashlib.sha256(b"".join(bytes.fromhex(sha256(file)) for file in _files(path))).hexdigest()


def _load(path):
    """A function from float32 `(N, 160, 160, 3)` to embeddings."""
    if path.is_dir():
        _check_saved_model(path)
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures.get("serving_default")
        inputs = signature.structured_input_signature[1] if signature else {}
        if len(inputs) != 1 or len(signature.structured_outputs) != 1:
            raise UserError(f"{path}: its serving_default must take one tensor and give one; export it so")
        # The function keeps the model, whose variables would be deleted with it.
        return lambda faces, kept=loaded: next(iter(signature(**{next(iter(inputs)): faces}).values()))
    if path.suffix.lower() == ".pb":
        return _load_frozen(path)
    _check_keras_model(path)
    model = keras.models.load_model(path, compile=False)
    return tf.function(lambda faces: model(faces, training=False), autograph=False)


def _check_keras_model(path):
    """Refuses a Keras model that names other classes than those known, or whose weights are in other files."""
    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            described = json.loads(file.attrs["model_config"])
    else:
        with unpacked(path) as (weights, described), open_hdf5(weights):
            described.pop("compile_config", None)  # is not loaded
    refused = sorted(_strange_parts(described))
    if refused:
        raise UserError(
            f"{path}: refused, since a network for inference does without {', '.join(map(repr, refused)):.200}, which"
            " could be any code; give a frozen graph"
        )


def _strange_parts(described):
    """Yields the names of unknown classes and modules in the description of a Keras model."""
    if isinstance(described, dict):
        for key, known in (("class_name", _LAYERS), ("module", _MODULES)):
            if described.get(key) is not None and described[key] not in known:
                yield str(described[key])
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _strange_parts(part)


def _loading_bytes(path):
    """Estimated peak memory for loading a model."""
    return sum(file.stat().st_size for file in _files(path)) * _LOADING.get(path.suffix.lower(), _LOADING_OTHERS)


def _check_saved_model(path):
    """Refuses a SavedModel with operations that do more than compute, except in the functions that save it.

    Loading already calls functions of a model. It does not call those that save and restore it, if the model is of
    TensorFlow 2 and nothing else in it names them.
    """
    saved = saved_model_pb2.SavedModel()
    if path.joinpath("saved_model.cpb").exists():  # TensorFlow would take that one
        raise UserError(f"{path}: stored in parts, saved_model.cpb; export it as one saved_model.pb")
    saved.ParseFromString(read_bounded(path / "saved_model.pb", _GRAPH_BYTES))
    of_objects = len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")
    for meta in saved.meta_graphs:
        nodes = meta.graph_def.node
        saver = {name.partition(":")[0] for name in (meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name)}
        saving = _called(node for node in nodes if node.name in saver) if of_objects else set()
        kept = [node for node in nodes if node.name not in saver]
        for function in meta.graph_def.library.function:
            if function.signature.name not in saving:
                kept += function.node_def
        _require_operations(path, [*nodes, *kept], _SAVED_OPERATIONS)
        if saving & (_called(kept) | set(meta.object_graph_def.concrete_functions)):
            raise UserError(f"{path}: refused, since what saves it is also called otherwise; export it again")


def _called(nodes):
    """The names of all functions in the attributes of nodes."""
    found: set[str] = set()
    waiting = [value for node in nodes for value in node.attr.values()]
    while waiting:
        value = waiting.pop()
        for function in (value.func, *value.list.func):
            found |= {function.name} - {""}
            waiting += function.attr.values()
    return found


def _require_operations(path, nodes, allowed=_OPERATIONS):
    """Refuses a graph with operations that are not allowed."""
    refused = sorted({node.op for node in nodes} - allowed)
    if refused:
        names = ", ".join(map(repr, refused))
        raise UserError(
            f"{path}: refused, since a network for inference does without the operations {names:.200}; freeze the graph"
            " from input to embeddings alone"
        )


def _load_frozen(path):
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(read_bounded(path, _GRAPH_BYTES))
    for function in graph.library.function:
        _require_operations(path, function.node_def)
    nodes = {node.name: node for node in graph.node}
    for name in (INPUT, OUTPUT):
        if name not in nodes:
            raise UserError(f"{path}: has no tensor {name}:0; a frozen FaceNet has {INPUT}:0 and {OUTPUT}:0")
    # Keep only the nodes between `input` and the embeddings; queues often stand before `input`.
    kept, waiting = tf.compat.v1.GraphDef(versions=graph.versions), [OUTPUT]
    seen = set(waiting)
    while waiting:
        node = kept.node.add()
        node.CopyFrom(nodes[waiting.pop()])
        if (name := node.name) in (INPUT, TRAINING):
            node.Clear()
            node.name, node.op = name, "Placeholder"
            node.attr["dtype"].type = (tf.float32 if name == INPUT else tf.bool).as_datatype_enum
        elif node.op == "Placeholder":
            raise UserError(f"{path}: {OUTPUT}:0 needs {node.name}:0 besides {INPUT}:0 and {TRAINING}:0")
        # OpenCV's tools leave attributes without a value, which TensorFlow would take for placeholders.
        for name in [name for name, value in node.attr.items() if value.WhichOneof("value") is None]:
            del node.attr[name]
        before = {text.lstrip("^").partition(":")[0] for text in node.input} - seen
        seen |= before
        waiting += sorted(before)

    _require_operations(path, kept.node)

    def embed(faces):
        given = {f"{INPUT}:0": faces}
        if TRAINING in seen:
            given[f"{TRAINING}:0"] = tf.constant(False)
        return tf.graph_util.import_graph_def(kept, given, [f"{OUTPUT}:0"])[0]

    return tf.compat.v1.wrap_function(embed, [tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)])
