"""Every kind of file in docs/formats.md in every mode; the files are made by other software or by hand."""

import gzip
import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from srgan_tf.data import folders, packed, packing, pipeline
from srgan_tf.data.store import JpegCrops, PhotographStore
from srgan_tf.evaluation.picture_sets import load_pair
from srgan_tf.imaging import files
from srgan_tf.imaging.raster import open_raster
from srgan_tf.system.errors import UserError

SIDE = 48  # pixels, a multiple of 4
RNG = np.random.default_rng(0)
RGB, RGB16 = (RNG.integers(0, most, (SIDE, SIDE, 3)).astype(dtype) for most, dtype in ((256, "u1"), (65536, "u2")))
GRAY, GRAY16 = RGB[..., 0].copy(), RGB16[..., 0].copy()
ALPHA, ALPHA16 = RGB[..., 1].T.copy(), RGB16[..., 1].T.copy()
BLOCKS = RNG.integers(0, 256, (SIDE // 16, SIDE // 16, 3)).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
PALETTE = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
INDICES = GRAY % 16
RGBA, RGBA16, LA = np.dstack([RGB, ALPHA]), np.dstack([RGB16, ALPHA16]), np.dstack([GRAY, ALPHA])
SIX = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 3, 1, 6) + bytes(4)  # EXIF: orientation 6
XMP_SIX = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
TURNED = np.rot90(RGB)  # what a camera stores that is turned to the left: row 0 is the right of the scene
LOSSLESS = {"lossless": True, "exact": True}
FULL = {"quality": 100, "subsampling": 0}


def pillow(pixels, kind, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels).squeeze())
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(*pages, **options):
    file = io.BytesIO()
    form = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    with tifffile.TiffWriter(file, **form) as writer:
        for page in pages:
            more = {} if page.ndim == 2 else {"photometric": "rgb", "planarconfig": "contig"}
            writer.write(page, metadata=None, **(more | options))
    return file.getvalue()


def subfile(pixels, kind):
    return {"data": pixels, "subfiletype": kind}


def two_pages(second, kind):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(second, subfiletype=kind, metadata=None)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, depth, color_type, *chunks):
    """A PNG after its specification: rows without filter."""
    height, width = pixels.shape[:2]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    if depth < 8:
        bits = (pixels[..., None] >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1
        rows = np.packbits(bits.reshape(height, -1), axis=1)
    else:
        rows = pixels.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    middle = b"".join(chunk(*each) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def png16(pixels):
    return png(pixels, 16, {1: 0, 2: 4, 3: 2, 4: 6}[pixels.size // SIDE**2])


def png_key(pixels, depth, key):
    return png(pixels, depth, 0 if pixels.ndim == 2 else 2, (b"tRNS", struct.pack(f">{len(key)}H", *key)))


def in_chunk(kind, data):
    return png(TURNED, 8, 2, (kind, data))


def with_alpha(values, key):
    """The values with the alpha that hides one of them."""
    hidden = (values.reshape(SIDE, SIDE, -1) == key).all(axis=2)
    return np.dstack([values, np.where(hidden, 0, np.iinfo(values.dtype).max).astype(values.dtype)])


def raw_profile():
    return b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(SIX), SIX.hex().encode())


def jpeg_xmp(packet):
    data = pillow(np.rot90(BLOCKS), "JPEG", **FULL)
    return (
        data[:2]
        + b"\xff\xe1"
        + struct.pack(">H", 31 + len(packet))
        + b"http://ns.adobe.com/xap/1.0/\0"
        + packet
        + data[2:]
    )


def adam7():
    """An interlaced PNG of gray after its specification, section 8.2."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = (row for top, left, down, right in passes for row in GRAY[top::down, left::right])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 1))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def palette_image():
    image = Image.fromarray(INDICES)
    image.putpalette(PALETTE.tobytes())
    return image


def ftyp(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(40)


def dng():
    """IFD0 is a thumbnail; the sensor's values are in its SubIFD."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        version = [(50706, 1, 4, b"\1\4\0\0", True)]
        writer.write(RGB[:12, :16], photometric="rgb", subfiletype=1, subifds=1, extratags=version, metadata=None)
        writer.write(GRAY16, photometric="cfa", metadata=None)
    return file.getvalue()


def raw_without_version():
    """As NEF and ARW: a thumbnail with a SubIFD."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB[:12, :16], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        writer.write(GRAY16, photometric="minisblack", metadata=None)
    return file.getvalue()


CMYK = Image.fromarray(np.dstack([BLOCKS, BLOCKS[..., 0] // 4]), mode="CMYK")
INK = np.asarray(CMYK).astype(float) / 255
FROM_CMYK = np.rint(255 * (1 - INK[..., :3]) * (1 - INK[..., 3:]))
MOVING = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
ALL = {"save_all": True, "append_images": MOVING[1:]}
KEYS = {depth: int(GRAY[1, 2] >> (8 - depth)) for depth in (2, 4, 8)}
SCALE = {1: 255, 2: 85, 4: 17, 8: 1}
INDEXED = PALETTE[INDICES]
SHADES = np.arange(16, dtype=np.uint8) * 17

# Of each row of the page: files, and the pixels in them as `upscale` is to see them; none where it refuses them.
FILES = {
    "PNG, JPEG, TIFF, BMP: gray": [
        *((pillow(GRAY, kind), GRAY) for kind in ("PNG", "TIFF", "BMP")),
        (pillow(BLOCKS[..., 0], "JPEG", **FULL), BLOCKS[..., 0]),
    ],
    "PNG, JPEG, WebP, TIFF, BMP: RGB": [
        *((pillow(RGB, kind, **LOSSLESS if kind == "WEBP" else {}), RGB) for kind in ("PNG", "TIFF", "BMP", "WEBP")),
        (pillow(BLOCKS, "JPEG", **FULL), BLOCKS),
    ],
    "PNG, TIFF: RGB of 16 bits": [(png16(RGB16), RGB16), (tiff(RGB16), RGB16)],
    "PNG, TIFF: gray of 16 bits": [(png16(GRAY16), GRAY16), (tiff(GRAY16), GRAY16)],
    "PNG, WebP, TIFF: RGB and alpha": [
        *((pillow(RGBA, kind, **LOSSLESS if kind == "WEBP" else {}), RGBA) for kind in ("PNG", "TIFF", "WEBP"))
    ],
    "PNG, TIFF: gray and alpha": [
        (pillow(LA, "PNG"), LA),
        (tiff(LA, photometric="minisblack", extrasamples=["unassalpha"]), LA),
    ],
    "PNG, TIFF: RGB and alpha of 16 bits": [
        (png16(RGBA16), RGBA16),
        (tiff(RGBA16, extrasamples=["unassalpha"]), RGBA16),
    ],
    "PNG: 1, 2 or 4 bits": [
        (png(GRAY >> (8 - depth), depth, 0), (GRAY >> (8 - depth)) * SCALE[depth]) for depth in (1, 2, 4)
    ],
    "PNG, TIFF, BMP, GIF: palette": [
        (pillow(palette_image(), kind), INDEXED) for kind in ("PNG", "TIFF", "BMP", "GIF")
    ],
    "PNG: one transparent colour (tRNS), of 2, 4, 8 or 16 bits": [
        *(
            (
                png_key(GRAY >> (8 - depth), depth, [key]),
                with_alpha((GRAY >> (8 - depth)) * np.uint8(SCALE[depth]), key * SCALE[depth]),
            )
            for depth, key in KEYS.items()
        ),
        (png_key(RGB, 8, RGB[1, 2]), with_alpha(RGB, RGB[1, 2])),
        (png_key(GRAY16, 16, [GRAY16[1, 2]]), with_alpha(GRAY16, GRAY16[1, 2])),
        (png_key(RGB16, 16, RGB16[1, 2]), with_alpha(RGB16, RGB16[1, 2])),
    ],
    "PNG, GIF: transparent colours of a palette": [
        (pillow(palette_image(), "PNG", transparency=SHADES.tobytes()), np.dstack([INDEXED, SHADES[INDICES]])),
        (pillow(palette_image(), "GIF", transparency=3), np.dstack([INDEXED, (INDICES != 3) * np.uint8(255)])),
    ],
    "PNG: interlaced": [(adam7(), GRAY)],
    "JPEG: progressive": [(pillow(BLOCKS, "JPEG", progressive=True, **FULL), BLOCKS)],
    "JPEG, TIFF: CMYK without a profile": [
        (pillow(CMYK, "JPEG", **FULL), FROM_CMYK),
        (pillow(CMYK, "TIFF"), FROM_CMYK),
    ],
    "JPEG with a preview or a second image behind it": [
        (pillow(BLOCKS, "MPO", save_all=True, append_images=MOVING, **FULL), BLOCKS)
    ],
    "PNG, JPEG, WebP, TIFF: orientation in EXIF": [
        (pillow(TURNED, "PNG", exif=SIX), RGB),
        (pillow(np.rot90(BLOCKS), "JPEG", exif=b"Exif\0\0" + SIX, **FULL), BLOCKS),
        (pillow(TURNED, "WEBP", exif=SIX, **LOSSLESS), RGB),
        (tiff(np.ascontiguousarray(TURNED), extratags=[(274, 3, 1, 6, True)]), RGB),
    ],
    "PNG, JPEG, WebP, TIFF: orientation in XMP alone": [
        (in_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_SIX), RGB),
        (in_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP_SIX)), RGB),
        (jpeg_xmp(XMP_SIX), BLOCKS),
        (pillow(TURNED, "WEBP", xmp=XMP_SIX, **LOSSLESS), RGB),
        (tiff(np.ascontiguousarray(TURNED), extratags=[(700, 1, len(XMP_SIX), XMP_SIX, True)]), RGB),
    ],
    'PNG: orientation in a text "Raw profile type exif"': [
        (in_chunk(b"tEXt", raw_profile()), RGB),
        (in_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile().partition(b"\0")[2])), RGB),
        (in_chunk(b"tEXt", raw_profile().replace(b"type exif", b"type APP1")), RGB),
    ],
    "TIFF: planes (PlanarConfiguration 2), of 8 or 16 bits": [
        (tiff(np.moveaxis(pixels, 2, 0), planarconfig="separate"), pixels) for pixels in (RGB, RGB16)
    ],
    "TIFF: white is zero (MinIsWhite), of 1, 8 or 16 bits": [
        (tiff(GRAY > 99, photometric="miniswhite"), np.where(GRAY > 99, 0, 255)),
        (tiff(GRAY, photometric="miniswhite"), 255 - GRAY),
        (tiff(GRAY16, photometric="miniswhite"), 65535 - GRAY16),
    ],
    "TIFF: premultiplied alpha (ExtraSamples 1)": [
        (
            tiff(np.dstack([BLOCKS // 2, np.full_like(GRAY, 128)]), extrasamples=["assocalpha"]),
            np.dstack([BLOCKS // 2 * (255 / 128), np.full_like(GRAY, 128)]),
        )
    ],
    "TIFF: a channel of unspecified meaning (ExtraSamples 0)": [
        (tiff(RGBA, extrasamples=["unspecified"]), RGB),
        (tiff(RGBA16, extrasamples=["unspecified"]), RGB16),
        (tiff(LA, photometric="minisblack", extrasamples=["unspecified"]), GRAY),
    ],
    "TIFF: tiles, BigTIFF, big-endian": [
        (tiff(RGB, tile=(16, 32)), RGB),
        (tiff(RGB16, bigtiff=True), RGB16),
        (tiff(RGB16, byteorder=">"), RGB16),
    ],
    "TIFF: further pages are thumbnails or masks (NewSubfileType 1, 4)": [
        (two_pages(RGB[::4, ::4], 1), RGB),
        (two_pages(GRAY > 99, 4), RGB),
    ],
    "TIFF: several pages": [(tiff(RGB, 255 - RGB), RGB)],
    "GIF, PNG, WebP: animation": [
        (pillow(MOVING[0], "PNG", **ALL), RGB),
        (pillow(MOVING[0], "WEBP", **ALL, **LOSSLESS), RGB),
        (pillow(palette_image(), "GIF", save_all=True, append_images=[Image.new("P", (SIDE, SIDE), 1)]), INDEXED),
    ],
    "TIFF: floating-point, signed or 32-bit values": [
        (tiff(GRAY.astype(dtype)), None) for dtype in (np.float16, np.float32, np.float64, np.int8, np.int32, np.uint32)
    ],
    "TIFF: L\\*a\\*b\\*, or other channels than gray or RGB": [
        (tiff(RGB, photometric="cielab"), None),
        (tiff(np.dstack([RGBA, GRAY])), None),
    ],
    "TIFF: tiles of separate planes": [
        (tiff(np.moveaxis(pixels, 2, 0), planarconfig="separate", tile=(16, 32)), None) for pixels in (RGB, RGB16)
    ],
    "Raw: DNG, CR2, CR3, NEF, ARW, ORF, RW2, RAF, X3F and others": [
        (dng(), None),
        (raw_without_version(), None),
        (tiff(GRAY16, photometric="cfa"), None),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), None),
        (ftyp(b"crx "), None),
        *((magic + bytes(99), None) for magic in (b"IIRO\x08\0\0\0", b"IIU\0", b"FUJIFILMCCD-RAW ", b"FOVb")),
    ],
    "AVIF, HEIC, JPEG XL, JPEG 2000": [
        (pillow(RGB, "AVIF"), None),
        (pillow(RGB, "JPEG2000"), None),
        *((ftyp(brand), None) for brand in (b"avif", b"avis", b"heic", b"heix", b"mif1")),
        (b"\xff\x0a" + bytes(99), None),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), None),
    ],
    "SVG": [
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', None),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n<svg:svg xmlns:svg="x"/>', None),
        (b"<!DOCTYPE svg [" + b'<!ENTITY ns "http://ns.adobe.com/">' * 40 + b"]><svg></svg>", None),
        ('<?xml version="1.0" encoding="UTF-16"?><svg></svg>'.encode("utf-16"), None),
        (gzip.compress(b"<svg></svg>"), None),
    ],
    "Photoshop": [(b"8BPS\0\1" + bytes(99), None)],
    "cut short, of any kind": [
        (pillow(MOVING[0], kind, **options)[:-900], None)
        for kind, options in (
            ("PNG", {}),
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("WEBP", {}),
            ("TIFF", {}),
            ("BMP", {}),
            ("GIF", {}),
        )
    ],
    "empty": [(b"", None)],
    "anything else": [
        (b"not an image at all", None),
        (gzip.compress(b"text"), None),
        (b"\x1f\x8b", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", None),
        (b"%PDF-1.7\n", None),
    ],
}
LOSSY = {name for name in FILES if "JPEG" in name or "premultiplied" in name}


def _rows():
    """The table of the page: a dict from each kind to what each mode does."""
    text = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    table = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)[0]
    head, _, *rows = [line.strip("|").split(" | ") for line in table.splitlines()]
    assert [cell.strip() for cell in head] == ["File", "train, pack, evaluate, compare, faces", "upscale"]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}


ROWS = _rows()


def _trained(path, folder):
    """What training cuts out of the file, which is not cached: of a JPEG TensorFlow decodes a part."""
    (picture,) = folders.scan(folder).pictures
    found = PhotographStore([picture], 4, cache_bytes=0).crops(0, np.zeros((1, 2), int), SIDE)
    if not isinstance(found, JpegCrops):
        return found[0]
    empty = np.zeros((1, 1, SIDE, SIDE, 3), np.uint8)
    box, rows, columns = found.box[None], found.rows[None], found.columns[None]
    return pipeline._decode(empty, np.array([found.data], object), box, rows, columns).numpy()[0, 0]


def _packed(path, folder):
    packing.pack(folders.scan(folder).pictures, folder, target := folder.with_name("packed"))
    pictures = packed.scan(target, 1).pictures
    return packed.PackedStore(target, pictures, 4).crops(0, np.zeros((1, 2), int), SIDE)[0]


def _upscaled(source, folder):
    with open_raster(source) as raster:
        return np.concatenate([raster.rows(0, 20), raster.rows(20, raster.height)])


READERS = {
    "train": _trained,
    "pack": _packed,
    "evaluate": lambda path, _: load_pair(folders.Pair("a", path, None))[0],
    "compare, faces": lambda path, _: files.read_rgb(path),
    "upscale": _upscaled,
    "upscale from standard input, Beam": lambda path, folder: _upscaled(path.read_bytes(), folder),
}


def _eight_bit_rgb(pixels):
    """The page's second column, from its first: over white, rounded to 8 bits."""
    pixels = np.asarray(pixels)
    values = pixels.reshape(SIDE, SIDE, -1) / (65535 if pixels.dtype == np.uint16 else 255)
    if values.shape[2] in (2, 4):
        values = values[..., :-1] * values[..., -1:] + (1 - values[..., -1:])
    return np.broadcast_to(np.rint(255 * values), (SIDE, SIDE, 3))


def test_the_page_names_every_kind():
    assert ROWS.keys() == FILES.keys()


@pytest.mark.parametrize("mode", READERS)
@pytest.mark.parametrize("kind", FILES)
def test_every_kind_in_every_mode(tmp_path, kind, mode):
    does = ROWS[kind]["upscale" in mode]
    for number, (content, pixels) in enumerate(FILES[kind]):
        folder = tmp_path / str(number) / "photos"
        folder.mkdir(parents=True)
        path = folder / "misnamed.jpg"
        path.write_bytes(content)
        refused = re.fullmatch(r'refused: "(.*)"', does)
        if refused:
            with pytest.raises(UserError, match=refused[1]) as error:
                READERS[mode](path, folder)
            assert "\n" not in str(error.value)
            continue
        got = READERS[mode](path, folder)
        expected = np.asarray(pixels).reshape(SIDE, SIDE, -1) if "upscale" in mode else _eight_bit_rgb(pixels)
        assert got.shape == expected.shape
        assert got.dtype == (np.uint16 if "upscale" in mode and pixels.dtype == np.uint16 else np.uint8)
        np.testing.assert_allclose(got.astype(int), expected, atol=4 if kind in LOSSY else 0)


def test_damage_of_any_kind_is_read_or_is_one_line(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "a.png"
    contents = [content for cases in FILES.values() for content, _ in cases if len(content) > 60]
    refused = 0
    for number in range(700):
        content = bytearray(contents[number % len(contents)])
        for _ in range(rng.choice([1, 2, 8])):
            place = int(rng.integers(min(len(content), rng.choice([64, 256, len(content)]))))
            length = int(rng.integers(1, 5))
            new = [bytes([255]) * length, bytes(length), rng.bytes(length), b"", bytes(content[place : place + 40]) * 2]
            content[place : place + length] = new[rng.integers(len(new))]
        path.write_bytes(content)
        for read in (files.probe, files.read_rgb, lambda path: _upscaled(path, None)):
            try:
                read(path)
            except UserError as error:
                refused += 1
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert 500 < refused < 2000
