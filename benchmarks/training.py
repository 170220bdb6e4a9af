"""How fast a training step is, against the same networks, losses and first weights in PyTorch.

    python benchmarks/training.py [--shapes=16x96,4x384] [--rounds=7] [--vgg_path=FILE]
    python benchmarks/training.py --precisions=mixed_bfloat16 --programs=ours,torch,torch.compile
    python benchmarks/training.py --quick      small crops and few rounds, to see that everything runs

Each program has a process of its own, which sleeps while another is timed, and takes uint8 crops from the host.
Before the rounds all must give the same losses in their first two steps. PyTorch is left out where it is not installed.
Best without other work on the machine: each program wants all cores. On a busy one only the columns of CPU time say
anything: the seconds that a program's threads worked. On a GPU also under mixed precision and, for
PyTorch, autocast; since Ampere float32 means convolutions in TF32, in both frameworks. Without --vgg_path, VGG19 has
random weights, which cost the same.
"""

import argparse
import functools
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from processes import start_all
from trainers import ONLY_SRGAN, PROGRAMS, read_start

from srgan_tf.system.errors import UserError

PHASES = {"srresnet": "SRResNet", "srgan": "SRGAN-VGG54"}
OURS, BASELINE, COMPILED = "ours", "torch", "torch.compile"
XLA, NO_XLA = "ours under XLA", "ours without XLA"  # one of which is ours
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STEPS = 2  # whose losses are compared, and after which all is compiled
ROUND = 0.5  # seconds of a program in a round: as many steps as they take, at least one
# Relative, of the losses in the first step; and in one after Adam has moved the weights by nearly the gradients' signs.
TOLERANCES = {"float32": (1e-3, 0.02), "mixed_float16": (0.05, 0.3), "mixed_bfloat16": (0.2, 0.5)}


def make_batch(crops, side, scale):
    """Random uint8 crops `(lr, hr)`."""
    lr = np.random.default_rng(0).integers(0, 256, (crops, side // scale, side // scale, 3), np.uint8)
    return lr, lr.repeat(scale, axis=1).repeat(scale, axis=2)


def check(programs, precision):
    """Has each program take its first two steps; fails where their losses are not those of ours.

    A D that is updated first gives other logits, so that -log D(G(LR)) is compared among such programs.

    Returns:
        For each program the seconds of the two steps, and the largest relative difference in the first and the second.
    """
    losses, seconds = {name: [] for name in programs}, {name: [] for name in programs}
    for name, program in programs.items():
        for _ in range(STEPS):
            start = time.perf_counter()
            losses[name].append(program("losses"))
            seconds[name].append(time.perf_counter() - start)
    largest = [0.0] * STEPS
    for name in programs:
        sequential = PROGRAMS[name].sequential
        first_alike = next(other for other in programs if PROGRAMS[other].sequential == sequential)
        for step, terms in enumerate(losses[name]):
            for term, value in terms.items():
                moved = sequential and term == "adversarial"
                reference = losses[first_alike if moved else OURS][step][term]
                difference = abs(value / reference - 1)
                if difference > TOLERANCES[precision][max(step, moved)]:
                    sys.exit(f"{name}: {term} is {value} in step {step + 1}, not {reference}: other networks?")
                if not moved:
                    largest[step] = max(largest[step], difference)
    return seconds, largest


def in_rounds(programs, warm, count):
    """Times all programs, one after the other in each round.

    Args:
        programs: Each a `Process`, by name.
        warm: The seconds of a step of each.
        count: Of rounds.

    Returns:
        For each program arrays of the seconds of a step and of those that its threads worked, and the peak of its
        memory in bytes: on the GPU where there is one.
    """
    counts = {name: max(1, round(ROUND / warm[name])) for name in programs}
    rounds = [{name: program("time", [counts[name]]) for name, program in programs.items()} for _ in range(count)]
    results = {}
    for name, program in programs.items():
        seconds, peaks, cpu_seconds = zip(*(each[name] for each in rounds))
        peak = program("gpu_memory") if program.on_gpu else peaks[-1]
        results[name] = np.array(seconds) / counts[name], np.array(cpu_seconds) / counts[name], peak
    return results


def print_table(results, firsts, crops):
    peers = [name for name in results if name.startswith(BASELINE)]
    fastest = min(peers, key=lambda name: statistics.median(results[name][0]), default=None)
    print(f"{'':18} {'first':>9} {'ms/step':>8} {'quartiles':>14} {'CPU ms':>8} {'images/s':>8} {'x torch':>8}", end="")
    print(f" {'x CPU':>6} {'x fastest':>9} {'peak':>9}" + (f"   fastest: {fastest}" if fastest else ""))
    for name, (seconds, cpu_seconds, peak) in results.items():
        low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
        line = f"{name:18} {firsts[name]:8.1f}s {1e3 * median:8.1f} {1e3 * low:6.0f} {1e3 * high:7.0f}"
        line += f" {1e3 * statistics.median(cpu_seconds):8.1f} {crops / median:8.1f}"
        for peer, own, which, width in (
            (BASELINE, seconds, 0, 8),
            (BASELINE, cpu_seconds, 1, 6),
            (fastest, seconds, 0, 9),
        ):
            ratio = statistics.median(results[peer][which] / own) if peer in results else None
            line += f" {ratio:{width}.2f}" if ratio else f" {'-':>{width}}"
        print(f"{line} {peak / 2**30:5.2f} GiB", flush=True)


def print_parts(parts, step):
    """The share of each part in a step of `step` seconds."""
    print("parts of ours, each compiled by itself and timed alone; backward is with forward, less forward:")
    for part, seconds in (parts | {"the rest": step - sum(parts.values())}).items():
        print(f"    {part:34} {1e3 * seconds:8.1f} ms {seconds / step:6.0%}", flush=True)


def measure(arguments, context, start, phase, shape, precision):
    """Prints all of one phase at one shape under one precision; returns the median seconds of our step."""
    crops, side = shape
    scale = start["generator"]["scale"]
    print(f"\n{PHASES[phase]}, {crops} crops of {side // scale}x{side // scale} to {side}x{side}, {precision}")
    names = [name for name in arguments.programs if phase == "srgan" or name not in ONLY_SRGAN]
    programs = start_all(context, PROGRAMS, names, start, phase, make_batch(crops, side, scale), precision)
    for name, program in programs.items():
        if program.on_gpu != programs[OURS].on_gpu:
            sys.exit(f"only one of {OURS} and {name} computes on a GPU; install both for it, or leave {name} out")
    seconds, (first, second) = check(programs, precision)
    print(f"largest difference of the losses from ours: {first:.0e} in the first step, {second:.0e} in the second")
    results = in_rounds(programs, {name: steps[-1] for name, steps in seconds.items()}, arguments.rounds)
    print_table(results, {name: steps[0] for name, steps in seconds.items()}, crops)
    medians = {name: statistics.median(each) for name, (each, *_) in results.items()}
    if arguments.parts:
        print_parts(programs[OURS]("parts"), medians[OURS])
    for program in programs.values():
        program.close()
    return medians[OURS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="srresnet", help="of G at the start: a file, or the name of shipped ones")
    parser.add_argument("--vgg_path", default="", help="VGG19 weights without top, Keras layout (empty: random ones)")
    parser.add_argument("--shapes", default="16x96,4x384", help="crops x side of an HR crop, ...", type=_shapes)
    parser.add_argument("--rounds", default=7, type=int, help="of which the median is taken")
    parser.add_argument("--phases", type=_names(PHASES), help=", ".join(PHASES))
    parser.add_argument("--programs", type=_names(PROGRAMS), help=", ".join(PROGRAMS))
    parser.add_argument("--precisions", type=_names(PRECISIONS), help=f"{', '.join(PRECISIONS)} (CPU: the first)")
    parser.add_argument("--parts", default=True, action=argparse.BooleanOptionalAction, help="time parts of our step")
    parser.add_argument("--quick", action="store_true", help="the same as --shapes=2x48 --rounds=3")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.shapes, arguments.rounds = [(2, 48)], 3
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        with context.Pool(1) as pool:
            random_vgg = str(Path(folder, "random.weights.h5"))
            try:
                start = pool.apply(read_start, (arguments.weights, arguments.vgg_path, random_vgg))
            except UserError as error:
                sys.exit(f"training.py: error: {error}")
        gpu = start["gpu"]
        arguments.phases = arguments.phases or list(PHASES)
        arguments.programs = arguments.programs or [
            name for name in PROGRAMS if name not in ((XLA,) if gpu else (NO_XLA, COMPILED))
        ]
        arguments.precisions = arguments.precisions or PRECISIONS[: None if gpu else 1]
        if OURS not in arguments.programs:
            parser.error(f"--programs must have {OURS!r}")
        print(f"{os.cpu_count()} cores{', GPU' if gpu else ''}; {arguments.rounds} rounds; x: times as fast as")
        for shape in arguments.shapes:
            for phase in arguments.phases:
                run = functools.partial(measure, arguments, context, start, phase, shape)
                seconds = {precision: run(precision) for precision in arguments.precisions}
                for precision in seconds:
                    if precision != "float32" in seconds:
                        times = seconds["float32"] / seconds[precision]
                        print(f"ours: {precision} is {times:.2f} times as fast as float32")


def _names(known):
    def names(text):
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return found

    return names


def _shapes(text):
    found = [re.fullmatch(r"(\d+)x(\d+)", shape) for shape in text.split(",")]
    if not all(found) or any(not int(shape[1]) or not int(shape[2]) or int(shape[2]) % 16 for shape in found):
        raise argparse.ArgumentTypeError("must be like 16x96,4x384: crops x side, a multiple of 16")
    return [(int(shape[1]), int(shape[2])) for shape in found]


if __name__ == "__main__":
    main()
