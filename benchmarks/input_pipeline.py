"""Training crops a second from the input pipeline, against a PyTorch DataLoader that decodes with Pillow.

    pip install torch
    python benchmarks/input_pipeline.py PHOTOGRAPHS [REPETITIONS]

PHOTOGRAPHS is a folder of JPEGs; the PNGs and the packed form are made of them in a temporary folder. Only the system
caches files, as for a set that is larger than the memory. All with two workers, measured alternately.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from srgan_tf.data import folders, packed
from srgan_tf.imaging import files

MOST = 150  # photographs, the first ones
SHAPES = ((96, 16), (384, 4))  # side of a crop and crops a batch
WORKERS, SCALE = 2, 4
REPETITION = 0.7  # seconds, about
PEER = "PyTorch"


def with_pytorch(pictures, crop_size, batch_size):
    """Batches of `(lr, hr)` by a DataLoader, as such code is usually written."""
    import torch

    class Crops(torch.utils.data.Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, index):
            image = Image.open(pictures[index].path).convert("RGB")
            left, top = (int(torch.randint(side - crop_size + 1, ())) for side in image.size)
            hr = image.crop((left, top, left + crop_size, top + crop_size))
            lr = hr.resize((crop_size // SCALE, crop_size // SCALE), Image.Resampling.BICUBIC)
            return torch.from_numpy(np.array(lr)), torch.from_numpy(np.array(hr))

    endless = torch.utils.data.RandomSampler(range(len(pictures)), replacement=True, num_samples=10**9)
    return iter(torch.utils.data.DataLoader(Crops(), batch_size, sampler=endless, num_workers=WORKERS))


def with_ours(store, crop_size, batch_size, degradation=None, **options):
    """Batches of `(lr, hr)` by this package."""
    from srgan_tf.data import pipeline
    from srgan_tf.data.sampling import Sampler

    options = {"crop_size": crop_size, "batch_size": batch_size, "scale": SCALE, "seed": 0} | options
    sampler = Sampler(store.sizes, **options)
    return iter(pipeline.batches(store, sampler, start=0, stop=10**7, workers=WORKERS, degradation=degradation))


def cpu_seconds():
    """That this process and its children have used."""
    process = psutil.Process()
    times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    return sum(part.user + part.system for part in times)


def settle():
    """Waits until all programs have prefetched what they will, at most some seconds."""
    for _ in range(50):
        before = cpu_seconds()
        time.sleep(0.1)
        if cpu_seconds() - before < 0.02:
            return


def measure(batches, count, batch_size):
    """Crops a second and milliseconds of CPU a crop, once the prefetched batches are used up."""
    settle()
    for _ in range(4 * WORKERS):
        next(batches)
    start, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(count):
        next(batches)
    crops = count * batch_size
    return crops / (time.perf_counter() - start), (cpu_seconds() - cpu) / crops * 1e3


def compare(programs, batch_size, repetitions):
    """Prints a table of the medians."""
    counts = {}
    for name, batches in programs.items():
        rate, _ = measure(batches, 10, batch_size)
        counts[name] = max(6, round(REPETITION * rate / batch_size))
    rates, cpu = {name: [] for name in programs}, {name: [] for name in programs}
    for _ in range(repetitions):
        for name, batches in programs.items():
            for values, value in zip((rates, cpu), measure(batches, counts[name], batch_size)):
                values[name].append(value)
    for name in programs:
        peer = f"{PEER}, {'PNG' if 'PNG' in name else 'JPEG'}"
        rate, faster = statistics.median(rates[name]), statistics.median(np.divide(rates[name], rates[peer]))
        used, less = statistics.median(cpu[name]), statistics.median(np.divide(cpu[peer], cpu[name]))
        print(f"{name:36} {rate:8.0f} crops/s {faster:6.2f} x   {used:6.2f} ms {less:6.2f} x", flush=True)


def main(argv):
    if not 2 <= len(argv) <= 3:
        sys.exit("usage: python benchmarks/input_pipeline.py PHOTOGRAPHS [REPETITIONS]    (a folder of JPEGs; 7)")
    repetitions = int(argv[2]) if len(argv) > 2 else 7
    from srgan_tf.data import packing  # imports TensorFlow, which prints lines unless told not to

    with tempfile.TemporaryDirectory() as temporary:
        jpegs = folders.scan(argv[1], SHAPES[0][0]).pictures[:MOST]
        pngs, folder = Path(temporary, "pngs"), Path(temporary, "packed")
        pngs.mkdir()
        for number, picture in enumerate(jpegs):
            Image.fromarray(files.read_rgb(picture.path)).save(pngs / f"{number:05}.png")
        packing.pack(jpegs, argv[1], folder)
        pixels = statistics.mean(picture.height * picture.width for picture in jpegs)
        print(f"{len(jpegs)} pictures, {pixels / 1e6:.2f} megapixels on average; {os.cpu_count()} cores; medians")
        print(
            f"of {repetitions}, alternating: crops/s and how many times the PyTorch loader's from the same files; CPU"
        )
        print("time a crop, which other programs on the machine touch less, and how many times less than the loader's")
        forms = [
            {
                "JPEG": tuple(picture for picture in jpegs if min(picture.height, picture.width) >= shape[0]),
                "PNG": folders.scan(pngs, shape[0]).pictures,
                "packed": packed.scan(folder, shape[0]).pictures,
            }
            for shape in SHAPES
        ]
        peers = [  # before TensorFlow's threads are there, since they fork
            {f"{PEER}, {form}": with_pytorch(pictures[form], *shape) for form in ("JPEG", "PNG")}
            for shape, pictures in zip(SHAPES, forms)
        ]
        for shape, pictures, programs in zip(SHAPES, forms, peers):
            print(f"\n{shape[0]}x{shape[0]}, batches of {shape[1]}; {len(pictures['JPEG'])} photographs are used")
            compare(programs | our_programs(pictures, folder, shape), shape[1], repetitions)


def our_programs(pictures, folder, shape):
    """A dict from names to batches."""
    from srgan_tf.data.store import PhotographStore
    from srgan_tf.imaging.degradation.chain import Degradation

    programs = {}
    for form in ("JPEG", "PNG"):
        for crops in (1, 4):
            name = f"ours, {form}" + (f", {crops} crops of a picture" if crops > 1 else "")
            store = PhotographStore(pictures[form], SCALE, 0)
            programs[name] = with_ours(store, *shape, crops_per_image=crops)
    store = packed.PackedStore(folder, pictures["packed"], SCALE)
    programs["ours, packed"] = with_ours(store, *shape)
    programs["ours, packed, degraded"] = with_ours(store, *shape, degradation=Degradation(SCALE))
    return programs


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(sys.argv)
