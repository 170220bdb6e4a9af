"""How fast the generator upscales, against the same network with the same weights in other software.

    python benchmarks/inference.py [--weights=srresnet] [--sizes=64,128,256,512] [--rounds=9] [--mixed=12]
        [--precision=float32,bfloat16]

On a busy machine, only the columns of CPU time say anything: the seconds that a program's threads worked.

Each program has a process of its own, which sleeps while another is timed, and takes float32 pictures in [-1,
1] from the host to the host. PyTorch and ONNX Runtime are left out where they are not installed. Best without other
work on the machine: each program wants all cores. At 512x512 all programs together hold about 30 GiB; where that is
too much, name some of them with --programs, and the others in a second run.
"""

import argparse
import math
import multiprocessing
import os
import statistics

import numpy as np
from processes import start_all
from programs import PROGRAMS, RATE_CHANNELS, RATE_LAYERS, RATE_SIDE, read_model

REFERENCE = "keras"
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.3}  # of values in [-1, 1], between two programs


def time_interleaved(programs, pictures, rounds):
    """Times all programs on the same pictures, in rounds.

    Returns:
        For each program: the seconds of the first time, arrays of the seconds of the others and of those that its
        threads worked, and the peak memory of its process until then in bytes.
    """
    firsts = {name: program("time", pictures)[0] for name, program in programs.items()}
    for program in programs.values():
        program("time", pictures)  # PyTorch and TorchScript settle in the second run only
    turns = [{name: program("time", pictures) for name, program in programs.items()} for _ in range(rounds)]
    results = {}
    for name in programs:
        seconds, peaks, cpu_seconds = zip(*(turn[name] for turn in turns))
        results[name] = firsts[name], np.array(seconds), np.array(cpu_seconds), peaks[-1]
    return results


def check_agreement(programs, lr, dtype):
    """The largest differences from Keras; fails where a program computes another network."""
    expected = programs[REFERENCE]("run", lr)
    differences = {name: float(np.abs(program("run", lr) - expected).max()) for name, program in programs.items()}
    for name, difference in differences.items():
        assert difference <= TOLERANCE[dtype], f"{name} differs from {REFERENCE} by {difference}"
    return differences


def convolution_rate(programs):
    """FLOP/s of 3x3 convolutions from 64 to 64 channels at 128x128: the best of 20 in each framework that has them."""
    flop = RATE_LAYERS * 2 * RATE_SIDE**2 * 9 * RATE_CHANNELS**2
    return flop / min(programs[name]("rate") for name in ("ours", "torch") if name in programs for _ in range(20))


def network_flop(model):
    """FLOP of the network as published for one LR pixel: its convolutions, whose names give their resolution."""
    flop = 0
    for name, (kernel, *_) in model["weights"].items():
        if name.endswith("_conv"):
            stage = int(name[2:].split("_")[0]) if name.startswith("up") else 0
            pixels = model["scale"] ** 2 if name == "last_conv" else 4**stage
            flop += 2 * math.prod(kernel.shape) * pixels
    return flop


def print_rows(title, results, pixels, model, rate, compilations=None):
    """Prints a table of what `time_interleaved` gave for pictures of so many pixels together."""
    flop, megapixels = network_flop(model) * pixels, pixels * model["scale"] ** 2 / 1e6
    print(f"\n{title}: {flop / 1e9:.1f} GFLOP; convolutions ran at {rate / 1e9:.0f} GFLOP/s")
    columns = [("first", 8), ("median", 8), ("best", 8), ("CPU", 8), ("times ours", 11), ("times CPU", 10)]
    columns += [("Mpx/s", 7), ("GFLOP/s", 8), ("share", 6), ("peak", 9)]
    print(" ".join([" " * 14, *(f"{heading:>{width}}" for heading, width in columns)]))
    _, our_seconds, our_cpu, _ = results["ours"]
    for name, (first, seconds, cpu, peak) in results.items():
        ratio, cpu_ratio = statistics.median(seconds / our_seconds), statistics.median(cpu / our_cpu)
        median = statistics.median(seconds)
        line = f"{name:14} {first:7.2f}s {median:7.3f}s {seconds.min():7.3f}s"
        line += f" {statistics.median(cpu):7.3f}s {ratio:11.2f} {cpu_ratio:10.2f}"
        line += f" {megapixels / median:7.2f} {flop / median / 1e9:8.0f} {flop / median / rate:6.0%}"
        line += f" {peak / 2**30:5.1f} GiB"
        print(line + (f"  {compilations[name]} compilations" if compilations else ""), flush=True)


def measure(arguments, context, model, dtype):
    """Prints all tables of one precision."""
    programs = start_all(context, PROGRAMS, arguments.programs, model, dtype)
    rng = np.random.default_rng(0)

    def picture(height, width):
        return rng.uniform(-1, 1, (1, height, width, 3)).astype(np.float32)

    differences = check_agreement(programs, picture(48, 40), dtype)
    print(
        f"\n{dtype}: largest difference from Keras: " + ", ".join(f"{name} {d:.0e}" for name, d in differences.items())
    )
    sizes = rng.integers(60, 301, (arguments.mixed, 2))
    if arguments.mixed:
        before = {name: program("compilations") for name, program in programs.items()}
        rate = convolution_rate(programs)
        results = time_interleaved(programs, [picture(*size) for size in sizes], max(3, arguments.rounds // 3))
        compilations = {name: program("compilations") - before[name] for name, program in programs.items()}
        title = f"{arguments.mixed} pictures of mixed sizes, {sizes.min()} to {sizes.max()}"
        print_rows(title, results, int(sizes.prod(axis=1).sum()), model, rate, compilations)
    for side in arguments.sizes:
        rate = convolution_rate(programs)
        results = time_interleaved(programs, [picture(side, side)], arguments.rounds)
        print_rows(f"{side}x{side}", results, side**2, model, rate)
    for program in programs.values():
        program.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="srresnet", help="a weights file, or the name of pretrained weights")
    parser.add_argument("--sizes", default="64,128,256,512", help="sides of the square LR pictures", type=_numbers)
    parser.add_argument("--rounds", default=9, type=int, help="rounds of which the median is taken")
    parser.add_argument("--mixed", default=12, type=int, help="pictures of mixed sizes, 60 to 300; 0: none")
    parser.add_argument("--programs", default=list(PROGRAMS), type=lambda text: text.split(","), help="which ones")
    parser.add_argument("--precision", default=["float32"], type=lambda text: text.split(","), help="one or more")
    arguments = parser.parse_args()
    for name in ("ours", REFERENCE):
        if name not in arguments.programs:
            parser.error(f"--programs must have {name!r}")
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_FORCE_GPU_ALLOW_GROWTH="true")
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        model = pool.apply(read_model, (arguments.weights,))
    shape = f"{model['blocks']} blocks, {model['filters']} filters, {model['scale']}x"
    print(f"{os.cpu_count()} cores; {shape}; median of {arguments.rounds} rounds")
    print(
        "times ours: the median of the rounds' ratios; Mpx/s: megapixels of the results; share: the published network's"
        " FLOP/s, of the convolution rate"
    )
    for dtype in arguments.precision:
        if dtype != "float32":  # ONNX Runtime has that graph only
            arguments.programs = [name for name in arguments.programs if name != "onnxruntime"]
        measure(arguments, context, model, dtype)


def _numbers(text):
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
