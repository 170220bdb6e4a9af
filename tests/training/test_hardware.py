import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.data.folders import PictureFile
from srgan_tf.models.generator import build_generator
from srgan_tf.system.errors import UserError
from srgan_tf.training import hardware
from srgan_tf.training.hardware import Device

MEASURE = """
import sys
import numpy as np
from srgan_tf.models.generator import build_generator
from srgan_tf.training.optimizers import LearningRate, make_optimizer
from srgan_tf.training.steps import LossWeights, make_content_step
batch = int(sys.argv[1])
generator = build_generator()
step = make_content_step(generator, make_optimizer(generator, LearningRate(1e-4)), LossWeights(), xla=False)
for _ in range(2):
    step(np.zeros((batch, 24, 24, 3), np.uint8), np.zeros((batch, 96, 96, 3), np.uint8))
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(line.split()[1]) * 1024)
"""


def test_estimated_memory_holds_against_the_measured_peak(run_python):
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the peak where Linux keeps it")
    peaks = {}
    for batch in (4, 36):
        peaks[batch] = int(run_python("-c", MEASURE, batch).stdout)
    memory = hardware.step_memory(96, build_generator(), 4)
    assert 0.6 < (peaks[36] - peaks[4]) / (32 * memory.per_crop) < 1.2
    assert peaks[36] < memory.needed(36)


def test_layer_outputs_are_counted():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(8, 3, 2, padding="same")])
    assert hardware.activation_bytes(model, 10) == 4 * (5 * 5 * 8 + 10 * 10 * 3 * (len(model.layers) - 1))
    # G at 16 pixels: first conv, two layers of 3 x 3 and BN twice and a ReLU, add, ... all 64 wide, by hand.
    low, half, full = 16 * 16 * 64, 32 * 32 * 64, 64 * 64 * 64
    expected = 16 * 16 * 3 + low * (1 + 6 + 3) + half * 3 + full * 3 + 64 * 64 * 3
    assert hardware.activation_bytes(build_generator(blocks=1), 16) == 4 * expected


def test_largest_batch_is_the_largest_that_fits():
    memory = hardware.StepMemory(per_crop=10, fixed=100)
    assert memory.needed(3) == 130
    assert [memory.largest_batch(free) for free in (99, 100, 109, 110, 145)] == [0, 0, 0, 1, 4]


@pytest.mark.parametrize(
    "setting, kind, is_distributed, compiles",
    [
        ("auto", "CPU", False, False),
        ("auto", "GPU", False, True),
        ("auto", "GPU", True, False),
        ("on", "CPU", False, True),
        ("off", "GPU", False, False),
    ],
)
def test_xla_is_for_a_gpu_that_works_alone(setting, kind, is_distributed, compiles):
    assert hardware.compiles_step(setting, Device(kind, "", (0, 0), None), is_distributed) == compiles


@pytest.mark.parametrize(
    "setting, device, policy",
    [
        ("auto", Device("CPU", "", (0, 0), None), "float32"),
        ("auto", Device("GPU", "", (6, 1), None), "float32"),
        ("auto", Device("GPU", "", (9, 0), None), "mixed_float16"),
        ("mixed_bfloat16", Device("CPU", "", (0, 0), None), "mixed_bfloat16"),
        ("float32", Device("GPU", "", (9, 0), None), "float32"),
    ],
)
def test_precision_follows_the_device(setting, device, policy):
    try:
        assert hardware.set_precision(setting, device) == policy
        assert keras.config.dtype_policy().name == policy
        compute = build_generator(blocks=0, filters=4).get_layer("first_conv")
        assert compute.compute_dtype == policy.removeprefix("mixed_") and compute.kernel.dtype == "float32"
        output = build_generator(blocks=0, filters=4)(np.zeros((1, 2, 2, 3), np.float32))
        assert output.dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_step_that_does_not_fit_is_refused_but_a_gpu_may_try(capsys):
    memory = hardware.StepMemory(per_crop=10**9, fixed=10**9)
    with pytest.raises(UserError, match="--batch_size=16: 17.0 GB are needed and 9.0 GB are free; --batch_size=8 fits"):
        hardware.check_memory(memory, Device("CPU", "", (0, 0), 10 * 10**9), 16, 16, 1, 10**9)
    hardware.check_memory(memory, Device("GPU", "", (9, 0), 9 * 10**9), 16, 16, 1, 10**9)
    assert "may not suffice; if so, --batch_size=8 fits, or --accumulate=2" in capsys.readouterr().out
    with pytest.raises(UserError, match="^runs/mine: out of memory.*--accumulate"), hardware.enough_memory("runs/mine"):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize("visible, asked", [(None, []), ("3,1", ["--id=3,1"])])
def test_free_memory_is_that_of_the_visible_gpu_that_has_least(monkeypatch, visible, asked):
    def smi(command, **_):
        assert command[3:] == asked
        return subprocess.CompletedProcess(command, 0, "81000\n500\n", "")

    monkeypatch.setattr(hardware.subprocess, "run", smi)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one", "other"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, grows: None)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hardware.find_device().free_bytes == 500 * 2**20


def test_the_cache_takes_what_is_needed_or_allowed(monkeypatch):
    monkeypatch.setattr(hardware, "free_host_bytes", lambda: 4000)
    pictures = [PictureFile(Path("a.png"), 10, 10)] * 4
    assert [hardware.cache_bytes(pictures[:n]) for n in (1, 4)] == [300, 1000]
    assert hardware.cache_bytes(pictures * 9) == 0  # a few of very many would gain nothing
    assert [hardware.cache_bytes(pictures, most) for most in (1e-6, 1)] == [1000, 1200]
