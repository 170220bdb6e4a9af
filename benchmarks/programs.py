"""The generator in each of the software that benchmarks/inference.py compares: the same network, the same weights.

A program is a class, constructed from what `read_model` returns and the name of the precision, with these methods:

    run(lr)            float32 (N, H, W, 3) in [-1, 1] on the host to float32 (N, scale H, scale W, 3) on the host
    compilations()     how many graphs it has traced or compiled so far
    on_gpu()           whether it computes on one
    rate()             seconds for a chain of 3x3 convolutions; only some have it

Each imports its framework only when it is constructed.
"""

import os
import time

import numpy as np

BN_EPSILON = 1e-3  # Keras' default, which G uses
RATE_SIDE, RATE_CHANNELS, RATE_LAYERS = 128, 64, 5


def layer_weights(model):
    """The weights of a Keras model: `{layer: arrays}`."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def read_model(path):
    """The path, shape and weights (`{layer: arrays}`) of a generator, for programs that know no Keras."""
    from srgan_tf.models.generator import generator_config, load_generator
    from srgan_tf.weights import find_weights

    path = find_weights(path)
    generator = load_generator(path)
    blocks, scale, filters = generator_config(generator)
    shape = {"blocks": blocks, "scale": scale, "filters": filters}
    return {"path": path, **shape, "weights": layer_weights(generator)}


class Ours:
    """The fused generator as one graph for all sizes, without XLA on a processor: as the Upscaler runs it."""

    def __init__(self, model, dtype):
        import tensorflow as tf

        self.tf, self.dtype = tf, dtype
        self.function = self.make(model, dtype)

    def on_gpu(self):
        return bool(self.tf.config.list_physical_devices("GPU"))

    def make(self, model, dtype):
        from srgan_tf.inference.fused import FusedGenerator
        from srgan_tf.models.generator import load_generator

        signature = [self.tf.TensorSpec((None, None, None, 3), self.tf.float32)]
        fused = FusedGenerator(load_generator(model["path"]), dtype=dtype)
        return self.tf.function(lambda lr: fused(lr), input_signature=signature, jit_compile=False)

    def run(self, lr):
        return self.function(self.tf.constant(lr)).numpy()

    def compilations(self):
        return self.function.experimental_get_tracing_count()

    def rate(self):
        """Seconds of a chain of 3x3 convolutions."""
        tf = self.tf
        if not hasattr(self, "_chain"):
            kernel = np.full((3, 3, RATE_CHANNELS, RATE_CHANNELS), 1e-3, np.float32)

            def chain(x):
                for _ in range(RATE_LAYERS):
                    x = tf.nn.conv2d(x, tf.constant(kernel, x.dtype), 1, "SAME")
                return tf.reduce_sum(x[:, :1])

            self._chain = tf.function(chain, jit_compile=False)
            self._rate_input = tf.ones((1, RATE_SIDE, RATE_SIDE, RATE_CHANNELS), self.dtype)
        start = time.perf_counter()
        self._chain(self._rate_input).numpy()
        return time.perf_counter() - start


class Generator(Ours):
    """The generator as it is trained, as one graph for all sizes, with the layers of `srgan_tf.models.layers`."""

    def make(self, model, dtype):
        import keras

        from srgan_tf.models.generator import load_generator

        if dtype != "float32":
            keras.config.set_dtype_policy(f"mixed_{dtype}")
        network = self.prepare(load_generator(model["path"]))
        signature = [self.tf.TensorSpec((None, None, None, 3), self.tf.float32)]

        def upscale(lr):
            return self.tf.cast(network(lr, training=False), self.tf.float32)

        return self.tf.function(upscale, input_signature=signature, jit_compile=False)

    def prepare(self, generator):
        return generator


class Keras(Generator):
    """The same network of nothing but Keras' own layers."""

    def prepare(self, generator):
        import keras

        from srgan_tf.models.layers import NearestConv2D, RowConv2D

        def standard_layer(layer):
            if isinstance(layer, NearestConv2D):
                larger = keras.layers.UpSampling2D(2, interpolation="nearest")
                convolution = keras.layers.Conv2D.from_config(layer.get_config())
                return keras.Sequential([larger, convolution], name=layer.name)
            kind = keras.layers.Conv2D if isinstance(layer, RowConv2D) else type(layer)
            return kind.from_config(layer.get_config())

        network = keras.models.clone_model(generator, clone_function=standard_layer)
        network.set_weights(generator.get_weights())
        return network


class GeneratorXla(Generator):
    """The generator as it is trained, under XLA, which compiles for every size."""

    def make(self, model, dtype):
        return self.tf.function(super().make(model, dtype).python_function, jit_compile=True)


class KerasXla(Keras, GeneratorXla):
    """Keras' own layers under XLA."""


class Torch:
    """PyTorch in channels_last, run layer by layer."""

    def __init__(self, model, dtype):
        import torch
        from torch_networks import generator

        self.torch = torch
        torch.set_num_threads(os.cpu_count())
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = getattr(torch, dtype)
        network = generator(model).eval()
        network = network.to(self.device, self.dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            self.network = self.prepare(network)

    def on_gpu(self):
        return self.device == "cuda"

    def prepare(self, network):
        return network

    def tensor(self, array):
        # (N, H, W, C) in memory is what PyTorch calls (N, C, H, W) in channels_last.
        return self.torch.from_numpy(array).permute(0, 3, 1, 2).to(self.device, self.dtype)

    def run(self, lr):
        with self.torch.inference_mode():
            return self.network(self.tensor(lr)).permute(0, 2, 3, 1).float().cpu().numpy()

    def compilations(self):
        return 0

    def rate(self):
        """Seconds of a chain of 3x3 convolutions."""
        torch = self.torch
        with torch.inference_mode():
            if not hasattr(self, "_chain"):
                layers = [torch.nn.Conv2d(RATE_CHANNELS, RATE_CHANNELS, 3, padding=1, bias=False)] * RATE_LAYERS
                chain = torch.nn.Sequential(*layers).to(self.device, self.dtype, memory_format=torch.channels_last)
                self._chain = chain
                self._rate_input = self.tensor(np.ones((1, RATE_SIDE, RATE_SIDE, RATE_CHANNELS), np.float32))
            start = time.perf_counter()
            self._chain(self._rate_input)[:, :, :1].sum().item()
            return time.perf_counter() - start


class TorchCompile(Torch):
    """PyTorch with torch.compile."""

    def prepare(self, network):
        from torch._dynamo.testing import CompileCounterWithBackend

        counter = CompileCounterWithBackend("inductor")
        self.compilations = lambda: counter.frame_count
        return self.torch.compile(network, backend=counter)


class TorchFrozen(Torch):
    """PyTorch as TorchScript, frozen and optimized for inference, which folds BN."""

    def prepare(self, network):
        example = self.tensor(np.zeros((1, 32, 32, 3), np.float32))
        jit = self.torch.jit
        return jit.optimize_for_inference(jit.freeze(jit.trace(network, example)))


class OnnxRuntime:
    """ONNX Runtime, which folds BN, over the network as published, as an ONNX graph."""

    def __init__(self, model, dtype):
        import onnxruntime as runtime

        providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        providers = [name for name in providers if name in runtime.get_available_providers()]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count()
        self.session = runtime.InferenceSession(build_onnx(model), options, providers=providers)

    def on_gpu(self):
        return self.session.get_providers()[0] == "CUDAExecutionProvider"

    def run(self, lr):
        (sr,) = self.session.run(None, {"lr": np.ascontiguousarray(lr.transpose(0, 3, 1, 2))})
        return sr.transpose(0, 2, 3, 1)

    def compilations(self):
        return 0


def build_onnx(model):
    """The network as published, as a serialized ONNX model with inputs of any size."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, weights = [], [], model["weights"]

    def constant(array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"constant{len(constants)}"))
        return constants[-1].name

    def node(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [f"value{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def conv(x, name):
        kernel, *bias = weights[name]
        inputs = [constant(kernel.transpose(3, 2, 0, 1)), *map(constant, bias)]
        return node("Conv", x, *inputs, pads=[kernel.shape[0] // 2] * 4)

    def conv_bn(x, name):
        return node(
            "BatchNormalization", conv(x, f"{name}_conv"), *map(constant, weights[f"{name}_bn"]), epsilon=BN_EPSILON
        )

    x = first = node("Relu", conv("lr", "first_conv"))
    for block in range(1, model["blocks"] + 1):
        x = node("Add", x, conv_bn(node("Relu", conv_bn(x, f"block{block}a")), f"block{block}b"))
    x = node("Add", first, conv_bn(x, "trunk"))
    factors = constant(np.float32([1, 1, 2, 2]))
    for stage in range(1, model["scale"].bit_length()):
        x = node(
            "Resize", x, "", factors, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        x = node("Relu", conv_bn(x, f"up{stage}"))
    sr = node("Tanh", conv(x, "last_conv"))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, f"{name}_h", f"{name}_w"])
        for name in ("lr", sr)
    ]
    graph = helper.make_graph(nodes, "generator", values[:1], values[1:], constants)
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx_model.SerializeToString()


PROGRAMS = {
    "ours": Ours,
    "generator": Generator,
    "generator XLA": GeneratorXla,
    "keras": Keras,
    "keras XLA": KerasXla,
    "torch": Torch,
    "torch.compile": TorchCompile,
    "torch frozen": TorchFrozen,
    "onnxruntime": OnnxRuntime,
}
