import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation import report
from srgan_tf.evaluation.records import Pictures, Score
from srgan_tf.system.errors import UserError

FACTS = {
    "protocol": "Y",
    "weights": {"ours": {"SHA-256": "0f" * 32}},
    "versions": ["keras 3", "numpy 2"],
    "n": np.int64(4),
}
ROWS = [
    Score("Set|5", None, "bicubic", {"psnr": 28.43, "paper_ssim": 0.8211, "lpips": 0.34, "seconds": 0.25}),
    Score("Set|5", None, "a_b*c", {"psnr": 31.0, "paper_ssim": 0.9, "lpips": np.float32(0.25)}),
    Score("Set|5", None, "SRCNN", {"psnr": 30.07, "paper_ssim": 0.8627, "mos": 2.57}, published=True),
    Score("Set|5", None, "HR", {"psnr": float("inf"), "paper_ssim": 1.0, "lpips": float("nan")}, published=True),
]
SCORES = [Score("Set|5", "deep/ö", system, {"psnr": 30.5}) for system in ("bicubic", "a_b*c")]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(**more):
    shown = {"bicubic": noise(32, 48), "a_b*c": noise(32, 48, 1), "HR": noise(33, 51, 2), **more}
    maps = {"a_b*c": np.linspace(0, 20, 32 * 48, dtype=np.float32).reshape(32, 48)}
    return [Pictures("Set|5", "deep/ö", noise(8, 12), shown, maps), Pictures("Set|5", "deep:ö", None, shown)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("there") / "new" / "report"
    notes = report.write_report(folder, ROWS, SCORES, iter(pictures()), FACTS)
    assert [path.name for path in folder.parent.iterdir()] == ["report"]
    return folder, notes


def test_report_holds_everything(written):
    folder, notes = written
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    strips = {"strips/Set_5-deep_ö.png", "strips/Set_5-deep_ö-2.png"}
    assert names == {"report.md", "index.html", "scores.csv", "scores.json", "psnr-lpips.png", *strips}
    assert notes == ["Not in the figure of PSNR against LPIPS, without an LPIPS or a finite PSNR: published systems."]


def test_csv_and_json_hold_the_numbers(written):
    folder, notes = written
    with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
        (first, second) = csv.DictReader(file)
    assert first == {
        "set": "Set|5",
        "picture": "deep/ö",
        "system": "bicubic",
        "psnr": "30.500000",
        "paper_ssim": "",
        "ssim": "",
        "rgb_psnr": "",
        "rgb_ssim": "",
        "lpips": "",
        "seconds": "",
    }
    assert second["system"] == "a_b*c"

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads((folder / "scores.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["facts"] == {**FACTS, "n": 4} and read["notes"] == notes
    assert [row["psnr"] for row in read["systems"]] == [28.43, 31.0, 30.07, "inf"]
    assert [row["lpips"] for row in read["systems"]] == [0.34, 0.25, None, None]
    assert [row["published"] for row in read["systems"]] == [False, False, True, True]
    assert read["pictures"][0]["psnr"] == 30.5


def test_markdown_shows_names_as_they_are_and_the_strips(written):
    folder, notes = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert "### Set\\|5" in lines
    assert "| system | PSNR dB | SSIM (daala) | LPIPS | MOS | seconds |" in lines
    assert "| a\\_b\\*c | 31.00 | 0.9000 | 0.2500 | – | – |" in lines
    assert "| SRCNN (published) | 30.07 | 0.8627 | – | 2.57 | – |" in lines
    assert "| HR (published) | ∞ | 1.0000 | – | – | – |" in lines
    assert f"    - SHA-256: {'0f' * 32}" in lines and "- versions: keras 3, numpy 2" in lines
    assert f"- {notes[0]}" in lines
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / link.replace("%C3%B6", "ö")).is_file()
    assert text.count("](strips/") == 2
    said = "50 % of the pixels are high (expected error above 10 of 255 levels), 15 % low (below 3)"
    assert [line for line in lines if ", invented:" in line] == [f"a\\_b\\*c, invented: {said}"]


def test_strip_shows_lr_the_systems_and_hr(written):
    folder, _ = written
    with (
        Image.open(folder / "strips" / "Set_5-deep_ö.png") as first,
        Image.open(folder / "strips" / "Set_5-deep_ö-2.png") as second,
    ):
        assert first.width - second.width == 256 + 8  # LR


def test_nothing_to_compare_with_without_lpips(tmp_path):
    rows = [Score("Set5", None, "bicubic", {"psnr": 28.43})]
    notes = report.write_report(tmp_path / "report", rows, [], [], {})
    assert notes == ["There is no figure of PSNR against LPIPS, because no system has both."]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.md",
        "index.html",
        "scores.csv",
        "scores.json",
    }
    assert notes[0] in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_comparison_has_no_scores(tmp_path):
    assert report.write_comparison(tmp_path / "new", pictures(), FACTS) == []
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"report.md", "index.html", "facts.json", "strips"}
    assert json.loads((tmp_path / "new" / "facts.json").read_text())["protocol"] == "Y"
    assert "## Scores" not in (tmp_path / "new" / "report.md").read_text(encoding="utf-8")


def test_names_that_are_no_text(tmp_path):
    folder, name = tmp_path / "report", "c\udcff e"
    shown = [Pictures("s", name, None, {"one": noise(32, 48), "two": noise(32, 48, 1)})]
    scores = [Score("s", name, "one", {"psnr": 30.0})]
    report.write_report(folder, [Score("s", None, "one", {"psnr": 30.0})], scores, shown, {"f": name})
    read = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}
    assert read["scores.csv"].splitlines()[1].startswith("s,c\\udcff e,one,")
    assert json.loads(read["scores.json"])["pictures"][0]["picture"] == name
    assert "### s / c\\udcff e\n\n![s / c\\udcff e](strips/s-c_e.png)" in read["report.md"]
    assert (folder / "strips" / "s-c_e.png").is_file()
    assert 'data-value="c\\udcff e"' in read["index.html"]
    (index,) = re.findall('id="index">(.*?)</script>', read["index.html"])
    assert json.loads(index)["pictures"][0]["name"] == name


def test_an_existing_report_is_replaced_only_on_request(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()  # an empty one is no obstacle
    report.write_report(folder, ROWS, SCORES, pictures(), FACTS)
    with pytest.raises(UserError, match="holds a report already; --overwrite replaces it"):
        report.write_comparison(folder, pictures(), FACTS)
    assert (folder / "scores.csv").exists()
    link = tmp_path / "link"
    link.symlink_to(folder)
    report.write_comparison(link, pictures(), FACTS, overwrite=True)
    assert link.is_symlink() and not (folder / "scores.csv").exists() and (folder / "facts.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"report", "link"}


def test_long_names_of_other_scripts(tmp_path):
    folder, picture = tmp_path / ("\u9577" * 80), "\U0002a6b2" * 63
    shown = Pictures("", picture, None, {"one": noise(32, 48), "two": noise(32, 48, 1)})
    report.write_comparison(folder, [shown], FACTS)
    assert [path.stem for path in (folder / "strips").iterdir()] == [picture[:25]]


def test_folders_with_other_files_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="thesis.txt, which is no part of a report"):
        report.write_report(tmp_path, ROWS, SCORES, pictures(), FACTS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="a file; name a folder"):
        report.check_target(tmp_path / "thesis.txt", overwrite=True)
    (tmp_path / "site" / "strips").mkdir(parents=True)
    (tmp_path / "site" / "index.html").touch()
    with pytest.raises(UserError, match="holds index.html but no report.md, so it is not a report"):
        report.write_report(tmp_path / "site", ROWS, SCORES, pictures(), FACTS, overwrite=True)
    assert len(list(tmp_path.rglob("*"))) == 4


def test_a_failure_leaves_the_old_report_and_nothing_else(tmp_path):
    folder = tmp_path / "report"
    report.write_report(folder, ROWS, SCORES, pictures(), FACTS)
    before = (folder / "index.html").read_bytes()
    missing = [*pictures(), Pictures("s", "p", None, {"ours": tmp_path / "absent.png"})]
    with pytest.raises(UserError, match="absent.png: no such file"):
        report.write_report(folder, ROWS, SCORES, missing, FACTS, overwrite=True)
    assert (folder / "index.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/report: cannot be written \(Not a directory\)"):
        report.write_report(tmp_path / "file" / "report", ROWS, SCORES, [], FACTS)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resets the peak by /proc")
def test_what_an_image_takes_is_known_before(tmp_path, run_python):
    code = """
import re, sys
import numpy as np
from srgan_tf.evaluation import report
from srgan_tf.evaluation.html import showing_bytes
from srgan_tf.evaluation.records import Pictures
from srgan_tf.imaging.resize import upscale_bicubic, upscale_nearest
def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
def show(side, folder):
    lr = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    made = {"bicubic": upscale_bicubic(lr, 4), "nearest": upscale_nearest(lr, 4)}
    made |= {f"s{number}": made["bicubic"] ^ np.uint8(number) for number in range(int(sys.argv[2]))}
    report.write_comparison(folder, [Pictures("", "a", lr, made)], {}, threads=1)
show(16, sys.argv[1] + "/warm")
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
show(200, sys.argv[1] + "/real")
print((status("VmHWM") - before) / 800**2, showing_bytes(int(sys.argv[2]) + 3))
"""
    taken, known = map(float, run_python("-c", code, tmp_path, 6).stdout.split())
    assert known / 2 < taken < known
