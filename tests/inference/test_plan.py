import io
import os
from pathlib import Path, PurePosixPath

import pytest

from srgan_tf.imaging.formats import KINDS
from srgan_tf.inference.plan import Job, output_name, plan
from srgan_tf.system.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, in which everything happens."""
    monkeypatch.chdir(tmp_path)


def put(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


def planned(*arguments, **options):
    """What is to be done, as `{source: target}`."""
    jobs, skipped = plan(*arguments, **options)
    assert not skipped
    return {str(job.source): str(job.target) for job in jobs}


def refused(*arguments, **options):
    with pytest.raises(UserError) as error:
        plan(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- one picture


def test_a_file_to_a_file():
    put("a.png")
    assert plan("a.png", "new/b.JPG") == ([Job(Path("a.png"), Path("new/b.JPG"), "jpeg")], [])
    assert plan("a.png", "b.tif")[0][0].kind == "tiff"
    assert plan("a.png", "b.dat", "webp") == ([Job(Path("a.png"), Path("b.dat"), "webp")], [])
    assert not Path("new").exists()


def test_a_file_into_a_folder():
    put("a.png", "b.GIF", "c", "there/x")
    assert planned("a.png", "there") == {"a.png": "there/a.png"}
    assert planned("b.GIF", "there") == {"b.GIF": "there/b.png"}
    assert planned("c", "new/") == {"c": "new/c.png"}
    assert planned("a.png", "new/", "jpeg") == {"a.png": "new/a.jpg"}


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("a.png", None, ("a.png", "png")),
        ("a.JPEG", None, ("a.JPEG", "jpeg")),
        ("a.JPEG", "jpeg", ("a.JPEG", "jpeg")),
        ("a.TIFF", "png", ("a.png", "png")),
        ("a.bmp", "tiff", ("a.tif", "tiff")),
        ("a.b.gif", None, ("a.b.png", "png")),
        ("v1.2", None, ("v1.2.png", "png")),
        ("v1.2", "webp", ("v1.2.webp", "webp")),
    ],
)
def test_names_in_a_folder(name, kind, expected):
    assert output_name(PurePosixPath("deep", name), kind) == expected


def test_every_kind_can_be_asked_for_in_a_folder():
    assert {output_name(Path("a.gif"), kind)[0] for kind in KINDS} == {"a.png", "a.jpg", "a.webp", "a.tif", "a.bmp"}


def test_streams(monkeypatch):
    put("a.jpg")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert plan("-", "-") == ([Job(None, None, "png")], [])
    assert plan("a.jpg", "-", "webp") == ([Job(Path("a.jpg"), None, "webp")], [])
    assert plan("-", "b.bmp") == ([Job(None, Path("b.bmp"), "bmp")], [])
    assert "standard input has no name" in refused("-", "folder/")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert "nothing comes in" in refused("-", "b.bmp")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "on the terminal" in refused("a.jpg", "-")


@pytest.mark.parametrize(
    "target, kind, said",
    [
        ("b", None, "b: not a kind of image that can be written"),
        ("b.gif", None, "b.gif: not a kind of image"),
        ("b.png", "jpeg", "b.png: named as PNG, but --format=jpeg"),
        ("/dev/null", None, "- as the output writes to standard output"),
        ("/dev/stdout", "png", "- as the output writes to standard output"),
        ("pipe.png", None, "pipe.png: not a regular file"),
        ("a.png/b.png", None, "a.png: cannot be written (Not a directory)"),
        ("/proc/b.png", None, "/proc: cannot be written"),
    ],
)
def test_impossible_targets(target, kind, said):
    put("a.png")
    os.mkfifo("pipe.png")
    assert said in refused("a.png", target, kind, overwrite=True)


@pytest.mark.parametrize(
    "source, said",
    [
        ("b.png", "b.png: no such image or folder"),
        ("a.png/b.png", "no such image or folder"),
        ("a" * 300, "File name too long"),
        ("pipe", "pipe: not a regular file; - as the input reads standard input"),
        ("no/*.png", "no: no such folder"),
        ("*.jpg", "*.jpg: matches no image"),
        ("*.txt", "*.txt: matches no image"),
        ("empty", "empty: no images in it"),
    ],
)
def test_impossible_sources(source, said):
    put("a.png", "notes.txt", "empty/notes.txt")
    os.mkfifo("pipe")
    assert said in refused(source, "large/")


# --- many pictures


def test_a_folder_keeps_its_structure():
    put("in/one.png", "in/deep/two.JPG", "in/deep/er/three.gif", "in/notes.txt", "in/.hidden.png")
    assert planned("in", "out") == {
        "in/one.png": "out/one.png",
        "in/deep/two.JPG": "out/deep/two.JPG",
        "in/deep/er/three.gif": "out/deep/er/three.png",
    }
    written = planned("in/", "out", "webp").values()
    assert set(written) == {"out/one.webp", "out/deep/two.webp", "out/deep/er/three.webp"}


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("in/*.png", {"in/a.png": "out/a.png"}),
        ("in/*/*", {"in/x/b.png": "out/x/b.png", "in/y/c.jpg": "out/y/c.jpg"}),
        (
            "in/**",
            {
                "in/a.png": "out/a.png",
                "in/x/b.png": "out/x/b.png",
                "in/y/c.jpg": "out/y/c.jpg",
                "in/y/z/d.png": "out/y/z/d.png",
            },
        ),
        ("in/**/*.png", {"in/a.png": "out/a.png", "in/x/b.png": "out/x/b.png", "in/y/z/d.png": "out/y/z/d.png"}),
        ("i?/**/z/*", {"in/y/z/d.png": "out/in/y/z/d.png"}),
        ("in/[xy]/?.*", {"in/x/b.png": "out/x/b.png", "in/y/c.jpg": "out/y/c.jpg"}),
    ],
)
def test_a_pattern_keeps_the_structure_below_its_fixed_part(pattern, expected):
    put("in/a.png", "in/x/b.png", "in/y/c.jpg", "in/y/z/d.png", "in/x/notes.txt", "in/folder.png/notes.txt")
    assert planned(pattern, "out") == expected


def test_brackets_in_the_name_of_a_folder_or_file_are_no_pattern():
    put("in [1]/a.png", "b[1].png")
    assert planned("in [1]/*.png", "out") == {"in [1]/a.png": "out/a.png"}
    assert planned("b[1].png", "out/") == {"b[1].png": "out/b[1].png"}


@pytest.mark.parametrize("source", ["in", "in/**"])
def test_links_that_lead_round_are_followed_once(source):
    put("in/deep/a.png")
    for name in ("one", "two"):
        Path("in/deep", name).symlink_to("..", target_is_directory=True)
    assert planned(source, "out") == {"in/deep/a.png": "out/deep/a.png"}


def test_what_exists_is_skipped_unless_it_is_to_be_overwritten():
    put("in/a.png", "in/b.gif", "out/b.png")
    jobs, skipped = plan("in", "out")
    assert [job.source.name for job in jobs] == ["a.png"] and [job.source.name for job in skipped] == ["b.gif"]
    jobs, skipped = plan("in", "out", overwrite=True)
    assert len(jobs) == 2 and not skipped
    assert [job.target for job in plan("in/a.png", "out/b.png")[1]] == [Path("out/b.png")]


def test_two_pictures_for_one_place():
    put("in/a.jpg", "in/a.gif", "in/a.png")
    assert refused("in", "out") == "in/a.png and in/a.gif: would both be written to out/a.png; rename one"
    assert refused("in/a.[jp]*g", "out", "tiff").endswith("would both be written to out/a.tif; rename one")


@pytest.mark.parametrize(
    "source, target, said",
    [
        ("in", "-", "standard output takes one image"),
        ("in/*", "-", "in/*: a pattern, but standard output"),
        ("in", "notes.txt", "notes.txt: a file, but in is a folder"),
        ("in", "new.png", "new.png: named as an image, but in is a folder; if it shall be a folder, add a /"),
        ("in", "in", "lies in the input folder"),
        ("in", "in/large", "in/large: lies in the input folder in"),
        ("in", "outside", "lies in the input folder"),
        ("in", "linked/large", "lies in the input folder"),
        ("in/**/*.png", "in/large", "lies in the input folder"),
        ("in/li*/**", "linked/large", "lies in the input folder"),
        ("*/*.png", ".", "lies in the input folder"),
    ],
)
def test_impossible_folders(source, target, said):
    """Also a target that the next run would find as a source, be it by a link."""
    put("in/a.png", "in/deep/b.png", "notes.txt", "linked/c.png")
    Path("outside").symlink_to("in/deep", target_is_directory=True)
    Path("in/link").symlink_to("../linked", target_is_directory=True)
    assert said in refused(source, target)


def test_a_pattern_may_have_its_results_beside_its_pictures():
    put("in/a.png", "in/b.png")
    assert planned("in/*.png", "in/large") == {"in/a.png": "in/large/a.png", "in/b.png": "in/large/b.png"}
    assert planned("in/**/?.png", "in/large", "jpeg") == {"in/a.png": "in/large/a.jpg", "in/b.png": "in/large/b.jpg"}
    assert planned("in/[ab].png", "new.png/") == {"in/a.png": "new.png/a.png", "in/b.png": "new.png/b.png"}


def test_a_name_that_is_too_long_is_refused_before_anything_is_computed():
    longest = "x" * 251 + ".png"
    put(longest)
    assert planned(longest, "there/") == {longest: f"there/{longest}"}
    assert "more than 255 bytes; give a shorter one" in refused(longest, f"x{longest}")
    put(f"in/{longest}")
    assert "more than 255 bytes; give a shorter one" in refused("in", "out", "webp")


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_input_is_replaced(overwrite):
    put("a.png")
    Path("other").mkdir()
    os.link("a.png", "other/a.png")
    Path("link.png").symlink_to("a.png")
    for target in ("a.png", ".", "./a.png", "other", "link.png"):
        assert "would replace the input a.png" in refused("a.png", target, overwrite=overwrite)


def test_no_result_is_replaced_by_another():
    put("in/a.png", "in/b.png", "out/a.png", "in/x/a.png", "in/y/a.png")
    Path("out/b.png").symlink_to("a.png")
    assert "out/b.png: is the same file as out/a.png; remove the link" in refused("in", "out", overwrite=True)
    Path("out/b.png").unlink()
    os.link("out/a.png", "out/b.png")  # which are replaced one by one
    assert len(plan("in", "out", overwrite=True)[0]) == 4
    Path("out/y").mkdir()
    Path("out/x").symlink_to("y", target_is_directory=True)
    assert "out/y/a.png: is the same file as out/x/a.png; remove the link" in refused("in", "out")


def test_no_input_is_replaced_by_another_picture():
    put("in/x/a.png", "in/y/a.png")
    Path("out").mkdir()
    Path("out/x").symlink_to("../in/y", target_is_directory=True)
    assert "out/x/a.png: would replace the input in/y/a.png" in refused("in/*/a.png", "out", overwrite=True)
