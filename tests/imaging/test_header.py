import io
import re
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from srgan_tf.imaging import files
from srgan_tf.imaging.errors import UnsupportedPicture
from srgan_tf.imaging.header import read_header
from srgan_tf.imaging.raster import open_raster
from srgan_tf.system.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (61, 64, 3), dtype=np.uint8)
CUT = "truncated: its end is missing"


def bmp_of_run_lengths():
    """A BMP of 6x4 pixels in 8-bit run lengths, by Microsoft's description of the format."""
    rows = b"".join(bytes([6, color, 0, 0]) for color in (1, 2, 1, 2))[:-2] + b"\0\1"
    palette = bytes(4) + bytes([0, 0, 255, 0]) + bytes([255, 0, 0, 0])
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 6, 4, 1, 8, 1, len(rows), 0, 0, 3, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def tiff_before_its_pixels(tiled, compressed):
    """A gray TIFF of 32x16 pixels in two strips or tiles, its tags before its pixels, by TIFF 6.0."""
    parts = [NOISE[:16, :16, 0], NOISE[:16, 16:32, 0]] if tiled else [NOISE[:8, :32, 0], NOISE[8:16, :32, 0]]
    parts = [zlib.compress(part.tobytes()) if compressed else part.tobytes() for part in parts]
    where, lengths = (324, 325) if tiled else (273, 279)
    shape = [(322, 16), (323, 16)] if tiled else [(278, 8)]
    values = 8 + 2 + 12 * (8 + len(shape)) + 4  # where the two offsets and the two lengths are
    tags = {256: 32, 257: 16, 258: 8, 259: 8 if compressed else 1, 262: 1, 277: 1, **dict(shape)}
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", where, 4, 2, values), struct.pack("<HHII", lengths, 4, 2, values + 8)]
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    offsets = struct.pack("<II", values + 16, values + 16 + len(parts[0]))
    sizes = struct.pack("<II", *map(len, parts))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + offsets + sizes + b"".join(parts)


def saved(kind, **options):
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, kind, **options)
    return file.getvalue()


WHOLE = {
    "rows.bmp": saved("BMP"),
    "runs.bmp": bmp_of_run_lengths(),
    "strip.tif": saved("TIFF"),
    "strips.tif": tiff_before_its_pixels(tiled=False, compressed=False),
    "packed-strips.tif": tiff_before_its_pixels(tiled=False, compressed=True),
    "tiles.tif": tiff_before_its_pixels(tiled=True, compressed=False),
    "packed-tiles.tif": tiff_before_its_pixels(tiled=True, compressed=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_one_missing_byte_is_found(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    assert files.probe(path) == files.read_rgb(path).shape[:2]
    path.write_bytes(WHOLE[name] + b"behind the picture")
    files.probe(path)
    path.write_bytes(WHOLE[name][:-1])
    with pytest.raises(UserError) as error:
        files.probe(path)
    assert error.value.reason == CUT


def test_a_strip_in_the_middle_that_lies_beyond_the_end_is_found(tmp_path):
    data = bytearray(WHOLE["strips.tif"])
    first = struct.pack("<I", data.index(NOISE[:8, :32, 0].tobytes()))
    data[data.rindex(first) : data.rindex(first) + 4] = struct.pack("<I", len(data))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match=CUT):
        files.probe(tmp_path / "a.tif")


def test_a_wrong_size_in_the_head_of_a_bmp_does_no_harm(tmp_path):
    for size in (0, 10**9):
        data = WHOLE["rows.bmp"]
        (tmp_path / "a.bmp").write_bytes(data[:2] + struct.pack("<I", size) + data[6:])
        assert files.probe(tmp_path / "a.bmp") == (61, 64)


def test_a_gif_needs_its_first_frame_only(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(picture) for picture in (NOISE, 255 - NOISE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    one = saved("GIF")
    for length in (len(data), len(data) - 1, len(data) * 9 // 10):
        path.write_bytes(data[:length])
        assert files.probe(path) == files.read_rgb(path).shape[:2] == (61, 64)
    for length in (len(one) // 2, len(one) - 2):  # the last is the trailer, the one before it ends the frame
        path.write_bytes(one[:length])
        with pytest.raises(UserError, match=CUT):
            files.probe(path)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_that_is_cut_short_is_refused(tmp_path, lossless):
    data = saved("WEBP", lossless=lossless)
    (tmp_path / "a.webp").write_bytes(data[:-1])
    with pytest.raises(UserError, match=CUT):
        files.probe(tmp_path / "a.webp")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_progressive_jpeg_that_lacks_scans_is_refused_though_it_ends(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.kron(NOISE, np.ones((16, 16, 1), np.uint8))).convert(mode).save(path, progressive=True)
    data = path.read_bytes()
    assert files.probe(path) == (976, 1024)
    path.write_bytes(data + data)  # as phones append a second picture
    files.probe(path)
    scans = [found.start() for found in re.finditer(b"\xff\xda", data)]
    assert len(scans) == {"RGB": 10, "L": 6, "CMYK": 18}[mode]
    for start, end in zip(scans, [*scans[1:], len(data) - 2]):  # without it, and without all from it on
        for kept in (data[:start] + data[end:], data[:start] + b"\xff\xd9"):
            path.write_bytes(kept)
            with pytest.raises(UserError, match=CUT):
                files.probe(path)


def test_endless_scans_of_a_jpeg_end(tmp_path):
    head = saved("JPEG", progressive=True)
    head = head[: head.index(b"\xff\xda")]
    (tmp_path / "a.jpg").write_bytes(head + b"\xff\xda\0\2" * 500_000 + b"\xff\xd9")
    start = time.process_time()
    with pytest.raises(UserError, match=CUT):
        files.probe(tmp_path / "a.jpg")
    assert time.process_time() - start < 2


@pytest.mark.parametrize("rest", [b"", b"\xff", b"\xff\xff", b"\xff\xe0", b"\xff\xe0\0", b"\xff\xe0\0\0"])
def test_the_walk_over_a_broken_jpeg_header_ends(tmp_path, rest):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xee\0\2" + rest)
    with pytest.raises(UserError, match="damaged or truncated"):
        files.probe(tmp_path / "a.jpg")


def test_bytes_before_a_segment_of_a_jpeg_are_passed_over_up_to_a_limit():
    whole = saved("JPEG")
    assert read_header(io.BytesIO(b"\xff\xd8\xff" + bytes(1000) + whole[2:])).size == NOISE.shape[:2]
    start = time.process_time()
    with pytest.raises(UnsupportedPicture, match="its size is missing"):
        read_header(io.BytesIO(b"\xff\xd8\xff" + bytes(40_000_000) + whole[2:]))
    assert time.process_time() - start < 5


def overlapping_tiff(kind):
    """A TIFF in which pages, or IFDs below one, are made of the same bytes again and again."""
    head, most = b"II*\0" + struct.pack("<I", 8), 2**16 - 1
    if kind == "values":  # each page has all of the file as a value
        count = 20_000
        pages = [struct.pack("<HHHIII", 1, 0x8298, 1, 1_000_000, 0, 26 + 18 * number) for number in range(count)]
        return (head + b"".join(pages)[:-4]).ljust(1_000_000, b"\0")
    body = bytes(12 * most)
    if kind == "sub":
        offsets = struct.pack("<I", 80_026) * 20_000
        return head + struct.pack("<HHHIII", 1, 330, 4, 20_000, 26, 0) + offsets + b"\xff\xff" + body
    data = bytearray(head + bytes(16 * 20_000) + body)
    for place in range(8, 8 + 16 * 19_000, 16):
        data[place : place + 2] = b"\xff\xff"
        struct.pack_into("<I", data, place + 2 + len(body), place + 16)
    return bytes(data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak in /proc")
@pytest.mark.parametrize("kind", ["values", "entries", "sub"])
def test_overlapping_ifds_take_neither_memory_nor_time(tmp_path, run_python, kind):
    """With 1 MB of file it was more than 60 GB, or an hour."""
    (tmp_path / "a.tif").write_bytes(overlapping_tiff(kind))
    limited = "import re, resource, sys; resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
    limited += "from srgan_tf.imaging import files; from srgan_tf.system.errors import UserError\n"
    limited += "try: files.probe(sys.argv[1])\nexcept UserError: print('refused')\n"
    # ru_maxrss would be the parent's peak, if that is higher.
    limited += "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    refused, peak = run_python("-c", limited, tmp_path / "a.tif").stdout.split()
    assert refused == "refused" and int(peak) < 300_000  # KiB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resets the peak by /proc")
def test_what_decoding_takes_is_known_from_the_header(tmp_path, run_python):
    side = 3000
    ramp = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
    image, turned = Image.fromarray(np.dstack([ramp, ramp[::-1], 255 - ramp])), Image.Exif()
    turned[274] = 6
    image.save(tmp_path / "a.bmp")
    image.save(tmp_path / "a.webp", lossless=True, quality=0, method=0)
    image.save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    image.save(tmp_path / "turned.png", exif=turned, compress_level=1)
    pyvips.Image.new_from_file(tmp_path / "turned.png").pngsave(
        tmp_path / "interlaced.png", interlace=True, keep="none"
    )
    small = tmp_path / "small" / "a.png"
    small.parent.mkdir()
    image.resize((64, 64)).save(small)
    code = """
import re, sys
from srgan_tf.imaging import raster
from srgan_tf.imaging.header import read_header
raster._MAX_BYTES_IN_MEMORY = 100
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
for path in sys.argv[1:]:  # the first to warm up
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    with raster.open_raster(path) as opened:
        for top in range(0, opened.height, 100):
            opened.rows(top, min(top + 100, opened.height))
print(status("VmHWM") - before, read_header(open(path, "rb")).decoder_bytes)
"""
    for path in sorted(tmp_path.glob("*.*")):  # each in a process of its own: what is freed often stays resident
        taken, expected = map(int, run_python("-c", code, small, path).stdout.split())
        assert 0.3 * expected < taken < expected + (32 << 20), path


def test_a_picture_that_takes_too_much_memory_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "a.webp").write_bytes(
        saved("WEBP")[:60].ljust(len(saved("WEBP")), b"\0")
    )  # of which only the head is one
    words = "needs 0 MiB of memory to be decoded, 0 MiB are left; allow more --max_memory"
    with pytest.raises(UserError, match=words), open_raster(tmp_path / "a.webp", max_bytes=9 * 61 * 64 - 1):
        pass
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    with open_raster(tmp_path / "a.png", max_bytes=0) as raster:  # by rows
        assert raster.rows(0, 61).shape == (61, 64, 3)


def test_a_png_of_indices_without_a_palette_is_named_before_it_is_decoded(tmp_path):
    path, file = tmp_path / "a.png", io.BytesIO()
    Image.fromarray(NOISE).quantize(9).save(file, "PNG")
    content = file.getvalue()
    path.write_bytes(content)
    assert files.probe(path) == (61, 64)
    start = content.index(b"PLTE") - 4
    (length,) = struct.unpack(">I", content[start : start + 4])
    path.write_bytes(content[:start] + content[start + 12 + length :])
    for read in (files.probe, files.read_rgb):
        with pytest.raises(UserError, match="a.png: damaged: its palette is missing"):
            read(path)
