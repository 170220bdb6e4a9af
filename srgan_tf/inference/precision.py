"""Chooses the number format in which G is computed; the fastest depends on the machine."""

import os
from pathlib import Path

from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError

FLOAT32 = "float32"
PRECISIONS = (AUTO, FLOAT32, "bfloat16", "float16")
_CPU_INFO = Path("/proc/cpuinfo")
# Instructions for products of bfloat16. With the second alone (EPYC 9004, two cores) G takes 0.7 times the time of
# float32; without both, they are emulated, which is slower.
_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}
_TENSOR_CORES = (7, 0)  # compute capability of the first GPUs that have them, Volta


class NotFiniteError(UserError):
    """A network's result has NaN, which would become black pixels."""


def choose_precision(precision: str = AUTO) -> str:
    """The precision to compute in: "float32", "bfloat16" or "float16".

    "auto" is the fastest on this machine: "float16" on a GPU with tensor cores, "bfloat16" on a CPU with AMX or
    AVX512_BF16, else "float32".

    Raises:
        ValueError: `precision` is not one of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}. Received: {precision!r}")
    if precision != AUTO:
        return precision
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capable = all(each.get("compute_capability", (0, 0)) >= _TENSOR_CORES for each in details)
        return "float16" if capable else FLOAT32
    return "bfloat16" if cpu_flags() & _CPU_FLAGS and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0" else FLOAT32


def emulation_note(number_format: str, on_gpu: bool) -> str:
    """A line that says so where a CPU, as far as its extensions are known, has no products of bfloat16; else ""."""
    flags = cpu_flags()
    if on_gpu or number_format != "bfloat16" or not flags or flags & _CPU_FLAGS:
        return ""
    return "bfloat16 is emulated, much slower than float32: this CPU has neither AMX nor AVX512_BF16"


def cpu_flags() -> set[str]:
    """The extensions of the CPU's instruction set, as Linux on x86 names them; none elsewhere."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
