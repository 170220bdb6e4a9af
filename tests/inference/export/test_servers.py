"""Requests to a SavedModel that are wrong or hostile: errors of the request, in one process, which lives on."""

import io
import json
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from srgan_tf.imaging.color import from_network, to_network
from srgan_tf.inference.export import export

SERVER = """
import json, os, pickle, re, sys
import numpy as np
import tensorflow as tf


def peak():  # KiB, of Linux; not ru_maxrss, which is the parent's, if that is higher
    path = "/proc/self/status"
    return int(re.search(r"VmHWM:\\s+(\\d+)", open(path).read())[1]) if os.path.exists(path) else 0



signatures = tf.saved_model.load(sys.argv[1]).signatures
with open(sys.argv[2], "rb") as file:
    requests = pickle.load(file)
answers, pictures = {}, {}
start = peak()
for name, request in requests.items():
    signature = "serving_bytes" if isinstance(request, bytes) or name.startswith("bytes") else "serving_default"
    request = [request] if isinstance(request, bytes) else request
    try:
        (result,) = signatures[signature](tf.constant(request)).values()
    except Exception as error:
        answers[name] = [type(error).__name__, str(error)]
    else:
        pictures[name] = np.array(tf.io.decode_png(result[0]) if result.dtype == tf.string else result)
        answers[name] = ["answered", str(pictures[name].shape)]
grown = peak() - start
print(json.dumps({"answers": answers, "grown": grown}))
np.savez(sys.argv[3], **pictures)
"""
RNG = np.random.default_rng(0)
PICTURE = Image.fromarray(RNG.integers(0, 256, (7, 11, 3), np.uint8))
ALPHA = Image.merge("RGBA", (*PICTURE.split(), PICTURE.getchannel(1)))
SMOOTH = PICTURE.resize((48, 24))


def _encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _exif(orientation):
    exif = Image.Exif()
    exif[0x010F] = "a maker, so that the orientation is not the first"
    exif[0x0112] = orientation
    return exif


def _big_endian(orientation):
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _png(width, height, data=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _webp(width, height):
    """Without loss, of one colour: a few bytes, whatever the size."""
    bits = struct.pack("<I", width - 1 | height - 1 << 14) + bytes.fromhex("88880800")
    body = b"VP8L" + struct.pack("<I", 1 + len(bits)) + b"\x2f" + bits + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _resized_header(content, at, form, *values):
    return content[:at] + struct.pack(form, *values) + content[at + struct.calcsize(form) :]


def _jpeg(width, height):
    content = _encoded(PICTURE, "JPEG")
    return _resized_header(content, content.index(b"\xff\xc0") + 5, ">HH", height, width)


def _gif_of_many(count):
    """Frames of 200x200 pixels in one colour, of which TensorFlow decodes all to give the first."""
    one = _encoded(Image.new("P", (200, 200)), "GIF")
    start = one.index(b"\x2c", 13 + 3 * 2 ** ((one[10] & 7) + 1))
    return one[:-1] + one[start:-1] * (count - 1) + b";"


REFUSED = {
    "rank 0": (np.uint8(3), "not compatible with expected shape"),
    "rank 2": (np.zeros((8, 8), np.uint8), "not compatible with expected shape"),
    "rank 3": (np.zeros((8, 8, 3), np.uint8), "not compatible with expected shape"),
    "rank 5": (np.zeros((1, 1, 8, 8, 3), np.uint8), "not compatible with expected shape"),
    "six channels": (np.zeros((1, 8, 8, 6), np.uint8), "not compatible with expected shape"),
    "one channel": (np.zeros((1, 8, 8, 1), np.uint8), "not compatible with expected shape"),
    "float": (np.zeros((1, 8, 8, 3), np.float32), "expected to be a uint8 tensor"),
    "int32": (np.zeros((1, 8, 8, 3), np.int32), "expected to be a uint8 tensor"),
    "no rows": (np.zeros((1, 0, 8, 3), np.uint8), "has no pixels"),
    "no images": (np.zeros((0, 8, 8, 3), np.uint8), "has no pixels"),
    "many pixels": (np.zeros((4, 200, 100, 3), np.uint8), "larger than this model takes"),
    "bytes of rank 0": (np.array(b"x"), "not compatible with expected shape"),
    "bytes of rank 2": (np.array([[b"x"]]), "not compatible with expected shape"),
    "bytes that are numbers": (np.zeros(3, np.float32), "expected to be a string tensor"),
    "PNG of many pixels": (_png(30000, 30000), "larger than this model takes"),
    "PNG of most pixels": (_png(2**32 - 1, 2**32 - 1), "larger than this model takes"),
    "JPEG of many pixels": (_jpeg(60000, 60000), "larger than this model takes"),
    "WebP of many pixels": (_webp(16383, 16383), "larger than this model takes"),
    "BMP of many pixels": (
        _resized_header(_encoded(PICTURE, "BMP"), 18, "<ii", 100_000, -100_000),
        "larger than this model takes",
    ),
    "GIF of many pixels": (_encoded(Image.new("P", (4000, 4000)), "GIF"), "larger than this model takes"),
    "GIF with a frame of many pixels": (
        _resized_header(_encoded(Image.new("P", (4000, 4000)), "GIF"), 6, "<HH", 10, 10),
        "larger than this model takes",
    ),
    "animated WebP": (
        _encoded(ALPHA, "WEBP", save_all=True, append_images=[ALPHA.rotate(180)]),
        "give PNG, JPEG, BMP, GIF or a still WebP",
    ),
    "nothing": (b"", "empty"),
    "no image": (b"x" * 100, "Unknown image file format"),
    "no pixels": (_png(0, 5), "Unknown image file format"),
    **{
        f"{kind} cut to {size}": (_encoded(SMOOTH, kind, **options)[:size], "")
        for kind, options in (("PNG", {}), ("JPEG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {}))
        for size in (1, 5, 11, 13, 20, 31, 200)
    },
}
UPRIGHT = {
    f"{kind} {orientation}": _encoded(SMOOTH, kind, exif=_exif(orientation), **options)
    for kind, options in (("JPEG", {"quality": 80}), ("PNG", {}), ("WEBP", {"lossless": True}))
    for orientation in range(1, 9)
} | {
    "JPEG, big-endian": _encoded(SMOOTH, "JPEG", exif=_big_endian(6), quality=80),
    "PNG, big-endian": _encoded(SMOOTH, "PNG", exif=_big_endian(6)),
    "WebP, big-endian": _encoded(SMOOTH, "WEBP", exif=_big_endian(6), lossless=True),
    "JPEG of no orientation": _encoded(SMOOTH, "JPEG", exif=_exif(9), quality=80),
}
READ = UPRIGHT | {
    "WebP with alpha": _encoded(ALPHA, "WEBP", lossless=True, exact=True),
    "WebP with loss": _encoded(SMOOTH, "WEBP", quality=80),
    "WebP with loss and alpha": _encoded(ALPHA.resize((48, 24)), "WEBP", quality=80),
    "animated GIF": _encoded(
        SMOOTH.quantize(9), "GIF", save_all=True, append_images=[SMOOTH.rotate(180).quantize(9)], comment=b"x" * 1000
    ),
    "GIF of 400 MB": _gif_of_many(10_000),
    "gray BMP": _encoded(SMOOTH.convert("L"), "BMP"),
}


@pytest.fixture(scope="module")
def served(generator, tmp_path_factory):
    """What a server answered to every request, by its name; and the pictures that it made."""
    folder = tmp_path_factory.mktemp("server")
    export(generator, folder / "model", max_megapixels=1)
    requests = {name: request for name, (request, _) in REFUSED.items()} | READ
    (folder / "requests").write_bytes(pickle.dumps(requests))
    command = [sys.executable, "-c", SERVER, folder / "model", folder / "requests", folder / "pictures.npz"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "pictures.npz") as pictures:
        return json.loads(done.stdout), {name: pictures[name] for name in pictures.files}


def test_what_is_wrong_is_an_error_of_the_request(served):
    for name, (_, said) in REFUSED.items():
        kind, message = served[0]["answers"][name]
        assert kind == "InvalidArgumentError" and said in message, (name, kind, message)


def test_what_is_refused_takes_no_memory(served):
    assert served[0]["grown"] < 300_000  # kB; the network's own is in it


@pytest.mark.parametrize("name", READ)
def test_encoded_pictures_are_upright_and_without_alpha(generator, served, name):
    assert name in served[1], served[0]["answers"][name]
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(READ[name])))
    expected = from_network(generator(to_network(np.asarray(picture.convert("RGB"))[None]), training=False))[0]
    given = served[1][name]
    assert given.shape == expected.shape
    apart = np.abs(given.astype(int) - expected)
    assert apart.max() <= 1 and np.count_nonzero(apart) <= max(1, 1e-3 * apart.size)
