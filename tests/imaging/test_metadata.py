"""What upscaled files say of themselves, read by other software; values are from the standards."""

import io
import re
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from srgan_tf.imaging import xmp
from srgan_tf.imaging.exif import read_exif
from srgan_tf.imaging.icc import png_profile
from srgan_tf.imaging.png_text import hidden
from srgan_tf.imaging.raster import open_raster
from srgan_tf.imaging.raster_writer import write_raster
from srgan_tf.system.errors import UserError

RNG = np.random.default_rng(0)
SIZE = 8, 16  # rows and columns
RGB = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
LONG = RNG.integers(0, 256, 70_000, dtype=np.uint8).tobytes()
KINDS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF"}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, bands=3):
    head = struct.pack(">IIBBBBB", *SIZE[::-1], 8, {1: 0, 3: 2}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in RGB[..., :bands])
    parts = (b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunks_of(data):
    found, place = {}, 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(data[place + 4 : place + 8 + length])
        found.setdefault(kind, []).append(data[place + 8 : place + 8 + length])
        place += 12 + length
    return found


def upscaled(source, target, scale=4):
    """Writes what the file at `source`, or the bytes, becomes; returns the notes."""
    with open_raster(source) as raster:
        pixels = raster.rows(0, raster.height).repeat(scale, axis=0).repeat(scale, axis=1)
        return write_raster(target, raster, [pixels], pixels.shape[:2])


def packet(attributes="", elements=""):
    names = {
        "GPano": "http://ns.google.com/photos/1.0/panorama/",
        "GCamera": "http://ns.google.com/photos/1.0/camera/",
        "Container": "http://ns.google.com/photos/1.0/container/",
        "Item": "http://ns.google.com/photos/1.0/container/item/",
        "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
    }
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in names.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {attributes}>{elements}<dc:title>A mill</dc:title></rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def xmp_of(path):
    image = Image.open(path)
    image.load()
    return image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()


COLORS = {
    b"cICP": bytes([12, 13, 0, 1]),
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000),
    b"sRGB": b"\0",
    b"sBIT": b"\5\6\5",
}
SRGB = 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000  # as in cHRM
TEXTS = {
    b"tEXt": b"Title\0A mill",
    b"zTXt": b"Comment\0\0" + zlib.compress(b"by the river"),
    b"iTXt": b"Author\0\0\0de\0\0\xc3\x84",
}


def test_a_png_keeps_its_colors_and_texts(tmp_path):
    assert upscaled(png(*COLORS.items(), *TEXTS.items()), tmp_path / "a.png") == []
    found = chunks_of((tmp_path / "a.png").read_bytes())
    assert {kind: found[kind] for kind in (COLORS | TEXTS)} == {kind: [data] for kind, data in (COLORS | TEXTS).items()}
    kinds = list(found)
    assert all(kinds.index(kind) < kinds.index(b"IDAT") for kind in COLORS)
    image = Image.open(tmp_path / "a.png")
    image.load()
    assert image.info["gamma"] == 1 and image.info["Title"] == "A mill" and image.info["Author"] == "Ä"


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
@pytest.mark.parametrize(
    "stated, shown",
    [
        # A value of 128 of 255 in linear light is 0.502, which sRGB writes as 188.
        ({b"gAMA": struct.pack(">I", 100_000)}, (188, 188, 188)),
        # (128 / 255)^1.8 = 0.289, which sRGB writes as 147.
        ({b"gAMA": struct.pack(">I", 55_556)}, (147, 147, 147)),
        ({b"cICP": bytes([12, 13, 0, 1])}, (128, 128, 128)),
        ({b"gAMA": COLORS[b"gAMA"], b"cHRM": COLORS[b"cHRM"]}, (188, 188, 188)),
        ({b"cICP": bytes([12, 8, 0, 1]), b"sRGB": b"\0"}, (188, 188, 188)),
    ],
)
def test_other_formats_get_a_profile_of_the_same_colors(tmp_path, suffix, stated, shown):
    path = tmp_path / ("a" + suffix)
    upscaled(png(*stated.items()), path)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(Image.open(path).info["icc_profile"]))
    gray = Image.new("RGB", (1, 1), (128, 128, 128))
    got = ImageCms.profileToProfile(gray, profile, ImageCms.createProfile("sRGB")).getpixel((0, 0))
    np.testing.assert_allclose(got, shown, atol=1)


def test_a_webp_of_gray_gets_a_profile_of_rgb(tmp_path):
    assert upscaled(png((b"gAMA", COLORS[b"gAMA"]), bands=1), tmp_path / "a.webp") == []
    profile = ImageCms.ImageCmsProfile(io.BytesIO(Image.open(tmp_path / "a.webp").info["icc_profile"]))
    assert profile.profile.xcolor_space.strip() == "RGB"
    Image.fromarray(RGB[..., 0]).save(tmp_path / "b.png", icc_profile=png_profile({b"gAMA": COLORS[b"gAMA"]}, True))
    notes = upscaled(tmp_path / "b.png", tmp_path / "b.webp")
    assert notes == ["left out, since WebP has no room for it: color profile"]


def test_primaries_become_those_of_the_profile():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(png_profile({b"cICP": bytes([12, 13, 0, 1])}, gray=False)))
    # Adobe RGB (1998), section 4.3.1: its colorants under D50.
    adobe = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
    stated = png_profile({kind: COLORS[kind] for kind in (b"cHRM", b"gAMA")}, gray=False)
    stated = ImageCms.ImageCmsProfile(io.BytesIO(stated)).profile
    colorants = (stated.red_colorant, stated.green_colorant, stated.blue_colorant)
    np.testing.assert_allclose([each[0] for each in colorants], adobe, atol=2e-3)
    # Display P3's colorants under D50 (SMPTE EG 432-1, adapted by Bradford): those of Apple's "Display P3" profile.
    apple = [(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)]
    colorants = (profile.profile.red_colorant, profile.profile.green_colorant, profile.profile.blue_colorant)
    np.testing.assert_allclose([each[0] for each in colorants], apple, atol=2e-3)
    red = Image.new("RGB", (1, 1), (255, 0, 0))
    in_p3 = ImageCms.profileToProfile(red, ImageCms.createProfile("sRGB"), profile).getpixel((0, 0))
    np.testing.assert_allclose(in_p3, (234, 51, 35), atol=2)  # CSS Color 4: color(display-p3 0.9175 0.2003 0.1386)
    gray = png_profile({b"gAMA": struct.pack(">I", 100_000)}, gray=True)
    values = Image.new("L", (1, 1), 128)
    source = ImageCms.ImageCmsProfile(io.BytesIO(gray))
    assert source.profile.xcolor_space.strip() == "GRAY"
    got = ImageCms.profileToProfile(values, source, ImageCms.createProfile("sRGB"), outputMode="RGB").getpixel((0, 0))
    np.testing.assert_allclose(got, (188, 188, 188), atol=1)


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {b"cHRM": struct.pack(">8I", *SRGB)},
        {b"sRGB": b"\0"},
        {b"iCCP": b"x", b"gAMA": bytes([0, 1, 0, 0])},
        {b"sBIT": b"\5"},
    ],
)
def test_srgb_needs_no_profile(chunks):
    assert png_profile(chunks, gray=False) is None


def test_colors_that_no_profile_can_state_stay_in_a_png(tmp_path):
    hdr = png((b"cICP", bytes([9, 16, 0, 1])))
    upscaled(hdr, tmp_path / "a.png")
    assert chunks_of((tmp_path / "a.png").read_bytes())[b"cICP"] == [bytes([9, 16, 0, 1])]
    with pytest.raises(UserError, match=r"a\.jpg: JPEG cannot hold the image's colors \(cICP 9-16-0-1\); write it as"):
        upscaled(hdr, tmp_path / "a.jpg")
    far_away = 31270, 32900, 2**32 - 1, 1, 1, 2**32 - 1, 2**32 - 1, 2**32 - 1
    for damaged in (struct.pack(">8I", *chromaticities) for chromaticities in ([0] * 8, [2**32 - 1] * 8, far_away)):
        with pytest.raises(UserError, match="cannot hold the image's colors"):
            upscaled(png((b"cHRM", damaged)), tmp_path / "a.tif")


def camera_exif():
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Orientation] = "Acme", 6
    exif.get_ifd(IFD.Exif)[Base.MakerNote] = LONG
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] = (47.0, 30.0, 1.5)
    return exif


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("origin", [".png", ".webp"])
def test_exif_of_more_than_64_kilobytes(tmp_path, origin, target):
    source, path = tmp_path / ("first" + origin), tmp_path / ("a" + target)
    Image.fromarray(RGB).save(source, exif=camera_exif(), **({"lossless": True} if origin == ".webp" else {}))
    notes = upscaled(source, path)
    image = Image.open(path)
    exif = image.getexif()
    assert image.size == (32, 64) and exif[Base.Make] == "Acme" and exif.get(Base.Orientation, 1) == 1
    assert exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] == (47.0, 30.0, 1.5)
    if target == ".jpg":
        assert notes == ["left out, since JPEG has no room for it: MakerNote"]
        assert Base.MakerNote not in exif.get_ifd(IFD.Exif)
    else:
        assert notes == [] and exif.get_ifd(IFD.Exif)[Base.MakerNote] == LONG


@pytest.mark.parametrize("target", KINDS)
def test_xmp_of_more_than_64_kilobytes(tmp_path, target):
    words = LONG.hex()
    long = packet(elements=f"<dc:source>{words}</dc:source>")
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", long.decode(), zip=True)
    Image.fromarray(RGB).save(tmp_path / "first.png", pnginfo=info)
    assert upscaled(tmp_path / "first.png", tmp_path / ("a" + target)) == []
    if target == ".jpg":
        parts = re.findall(
            rb"\xff\xe1(..)http://ns.adobe.com/xmp/extension/\0([0-9A-F]{32})(....)(....)",
            data := (tmp_path / "a.jpg").read_bytes(),
            re.DOTALL,
        )
        assert len(parts) == 3 and {int.from_bytes(part[2], "big") for part in parts} == {len(long)}
        assert b'HasExtendedXMP="' + parts[0][1] in xmp_of(tmp_path / "a.jpg")
        assert Image.open(tmp_path / "a.jpg").size == (64, 32) and words[:1000].encode() in data
        upscaled(tmp_path / "a.jpg", tmp_path / "back.png")  # which has it in one piece again
        found = xmp_of(tmp_path / "back.png")
        assert b"<dc:title>A mill</dc:title>" in found and words.encode() in found and b"HasExtended" not in found
    else:
        assert xmp_of(tmp_path / ("a" + target)) == long


GPANO = {
    "FullPanoWidthPixels": (128, 512),
    "FullPanoHeightPixels": (64, 256),
    "CroppedAreaImageWidthPixels": (16, 64),
    "CroppedAreaImageHeightPixels": (8, 32),
    "CroppedAreaLeftPixels": (10, 40),
    "CroppedAreaTopPixels": (3, 12),
}


@pytest.mark.parametrize("as_elements", [False, True])
@pytest.mark.parametrize("target", KINDS)
def test_a_panorama_is_described_in_its_new_pixels(tmp_path, target, as_elements):
    form = "<GPano:{0}>{1}</GPano:{0}>" if as_elements else 'GPano:{0}="{1}"'
    old = " ".join(form.format(name, values[0]) for name, values in GPANO.items())
    turn = "<GPano:PoseHeadingDegrees>350.5</GPano:PoseHeadingDegrees>"
    Image.fromarray(RGB).save(
        tmp_path / "first.jpg", xmp=packet(elements=old + turn) if as_elements else packet(old, turn)
    )
    upscaled(tmp_path / "first.jpg", tmp_path / ("a" + target))
    found = xmp_of(tmp_path / ("a" + target)).decode()
    assert all(form.format(name, values[1]) in found for name, values in GPANO.items()) and turn in found


def test_what_lies_behind_the_picture_is_no_longer_promised(tmp_path):
    attributes = (
        'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="4200" GCamera:MotionPhoto="1"'
        ' GCamera:MotionPhotoPresentationTimestampUs="7" hdrgm:Version="1.0" tiff:ImageWidth="16"'
        ' dc:format="image/jpeg"'
    )
    elements = (
        "<GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion><Container:Directory><rdf:Seq>"
        '<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" Item:Semantic="GainMap"/>'
        "</rdf:li></rdf:Seq></Container:Directory><hdrgm:GainMapMax>1.5</hdrgm:GainMapMax><hdrgm:Gamma/>"
    )
    Image.fromarray(RGB).save(tmp_path / "first.jpg", xmp=packet(attributes, elements))
    upscaled(tmp_path / "first.jpg", tmp_path / "a.jpg")
    found = re.sub(r'xmlns:\w+="[^"]*"', "", xmp_of(tmp_path / "a.jpg").decode())
    assert not re.search("MicroVideo|MotionPhoto|hdrgm|Container|Item|ImageWidth", found)
    assert 'dc:format="image/jpeg"' in found and "<dc:title>A mill</dc:title>" in found


def test_damaged_and_hostile_packets_are_edited_as_far_as_they_go():
    assert xmp.upright(b'<a tiff:Orientation="6"', turned=False) == b'<a tiff:Orientation="1"'
    assert xmp.upright(b"<hdrgm:a>" * 200_000, turned=True) == b"<hdrgm:a>" * 200_000  # in a moment
    assert xmp.joined(b"<x/>", [b"", bytes(99)]) == b"<x/>"
    entities = b'<!DOCTYPE x [<!ENTITY a "<b/>"><!ENTITY c "&a;&a;">]><x>&c;<hdrgm:a/></x>'
    assert xmp.upright(entities, turned=False) == entities


SPACES = b" " * 100_000


@pytest.mark.parametrize(
    "edit",
    [
        lambda: xmp.upright(b"<x>" + SPACES + b"</x>", turned=False),
        lambda: xmp.upright(b"<x>" + (b"<hdrgm:a/>" + b"words" * 20) * 100_000 + b"</x>", turned=False),
        lambda: xmp.joined(LINK + b"<rdf:RDF></rdf:RDF>" + SPACES, [EXTENSION + b"<rdf:RDF></rdf:RDF>"]),
        lambda: xmp.joined(LINK + b"<rdf:RDF></rdf:RDF>", [EXTENSION + b"<rdf:RDF>" * 100_000]),
        lambda: xmp.joined(
            LINK + b"<rdf:RDF></rdf:RDF>",
            [EXTENSION + b"<rdf:RDF>" + b"<xmpNote:HasExtendedXMP>" * 50_000 + b"</rdf:RDF>"],
        ),
        lambda: hidden(b"tEXt", b"Raw profile type exif\0exif 1" + SPACES + b"!"),
        lambda: read_exif(_long_exif()).shortened(60_000),
    ],
    ids=["padding", "gone", "joined padding", "joined open", "joined notes", "raw profile", "exif"],
)
def test_long_metadata_takes_time_in_proportion_to_its_length(edit):
    """It can be made so that 30 kB take half a minute, and 1 MB the whole day."""
    start = time.process_time()
    edit()
    assert time.process_time() - start < 5


LINK, EXTENSION = b'<x xmpNote:HasExtendedXMP="' + b"A" * 32 + b'"/>', b"A" * 32 + bytes(8)


def _long_exif():
    """A block with 60,000 tags of the camera."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tag) for tag in range(60_000))
    main = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    return b"II*\0" + struct.pack("<I", 8) + main + struct.pack("<H", 60_000) + entries + bytes(4)


def test_a_turned_panorama_is_not_described(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(RGB).save(tmp_path / "first.jpg", exif=exif, xmp=packet('GPano:FullPanoWidthPixels="128"'))
    upscaled(tmp_path / "first.jpg", tmp_path / "a.webp")
    assert b"GPano:Full" not in xmp_of(tmp_path / "a.webp") and b"A mill" in xmp_of(tmp_path / "a.webp")


@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_opaque_alpha_is_no_transparency(tmp_path, suffix, bands):
    pixels = np.dstack([RGB, np.full(SIZE, 255)]).astype(np.uint8)[..., -bands:]
    Image.fromarray(pixels).save(tmp_path / "first.png")
    upscaled(tmp_path / "first.png", tmp_path / ("a" + suffix), scale=16)
    got = np.asarray(Image.open(tmp_path / ("a" + suffix))).reshape(*(16 * side for side in SIZE), bands - 1)
    np.testing.assert_allclose(got[8::16, 8::16].astype(int), pixels[..., :-1], atol=3 if suffix == ".jpg" else 0)
    pixels[3, 4, -1] = 254
    Image.fromarray(pixels).save(tmp_path / "first.png")
    with pytest.raises(UserError, match="cannot hold the image's transparency"):
        upscaled(tmp_path / "first.png", tmp_path / ("b" + suffix))


def test_what_a_bmp_cannot_hold_is_said(tmp_path):
    exif = camera_exif()
    del exif.get_ifd(IFD.Exif)[Base.MakerNote]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "first.jpg", exif=exif, icc_profile=profile)
    notes = upscaled(tmp_path / "first.jpg", tmp_path / "a.bmp")
    assert notes == ["left out, since BMP has no room for it: color profile, EXIF"]
    notes = upscaled(png((b"gAMA", COLORS[b"gAMA"]), *TEXTS.items()), tmp_path / "b.bmp")
    assert notes == ["left out, since BMP has no room for it: color profile, texts"]


@pytest.mark.parametrize("target", [*KINDS, ".bmp"])
def test_a_resolution_that_no_file_can_state_is_the_usual_one(tmp_path, target):
    Image.fromarray(RGB).save(tmp_path / "first.bmp")
    data = bytearray((tmp_path / "first.bmp").read_bytes())
    data[38:46] = b"\xff" * 8  # dots per metre
    assert upscaled(bytes(data), tmp_path / ("a" + target)) == []
    assert Image.open(tmp_path / ("a" + target)).info.get("dpi", (72, 72)) == pytest.approx((72, 72), abs=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_resolution_turns_with_the_image(tmp_path, suffix):
    exif = Image.Exif()
    for orientation, dpi in ((3, (300, 150)), (6, (150, 300))):
        exif[Base.Orientation] = orientation
        Image.fromarray(RGB).save(tmp_path / ("first" + suffix), exif=exif, dpi=(300, 150))
        upscaled(tmp_path / ("first" + suffix), tmp_path / "a.jpg")
        assert Image.open(tmp_path / "a.jpg").info["dpi"] == pytest.approx(dpi, abs=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_texts_that_are_left_out_are_said(tmp_path, suffix):
    (note,) = upscaled(png(*TEXTS.items()), tmp_path / ("a" + suffix))
    assert note.startswith("left out, since ") and note.endswith(" has no room for it: texts")


def test_iptc_that_a_png_cannot_hold_is_said(tmp_path):
    iptc = b"Photoshop 3.0\x008BIM\4\4\0\0" + struct.pack(">I", 10) + b"\x1c\2\5\0\5Hello"
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    data = data[:2] + b"\xff\xed" + struct.pack(">H", 2 + len(iptc)) + iptc + data[2:]
    assert upscaled(data, tmp_path / "b.jpg") == [] and iptc in (tmp_path / "b.jpg").read_bytes()
    assert upscaled(data, tmp_path / "b.png") == ["left out, since PNG has no room for it: IPTC"]


@pytest.mark.parametrize("target", KINDS)
def test_exif_of_a_raw_profile_is_kept_and_set_upright(tmp_path, target):
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Orientation] = "Acme", 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    text = b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    assert upscaled(png((b"tEXt", text)), tmp_path / ("a" + target)) == []
    image = Image.open(tmp_path / ("a" + target))
    assert image.size == (32, 64)  # from 16 columns and 8 rows
    found = image.getexif()
    assert found[Base.Make] == "Acme" and found.get(Base.Orientation, 1) == 1
    assert "Raw profile type exif" not in image.info


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("origin", [".jpg", ".webp"])
def test_orientation_of_xmp_alone_is_set_upright(tmp_path, origin, target):
    Image.fromarray(RGB).save(tmp_path / ("first" + origin), xmp=packet('tiff:Orientation="6"'))
    upscaled(tmp_path / ("first" + origin), tmp_path / ("a" + target))
    assert Image.open(tmp_path / ("a" + target)).size == (32, 64)
    assert b'tiff:Orientation="1"' in xmp_of(tmp_path / ("a" + target))
