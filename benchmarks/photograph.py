"""One photograph of a megapixel, upscaled by whole processes: from the command to the file of 16 megapixels.

    python benchmarks/photograph.py [--weights=srgan] [--photo=FILE] [--side=1024] [--rounds=7]
        [--programs='ours;ours, bfloat16;onnxruntime']

A process imports its framework, reads the weights and a PNG, and writes a PNG; what they write is compared. All have
the same network with the same weights: ONNX Runtime the graph that `srgan export` writes, PyTorch the network as
published, in channels_last and, for bfloat16, under autocast. These two take the photograph whole; "killed" is a
program that the machine has not enough memory for. Either is left out where it is not installed. On a busy machine,
only the column of CPU time says anything: the seconds that a program's threads worked.
"""

import argparse
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.weights import find_weights

BENCHMARKS = Path(__file__).resolve().parent
REFERENCE = "ours"
TOLERANCE = {"float32": 0.01, "bfloat16": 4.0}  # of levels of 0 to 255, in the mean over all values
WARM_UP = 32  # side of a first photograph, after which all files are in memory

# PNGs are compressed as the package does.
TORCH = """
import sys, numpy as np, torch
from PIL import Image
weights, photo, output, dtype = sys.argv[1:]
network = torch.load(weights, weights_only=False).eval().to(memory_format=torch.channels_last)
lr = torch.from_numpy(np.array(Image.open(photo))[None]).permute(0, 3, 1, 2) / 127.5 - 1
with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
    sr = network(lr).float().add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
Image.fromarray(sr[0].permute(1, 2, 0).contiguous().numpy()).save(output, compress_level=3)
"""
ONNX_RUNTIME = """
import sys, numpy as np, onnxruntime
from PIL import Image
weights, photo, output = sys.argv[1:]
session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
(sr,) = session.run(None, {"image": np.array(Image.open(photo))[None]})
Image.fromarray(sr[0]).save(output, compress_level=3)
"""


def _ours(*flags):
    return lambda weights, photo, output: [
        *("-m", "srgan_tf", "upscale", photo, output, f"--weights={weights}", "--overwrite", *flags)
    ]


def _script(text, suffix, *arguments):
    return lambda weights, photo, output: ["-c", text, f"{weights}{suffix}", photo, output, *arguments]


# For each program the precision, the package that it needs beside this one, and its command.
PROGRAMS = {
    "ours": ("float32", "tensorflow", _ours("--precision=float32")),
    "ours, bfloat16": ("bfloat16", "tensorflow", _ours("--precision=bfloat16")),
    "ours, 1 GiB": ("float32", "tensorflow", _ours("--precision=float32", "--max_memory=1GiB")),
    "onnxruntime": ("float32", "onnxruntime", _script(ONNX_RUNTIME, ".onnx")),
    "torch": ("float32", "torch", _script(TORCH, ".pt", "float32")),
    "torch, bfloat16": ("bfloat16", "torch", _script(TORCH, ".pt", "bfloat16")),
}
WRITE_TORCH = """
import sys, torch
from programs import read_model
from torch_networks import generator
torch.save(generator(read_model(sys.argv[1])), sys.argv[2])
"""


def prepare(weights, needed):
    """Writes the weights for the programs that do not take the package's file."""
    commands = {
        "onnxruntime": ["-m", "srgan_tf", "export", weights, f"{weights}.onnx"],
        "torch": ["-c", WRITE_TORCH, weights, f"{weights}.pt"],
    }
    for package in needed:
        if package in commands:
            run([sys.executable, *commands[package]])


def run(command):
    """Runs a program to its end: seconds, CPU seconds of all threads, peak memory in bytes; None if it is killed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (BENCHMARKS.parent, BENCHMARKS)))}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryFile() as messages:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=messages, stderr=messages, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            return None
        if process.returncode:
            messages.seek(0)
            sys.exit(messages.read().decode())
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def check(name, output, expected):
    """Fails where a program has written another picture."""
    difference = np.abs(np.int16(Image.open(output)) - np.int16(Image.open(expected))).mean()
    limit = TOLERANCE[PROGRAMS[name][0]]
    assert difference <= limit, f"{name} differs from {REFERENCE} by {difference:.3f} levels"
    return difference


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="srgan", help="a weights file, or the name of pretrained weights")
    parser.add_argument("--photo", help="any picture (default: the astronaut of scikit-image)")
    parser.add_argument("--side", default=1024, type=int, help="of the square that the photograph is resized to")
    parser.add_argument("--rounds", default=7, type=int, help="rounds of which the median is taken")
    parser.add_argument("--programs", default=list(PROGRAMS), type=_names, help=f"of: {'; '.join(PROGRAMS)}")
    arguments = parser.parse_args()
    programs = {name: PROGRAMS[name] for name in arguments.programs if _installed(name)}
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, programs, Path(folder))


def measure(arguments, programs, folder):
    weights, photo = str(folder / "g.weights.h5"), str(folder / "photo.png")
    Path(weights).write_bytes(Path(find_weights(arguments.weights)).read_bytes())
    prepare(weights, {package for _, package, _ in programs.values()})
    outputs = {name: str(folder / f"{number}.png") for number, name in enumerate(programs)}
    commands = {
        name: [sys.executable, *command(weights, photo, outputs[name])] for name, (*_, command) in programs.items()
    }
    rounds = []
    for side in (WARM_UP, *[arguments.side] * arguments.rounds):
        with Image.open(arguments.photo or embedded_pictures()["astronaut"]) as picture:
            picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(photo)
        rounds.append({name: run(command) for name, command in commands.items()})
    print(f"{os.cpu_count()} cores; {arguments.side}x{arguments.side}; median of {arguments.rounds} rounds")
    print(f"{'':16} {'time':>8} {'CPU time':>9} {'x ours':>7} {'x CPU':>7} {'peak':>10}   difference")
    for name in programs:
        print_row(name, rounds[1:], outputs)


def print_row(name, rounds, outputs):
    if None in (each[name] for each in rounds):
        print(f"{name:16} killed: too little memory")
        return
    seconds, cpu, peak = (statistics.median(values) for values in zip(*(each[name] for each in rounds)))
    ratios = [statistics.median(each[name][kind] / each[REFERENCE][kind] for each in rounds) for kind in (0, 1)]
    line = f"{name:16} {seconds:7.2f}s {cpu:8.2f}s {ratios[0]:7.2f} {ratios[1]:7.2f} {peak / 2**30:6.2f} GiB"
    print(f"{line}   {check(name, outputs[name], outputs[REFERENCE]):.4f} levels", flush=True)


def _installed(name):
    package = PROGRAMS[name][1]
    if importlib.util.find_spec(package):
        return True
    print(f"{name} is left out: {package} is not installed")
    return False


def _names(text):
    names = [name.strip() for name in text.split(";")]
    for name in names:
        if name not in PROGRAMS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {'; '.join(PROGRAMS)}")
    return names if REFERENCE in names else [REFERENCE, *names]


if __name__ == "__main__":
    main()
