import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation import face_boxes, lfw
from srgan_tf.imaging.resize import imresize
from srgan_tf.system.errors import UserError

LIST = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nBob\t2\tAnn\t2\n"


@pytest.fixture
def people(tmp_path):
    for name in ("Ann", "Bob"):
        (tmp_path / name).mkdir()
        for number, ending in ((1, "jpg"), (2, "png")):
            Image.new("RGB", (250, 250)).save(tmp_path / name / f"{name}_{number:04d}.{ending}")
    (tmp_path / "pairs.txt").write_text(LIST)
    return tmp_path


def test_pairs_are_read_fold_by_fold(people):
    pairs = lfw.read_pairs(people / "pairs.txt", people)
    assert [(pair.first.name, pair.second.name, pair.same, pair.fold) for pair in pairs] == [
        ("Ann_0001.jpg", "Ann_0002.png", True, 0),
        ("Ann_0001.jpg", "Bob_0001.jpg", False, 0),
        ("Bob_0001.jpg", "Bob_0002.png", True, 1),
        ("Bob_0002.png", "Ann_0002.png", False, 1),
    ]


def test_the_official_folds_are_read(shared_data):
    pairs = lfw.read_pairs(shared_data / "lfw" / "pairs.txt", shared_data / "lfw" / "images")
    assert len(pairs) == 1800 and sum(pair.same for pair in pairs) == 900
    assert [sum(pair.fold == fold for pair in pairs) for fold in range(3)] == [600] * 3


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "line 1 must be"),
        ("10\n", "line 1 must be"),
        ("1\t2\n", "one fold"),
        (LIST + "Ann\t1\t2\n", "5 follow"),
        (LIST.replace("Bob\t1\t2", "Bob\t1"), "line 4 is not of the form NAME i j"),
        (LIST.replace("Ann\t1\tBob\t1", "Ann\tx\tBob\t1"), "line 3 is not of the form NAME i NAME j"),
        (LIST.replace("Ann\t1\t2", "Cid\t1\t2"), r"names images that are not there: .* \(No such file or directory\)"),
        (
            LIST.replace("Ann\t1\t2", f"{'A' * 300}\t1\t2"),
            r"names images that are not there: .* \(File name too long\)",
        ),
        ("9" * 5_000 + LIST[1:], "line 1 must be"),
        (LIST.replace("Ann\t1\t2", f"Ann\t1\t{'2' * 5_000}"), "line 2 is not of the form NAME i j"),
    ],
)
def test_what_is_wrong_with_the_list_is_one_line(people, text, said):
    (people / "pairs.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        lfw.read_pairs(people / "pairs.txt", people)


def test_what_is_missing_is_one_line(people):
    with pytest.raises(UserError, match="nowhere.txt: cannot be read"):
        lfw.read_pairs(people / "nowhere.txt", people)
    with pytest.raises(UserError, match="nowhere: no such folder"):
        lfw.read_pairs(people / "pairs.txt", people / "nowhere")


def test_a_list_that_is_no_text_is_one_line(people):
    (people / "pairs.txt").write_bytes(b"2\t1\n\xff\t1\t2\n")
    with pytest.raises(UserError, match="pairs.txt: not text"):
        lfw.read_pairs(people / "pairs.txt", people)


def test_endings_are_found_in_capitals_and_a_dangling_link_is_not_there(people):
    (people / "Ann" / "Ann_0001.jpg").rename(people / "Ann" / "Ann_0001.JPG")
    (people / "Bob" / "Bob_0001.jpg").rename(people / "Bob" / "Bob_0001.jfif")
    pairs = lfw.read_pairs(people / "pairs.txt", people)
    assert {pair.first.name for pair in pairs} >= {"Ann_0001.JPG", "Bob_0001.jfif"}
    (people / "Bob" / "Bob_0001.jfif").unlink()
    (people / "Bob" / "Bob_0001.jpg").symlink_to(people / "gone.jpg")
    with pytest.raises(UserError, match=r"not there: .*Bob_0001.jpg \(No such file"):
        lfw.read_pairs(people / "pairs.txt", people)


def test_the_middle_of_a_picture_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    for side, crop, used in ((250, 130, 130), (182, None, 182), (250, 200, 200), (100, 60, 60)):
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "face.png")
        first = (side - used) // 2
        expected = imresize(pixels[first : first + used, first : first + used], 160, 160)
        np.testing.assert_array_equal(lfw.read_faces([tmp_path / "face.png"], crop), [expected])
    with pytest.raises(UserError, match="smaller than --face_crop=101"):
        lfw.read_faces([tmp_path / "face.png"], 101)
    Image.new("RGB", (100, 90)).save(tmp_path / "face.png")
    with pytest.raises(UserError, match="100x90 is not square"):
        lfw.read_faces([tmp_path / "face.png"])


def test_the_large_face_in_the_middle_is_taken_with_a_margin(tmp_path, monkeypatch):
    def detect_faces(images):
        assert all(image.shape == (250, 250, 3) for image in images)
        boxes = [[0, 100, 60, 80], [70, 5, 100, 120], [0, 0, 110, 110]], [[180, 150, 70, 90]], []
        return [[{"box": box} for box in each] for each in boxes]

    monkeypatch.setattr(face_boxes, "_detector", lambda: SimpleNamespace(detect_faces=detect_faces))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (250, 160, 250, 250)]
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    # 16 pixels more on each side, within the image; the last has no face, and its usual place is taken.
    cropped = images[0][:141, 54:186], images[1], images[2][134:, 164:], images[3][48:203, 63:186]
    expected = [imresize(face, 160, 160) for face in cropped]
    np.testing.assert_array_equal(lfw.read_faces(paths), expected)


def test_faces_of_lfw_are_found(shared_data):
    pytest.importorskip("mtcnn")
    images = shared_data / "lfw" / "images"
    paths = [images / name / f"{name}_0001.jpg" for name in ("Aaron_Sorkin", "Zorica_Radovic")]
    found = face_boxes.face_boxes(np.stack([np.asarray(Image.open(path)) for path in paths]))
    # From forehead to chin and from ear to ear, and 16 pixels more.
    sides = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in found]
    np.testing.assert_allclose(sides, [(46, 212, 45, 183), (48, 201, 65, 190)], atol=5)


def test_without_mtcnn_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn", None)
    face_boxes._detector.cache_clear()
    with pytest.raises(UserError, match="needs MTCNN .* pip install 'srgan_tf.faces.', or give --face_crop=130"):
        face_boxes.face_boxes(np.zeros((1, 250, 250, 3), np.uint8))
