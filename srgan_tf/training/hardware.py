"""Hardware of a training: device, precision policy, XLA, free memory, and the memory that a step needs."""

import contextlib
import dataclasses
import math
import os
import subprocess
from collections.abc import Iterator

import keras
import tensorflow as tf

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError
from srgan_tf.system.memory import free_host_bytes

# Bytes at the peak of a step for each byte of layer outputs. Measured on the CPU: SRResNet 1.4 with crops of 96x96 and
# 1.2 with 384x384; SRGAN-VGG54 0.7; SRResNet under XLA 1.0.
PEAK = 1.3
# Memory of TensorFlow itself: 1.1 GB for SRResNet, 1.3 GB for SRGAN-VGG54; half as much again for XLA's compiler.
PROGRAM = 1.5e9
TENSOR_CORES = (7, 0)  # compute capability from which float16 is several times faster


@dataclasses.dataclass(frozen=True)
class Device:
    """Where TensorFlow computes.

    Attributes:
        kind: "GPU" or "CPU".
        name: The name to show, such as the GPU's model.
        capability: CUDA compute capability, `(0, 0)` on a CPU.
        free_bytes: Free memory; None if it is unknown.
    """

    kind: str
    name: str
    capability: tuple
    free_bytes: int | None


def find_device() -> Device:
    """The first GPU, set to take memory as it needs it, or else the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return Device("CPU", f"CPU, {os.cpu_count()} cores", (0, 0), free_host_bytes())
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = tuple(details.get("compute_capability", (0, 0)))
    return Device("GPU", details.get("device_name", "GPU"), capability, _free_gpu_bytes())


def _free_gpu_bytes():
    """Free memory of the GPU with the least, among those that TensorFlow may use; None if it is unknown."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # nvidia-smi ignores the variable
    command += [f"--id={visible}"] if visible else []
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        return min(int(free) for free in answer.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def cache_bytes(photographs, most_gb: float | None = None) -> int:
    """Bytes of main memory for decoded photographs.

    Args:
        photographs: Objects with `height` and `width`.
        most_gb: Upper limit, GB. None: a quarter of the free memory, or nothing if less than a tenth of the photographs
            fits there.
    """
    needed = sum(3 * picture.height * picture.width for picture in photographs)
    if most_gb is not None:
        return min(needed, int(most_gb * 1e9))
    allowed = free_host_bytes() // 4
    return min(needed, allowed) if needed < 10 * allowed else 0


def set_precision(precision: str, device: Device) -> str:
    """Sets Keras' global precision policy, and returns its name; "auto" is mixed_float16 on a GPU with tensor cores,
    else float32."""
    if precision == AUTO:
        precision = "mixed_float16" if device.kind == "GPU" and device.capability >= TENSOR_CORES else "float32"
    keras.config.set_dtype_policy(precision)
    return precision


def compiles_step(setting: str, device: Device, is_distributed: bool) -> bool:
    """Whether XLA compiles the step: as `setting` says, or with "auto" on a GPU without a `tf.distribute` strategy.

    On a CPU XLA is slower: with 16 crops of 24x24, a step of SRGAN took 3.4 s under XLA and 2.2 s without. With a
    strategy BN is synchronised, which XLA cannot compile.
    """
    return setting == "on" or (setting == AUTO and device.kind == "GPU" and not is_distributed)


def activation_bytes(model: keras.Model, side: int) -> int:
    """Memory of the layer outputs of a functional model with one input, for one square picture."""
    clone = keras.models.clone_model(model, input_tensors=keras.Input((side, side, 3), batch_size=1))
    size = {"float16": 2, "bfloat16": 2}.get(keras.config.dtype_policy().compute_dtype, 4)
    return sum(size * math.prod(layer.output.shape) for layer in clone.layers)


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """An estimate of the memory that a training step needs at its peak.

    Attributes:
        per_crop: Bytes for each crop of the batch.
        fixed: Bytes whatever the batch.
    """

    per_crop: int
    fixed: int

    def needed(self, batch):
        """Bytes that a step of `batch` crops needs."""
        return self.fixed + self.per_crop * batch

    def largest_batch(self, available):
        """The number of crops that fit into `available` bytes."""
        return max(0, (available - self.fixed) // self.per_crop)


def step_memory(
    crop_size: int,
    generator: keras.Model,
    scale: int,
    discriminator: keras.Model | None = None,
    features: keras.Model | None = None,
) -> StepMemory:
    """Estimates the memory of a training step on HR crops with a side of `crop_size` pixels.

    It is the sum of the layer outputs of every forward pass, which the backward pass needs, four copies of the weights
    (value, gradient and Adam's two moments), and the program itself.
    """
    others = [model for model in (discriminator, features) if model is not None]  # each runs on HR and on SR
    passes = activation_bytes(generator, crop_size // scale)
    passes += 2 * sum(activation_bytes(model, crop_size) for model in others)
    weights = sum(model.count_params() for model in (generator, *others))
    return StepMemory(int(PEAK * passes), int(PROGRAM + 16 * weights))


def check_memory(memory: StepMemory, device: Device, batch_size: int, crops: int, accumulate: int, cache: int) -> None:
    """Prints the memory that a step needs and that is free; refuses a step that does not fit into main memory.

    On a GPU it only warns: the estimate was measured on CPUs, and on a GPU a step that does not fit ends in one line
    (see `enough_memory`), while on a CPU the machine would swap.

    Args:
        memory: Of `step_memory`.
        device: A `Device`.
        batch_size: Crops in a step.
        crops: Crops of a micro-batch on one device.
        accumulate: Micro-batches in a step.
        cache: Bytes of main memory for decoded photographs.

    Raises:
        UserError: It does not fit into main memory; the message says which batch would.
    """
    needed, free = memory.needed(crops), device.free_bytes
    if free is not None and device.kind == "CPU":
        free = max(0, free - cache)
    available = "unknown" if free is None else f"{free / 1e9:.1f} GB"
    print(
        f"memory     a step needs about {needed / 1e9:.1f} GB; free: {available}, beside {cache / 1e9:.1f} GB for"
        " decoded photographs"
    )
    if free is None or needed <= free:
        return
    advice, fitting = "not even --batch_size=1 fits: lower --crop_size", memory.largest_batch(free)
    if fitting:
        per_device = crops * accumulate
        parts = next(n for n in range(1, per_device + 1) if per_device % n == 0 and per_device // n <= fitting)
        advice = f"--batch_size={batch_size // crops * fitting} fits, or --accumulate={parts}"
    if device.kind == "GPU":
        print(f"memory     may not suffice; if so, {advice}")
        return
    raise UserError(f"--batch_size={batch_size}: {needed / 1e9:.1f} GB are needed and {available} are free; {advice}")


@contextlib.contextmanager
def enough_memory(folder) -> Iterator[None]:
    """Makes out-of-memory errors of TensorFlow a `UserError` that says how to resume the phase in `folder`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise UserError(
            f"{folder}: out of memory; start again in another --run_dir with a smaller --batch_size, or with"
            " --accumulate to take the batch in parts; or free memory, and the same command resumes from the last"
            " checkpoint"
        ) from None
