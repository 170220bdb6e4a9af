"""What the step runs on: the device, the precision policy, XLA, and the memory that there is and that a step needs."""

import dataclasses
import math
import os
import subprocess

import keras
import psutil
import tensorflow as tf

TENSOR_CORES = (7, 0)  # compute capability from which float16 is several times faster


@dataclasses.dataclass(frozen=True)
class Device:
    """Where TensorFlow computes.

    Attributes:
        kind: "GPU" or "CPU".
        name: As a person knows it.
        capability: CUDA compute capability, `(0, 0)` on a CPU.
        free_bytes: Memory that is free now; None if it cannot be told.
    """

    kind: str
    name: str
    capability: tuple
    free_bytes: int | None


def find_device():
    """The first GPU, set to take memory as it needs it, or else the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return Device("CPU", f"CPU, {os.cpu_count()} cores", (0, 0), psutil.virtual_memory().available)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = tuple(details.get("compute_capability", (0, 0)))
    return Device("GPU", details.get("device_name", "GPU"), capability, _free_gpu_bytes())


def _free_gpu_bytes():
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        return int(answer.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def set_precision(precision, device):
    """Sets Keras' global precision policy.

    Args:
        precision: "float32", "mixed_float16", "mixed_bfloat16", or "auto": mixed_float16 on a GPU with tensor cores.
        device: A `Device`.

    Returns:
        The name of the policy.
    """
    if precision == "auto":
        precision = "mixed_float16" if device.kind == "GPU" and device.capability >= TENSOR_CORES else "float32"
    keras.config.set_dtype_policy(precision)
    return precision


def activation_bytes(model, batch, side):
    """Memory of a model's layer outputs for a batch of squares, as the backward pass needs them.

    Args:
        model: A functional model with one picture as input.
        batch: Pictures.
        side: Their height and width.

    Returns:
        Bytes.
    """
    clone = keras.models.clone_model(model, input_tensors=keras.Input((side, side, 3), batch_size=batch))
    size = {"float16": 2, "bfloat16": 2}.get(keras.config.dtype_policy().compute_dtype, 4)
    return sum(size * math.prod(tensor.shape) for layer in clone.layers for tensor in _tensors(layer.output))


def _tensors(output):
    return output if isinstance(output, (list, tuple)) else [output]


def step_bytes(batch, crop_size, generator, scale, discriminator=None, features=None):
    """An estimate of the memory that one training step needs at its peak.

    Counted: the layer outputs of every forward pass that has a backward pass, once for themselves and a quarter for
    gradients and scratch space, and four copies of the weights (value, gradient, Adam's two moments). Held against
    the measured peak in the tests.

    Args:
        batch: Crops a step.
        crop_size: Side of the HR crop.
        generator: G.
        scale: Factor.
        discriminator: D, in the adversarial phase.
        features: VGG19, with a VGG loss.

    Returns:
        Bytes.
    """
    passes = activation_bytes(generator, batch, crop_size // scale)
    models = [generator]
    if discriminator is not None:
        passes += 2 * activation_bytes(discriminator, batch, crop_size)
        models.append(discriminator)
    if features is not None:
        passes += 2 * activation_bytes(features, batch, crop_size)
        models.append(features)
    return int(1.25 * passes + 16 * sum(model.count_params() for model in models))
