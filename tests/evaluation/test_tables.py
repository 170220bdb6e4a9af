import csv
import errno
import math
import os
import tempfile

import numpy as np
import pytest

from srgan_tf.evaluation import tables
from srgan_tf.evaluation.benchmark import SetScores
from srgan_tf.evaluation.metrics import METRICS
from srgan_tf.evaluation.picture_sets import PictureSet
from srgan_tf.evaluation.records import Score
from srgan_tf.evaluation.statistics import Difference
from srgan_tf.system.errors import UserError


def of_picture(picture, system, psnr, paper_ssim, ssim, pixels=0, **more):
    values = {"psnr": psnr, "paper_ssim": paper_ssim, "ssim": ssim, **more}
    return Score("my set", picture, system, values, pixels=pixels)


SCORES = [
    of_picture("a", "nearest", 20.0, 0.55, 0.5, 1_000_000, seconds=0.1),
    of_picture("a", "a long name", 30.126, 0.8, 0.75, 1_000_000, lpips=0.25, seconds=0.1),
    of_picture("a", "theirs", 25.0, 0.7, 0.65, 1_000_000, lpips=0.3),
    of_picture("folder/b", "nearest", 21.0, 0.65, 0.6, 1_000_000, seconds=0.1),
    of_picture("folder/b", "a long name", float("inf"), 1.0, 1.0, 3_000_000, lpips=0.05, seconds=0.3),
    of_picture("folder/b", "theirs", 26.0, 0.8, 0.75, 3_000_000, lpips=0.4),
]


def scored(name="my set", scale=4, scores=SCORES, **more):
    systems = ("nearest", "a long name")
    return SetScores(PictureSet(name, ()), scale, systems, {"theirs": {}}, scores, [], None, **more)


def test_rows_are_means():
    nearest, ours, theirs = tables.rows(scored())
    assert (nearest.set, nearest.system, nearest.published) == ("my set", "nearest", False)
    assert (nearest["psnr"], nearest["paper_ssim"], nearest["ssim"]) == pytest.approx((20.5, 0.6, 0.55))
    assert nearest["lpips"] is None  # one image of two has none
    assert (ours["psnr"], ours["lpips"], ours["seconds"]) == pytest.approx((math.inf, 0.15, 0.2))
    assert ours["megapixels_per_s"] == pytest.approx(4 / 0.4)
    assert theirs["seconds"] is None and theirs["megapixels_per_s"] is None and theirs["mos"] is None


def test_published_rows_follow_where_the_paper_has_the_set():
    rows = tables.rows(scored("Set5"))
    assert [row.published for row in rows] == [False] * 3 + [True] * 12
    (bicubic,) = [row for row in rows if row.system == "bicubic"]
    assert (bicubic["psnr"], bicubic["paper_ssim"], bicubic["mos"], bicubic["ssim"]) == (28.43, 0.8211, 1.97, None)
    assert len(tables.rows(scored("Set5", scale=2))) == len(tables.rows(scored())) == 3


def test_table():
    lines = tables.table(scored()).splitlines()
    assert lines[0] == "my set: 2 images, 4x"
    assert lines[1].split("  ")[0] == "system"
    assert [line.split() for line in lines[3:]] == [
        ["nearest", "20.50", "0.6000", "0.5500", "–", "0.100", "10.00"],
        ["a", "long", "name", "∞", "0.9000", "0.8750", "0.1500", "0.200", "10.00"],
        ["theirs", "25.50", "0.7500", "0.7000", "0.3500", "–", "–"],
    ]
    assert len({len(line) for line in lines[1:]}) == 1


def test_table_beside_published_figures():
    lines = tables.table(scored("Set5")).splitlines()
    assert lines[0].endswith("published: Ledig et al. 2017, tables 1 and 2, of 5 images: not to be compared")
    (row,) = [line for line in lines if line.startswith("SRGAN-VGG54 (published)")]
    assert row.split()[2:] == ["29.40", "0.8472", "–", "–", "3.58", "–", "–"]


def test_no_published_figures_beside_lr_that_is_not_bicubic():
    lines = tables.table(scored("Set5", bicubic_lr=False)).splitlines()
    assert lines[0].endswith("LR is not MATLAB's bicubic of HR: not to be compared with published figures")
    assert len(lines) == 6 and "(published)" not in "".join(lines)


def test_without_lpips_its_column_stays_and_says_how():
    scores = [of_picture("a", "nearest", 20.0, 0.5, 0.5)]
    text = tables.table(scored("x", scores=scores))
    assert "LPIPS" in text.splitlines()[1] and "x: 1 image, 4x" in text
    assert "--lpips=fetch downloads them" in tables.protocol_text(tables.protocol())
    assert "alexnet" in tables.protocol_text(tables.protocol("alexnet")) and "fetch" not in tables.protocol_text(
        tables.protocol("alexnet")
    )


def test_verbose_table_shows_each_picture():
    lines = tables.table(scored(), verbose=True).splitlines()
    rows = [line.split() for line in lines[2:8]]
    assert rows[1] == ["a", "a", "long", "name", "30.13", "0.8000", "0.7500", "0.2500", "0.100"]
    assert rows[3] == ["folder/b", "nearest", "21.00", "0.6500", "0.6000", "–", "0.100"]
    assert lines[9:] == tables.table(scored()).splitlines()


def test_protocol():
    text = tables.protocol_text(tables.protocol())
    for word in ("BT.601", "65.481", "not rounded", "4 pixels cut", "daala", "1.5 height / 256", "Wang", "peak 255"):
        assert word in text
    assert "RGB" not in text and "PSNR RGB" in tables.protocol_text(tables.protocol(rgb=True))


def test_differences():
    psnr, lpips = METRICS[0], METRICS[-1]
    lines = tables.differences_text(
        [
            Difference("ours", "bicubic", psnr, 1.234, 1.0, 1.5, 5),
            Difference("ours", "bicubic", lpips, -0.1, -0.15, 0.05, 5),
            Difference("nearest", "bicubic", psnr, -2.0, math.nan, math.nan, 1),
        ]
    ).splitlines()
    assert [cell.strip() for cell in lines[0].split("  ") if cell] == ["difference [95 %]", "PSNR dB", "LPIPS"]
    assert lines[2].split("  ", 1)[0] == "ours - bicubic"
    assert lines[2].endswith("  +1.23 [+1.00, +1.50]  -0.1000 [-0.1500, +0.0500]")
    assert lines[3].split() == ["nearest", "-", "bicubic", "-2.00", "[–]", "–"]


def test_csv(tmp_path):
    path = tmp_path / "new" / "scores.csv"
    tables.write_csv(SCORES, path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert (rows[1]["set"], rows[1]["picture"], rows[1]["system"]) == ("my set", "a", "a long name")
    assert float(rows[1]["psnr"]) == 30.126 and float(rows[4]["psnr"]) == np.inf and float(rows[3]["ssim"]) == 0.6
    assert rows[0]["lpips"] == "" and rows[2]["seconds"] == "" and float(rows[1]["paper_ssim"]) == 0.8
    assert [file.name for file in path.parent.iterdir()] == ["scores.csv"]


def test_csv_of_a_picture_whose_name_is_no_text(tmp_path):
    tables.write_csv([Score("s", "c\udcff", "nearest", {"psnr": 20.0})], tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()[1].startswith("s,c\\udcff,nearest,")


def test_no_name_in_a_csv_is_a_formula(tmp_path):
    names = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "a=1", "photo-1")
    tables.write_csv([Score(name, name, name, {"psnr": -2.0}) for name in names], tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[:3] for row in rows] == [[f"'{name}"] * 3 for name in names[:6]] + [[name] * 3 for name in names[6:]]
    assert {row[3] for row in rows} == {"-2.000000"}  # a number is one


def test_a_table_shows_no_control_characters():
    lines = tables.aligned(("set\x1b", "n"), [("a\nb", "1"), ("c\x9b", "2")], labels=1)
    assert lines == ["set\\x1b  n", "-------  -", "a\\nb     1", "c\\x9b    2"] and len({*map(len, lines)}) == 1


def test_csv_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="scores.csv: cannot be written"):
        tables.write_csv(SCORES, tmp_path / "file" / "scores.csv")
    with pytest.raises(UserError, match="cannot be written"):
        tables.write_csv(SCORES, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_only_a_table_of_scores_is_replaced(tmp_path):
    tables.write_csv(SCORES, tmp_path / "scores.csv")
    tables.check_csv_target(tmp_path / "scores.csv")
    head = (tmp_path / "scores.csv").read_bytes().splitlines()[0]
    for name, content in {"a.png": b"\x89PNG", "notes.csv": b"set,picture\r\n", "more.csv": head + b",x\r\n"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            tables.check_csv_target(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: exists already and is no table of scores; name another file"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no table of scores"):
        tables.check_csv_target(tmp_path / "pipe")


def test_a_csv_that_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    tables.check_csv_target(tmp_path / "new" / "deep" / "scores.csv")
    assert list(tmp_path.iterdir()) == []

    def read_only(dir):
        assert dir == tmp_path
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(UserError) as caught:
        tables.check_csv_target(tmp_path / "new" / "deep" / "scores.csv")
    assert str(caught.value) == f"{tmp_path}/new/deep/scores.csv: cannot be written (Read-only file system)"
