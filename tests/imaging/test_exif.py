import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from PIL.ExifTags import GPS, IFD, Base

from srgan_tf.imaging.exif import read_exif

MAKER = bytes(range(256)) * 3


def camera_block(order=">", **tags):
    exif = Image.Exif()
    exif.endian = order
    exif[Base.Orientation], exif[Base.Make], exif[Base.YCbCrPositioning] = 8, "Acme", 2
    exif[Base.Artist], exif[Base.XPTitle] = "An artist of a long name", "Mill".encode("utf-16-le")
    exif.get_ifd(IFD.Exif).update(
        {
            Base.ExposureTime: 1 / 250,
            Base.ISOSpeedRatings: 400,
            Base.ExposureBiasValue: -1.5,
            Base.MakerNote: MAKER,
            Base.DateTimeOriginal: "2020:01:02 03:04:05",
            Base.ExifImageWidth: 640,
            Base.ExifImageHeight: 480,
            Base.LensSpecification: (24.0, 70.0, 2.8, 4.0),
        }
    )
    exif.get_ifd(IFD.GPSInfo).update({GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (47.0, 30.0, 1.5)})
    for tag, value in tags.items():
        exif[Base[tag]] = value
    return exif.tobytes()


def check(exif):
    """What Pillow finds is what the camera wrote, but for the size of the stored picture."""
    assert exif[Base.Make] == "Acme" and exif[Base.Artist] == "An artist of a long name"
    assert bytes(exif[Base.XPTitle]) == "Mill".encode("utf-16-le")
    details, place = exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
    assert float(details[Base.ExposureTime]) == pytest.approx(1 / 250)
    assert float(details[Base.ExposureBiasValue]) == -1.5
    assert [float(value) for value in details[Base.LensSpecification]] == pytest.approx([24, 70, 2.8, 4])
    assert details[Base.ISOSpeedRatings] == 400 and details[Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert details[Base.MakerNote] == MAKER
    assert not {Base.ExifImageWidth, Base.ExifImageHeight} & details.keys()
    assert place[GPS.GPSLatitudeRef] == "N" and [float(part) for part in place[GPS.GPSLatitude]] == [47, 30, 1.5]


@pytest.mark.parametrize("order", "<>")
def test_a_block_becomes_upright_and_keeps_what_it_tells(order):
    exif = read_exif(camera_block(order))
    assert exif.orientation == 8
    again = Image.Exif()
    again.load(exif.block())
    assert again[Base.Orientation] == 1 and Base.YCbCrPositioning not in again
    check(again)
    assert read_exif(exif.block()).block() == exif.block()
    assert read_exif(exif.block().removeprefix(b"Exif\0\0")).block() == exif.block()


def test_the_thumbnail_is_dropped():
    file, small = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "JPEG")
    block = bytearray(camera_block("<"))
    entries = struct.unpack_from("<H", block, 14)[0]
    struct.pack_into("<I", block, 16 + 12 * entries, len(block) - 6)
    thumbnail = len(block) - 6 + 2 + 24 + 4
    block += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, thumbnail, 0x0202, 4, 1, len(small.getvalue()), 0)
    block += small.getvalue()
    Image.new("RGB", (64, 64)).save(file, "JPEG", exif=bytes(block))
    assert len(Image.open(file).getexif().get_ifd(IFD.IFD1)) == 2
    assert small.getvalue() not in read_exif(bytes(block)).block()
    again = Image.Exif()
    again.load(read_exif(bytes(block)).block())
    assert again.get_ifd(IFD.IFD1) == {}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "layout", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"byteorder": ">", "bigtiff": True}, {"tile": (16, 16)}]
)
def test_added_to_a_tiff(tmp_path, order, layout):
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        rowsperstrip=None if "tile" in layout else 8,
        software="x.py",
        compression="zlib",
        metadata=None,
        **layout,
    )
    with open(path, "ab") as file:
        file.write(bytes(1 + file.tell() % 2))  # an odd length, while directories begin at even offsets
    read_exif(camera_block(order, Software="camera")).add_to_tiff(path)
    np.testing.assert_array_equal(tifffile.imread(path), pixels)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1 and file.pages[0].tags["Software"].value == "x.py"
        assert file.pages[0].tags["ExifTag"].value["ISOSpeedRatings"] == 400
        assert file.is_bigtiff == ("bigtiff" in layout) and file.pages[0].offset % 2 == 0
        tags = [tag.code for tag in file.pages[0].tags]
        assert tags == sorted(tags)
    if layout.keys() != {"byteorder", "bigtiff"}:  # which Pillow does not open
        with Image.open(path) as image:
            assert image.getexif().get(Base.Orientation, 1) == 1
            check(image.getexif())
            np.testing.assert_array_equal(np.asarray(image), pixels)
    with open(path, "rb") as file:
        again = read_exif(file)
    block = Image.Exif()
    block.load(again.block())
    check(block)


@pytest.mark.parametrize(
    "description, kept",
    [("A mill", True), ('{"shape": [50, 70]}', False), ("ImageJ=1.53\nimages=1", False), ("<?xml ?><OME/>", False)],
)
def test_descriptions_by_which_programs_find_the_pixels_are_dropped(tmp_path, description, kept):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7), np.uint8), description=description, metadata=None)
    with open(tmp_path / "a.tif", "rb") as file:
        assert (Base.ImageDescription in read_exif(file).tags) == kept


def test_sizes_beyond_the_file_do_no_harm(tmp_path):
    entry = struct.pack("<HHQQ", Base.Make, 2, 1 << 44, 16)
    for content in (struct.pack("<Q", 1 << 40), struct.pack("<Q", 1) + entry + bytes(8)):
        (tmp_path / "a.tif").write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + content)
        with open(tmp_path / "a.tif", "rb") as file:
            assert read_exif(file).tags == {}


def test_damage_gives_none_or_what_is_left():
    block = camera_block("<")
    assert read_exif(b"") is read_exif(b"Exif\0\0") is read_exif(b"II*\0\xff\xff\xff\xff") is None
    assert read_exif(b"not a TIFF structure") is read_exif(b"II+\0\x08\0\0\0" + b"\xff" * 16) is None
    for length in range(0, len(block), 7):
        exif = read_exif(block[:length])
        if exif is not None:
            again = Image.Exif()
            again.load(exif.block())
            assert again[ExifTags.Base.Orientation] == 1
    for value in (0, 9, 65535):
        assert read_exif(camera_block(Orientation=value)).orientation == 1


def test_entries_of_exif_that_share_a_value_do_not_multiply_it():
    value, count = bytes(30_000), 2600
    entries = b"".join(
        (0x9000 + number).to_bytes(2, "little")
        + (7).to_bytes(2, "little")
        + len(value).to_bytes(4, "little")
        + (26 + 12 * count + 20).to_bytes(4, "little")
        for number in range(count)
    )
    pointer = b"\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0"  # the IFD of the camera's settings, at 26
    block = (
        b"II*\0\x08\0\0\0" + b"\1\0" + pointer + bytes(4) + count.to_bytes(2, "little") + entries + bytes(18) + value
    )
    exif = read_exif(block)
    kept = sum(len(value) for ifd in exif.sub_ifds.values() for _, _, value in ifd.values())
    assert 0 < kept <= len(block)
    assert len(exif.block()) < 2 * len(block)
