import csv
from statistics import fmean

import numpy as np
import pytest

from srgan_tf.data.folders import Pair, find_pairs
from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark, report
from srgan_tf.evaluation.benchmark import BASELINES, Score, score
from srgan_tf.imaging import files


@pytest.fixture
def picture_pairs(tmp_path):
    """Two photograph-like pictures, 42x35 and 24x24, without LR files."""
    rng = np.random.default_rng(0)
    pairs = []
    for name, size in (("a", (42, 35)), ("b", (24, 24))):
        path = tmp_path / "HR" / f"{name}.png"
        files.write(path, rng.integers(0, 256, (*size, 3), np.uint8))
        pairs.append(Pair(name, path, None))
    return pairs


def test_the_published_values_of_set5(shared_data):
    pairs = find_pairs(shared_data / "benchmarks" / "Set5")
    assert len(pairs) == 5 and all(pair.lr for pair in pairs)
    scores, failures = score(pairs, BASELINES)
    assert not failures
    means = {name: fmean(score.psnr for score in scores if score.system == name) for name in BASELINES}
    assert means["bicubic"] == pytest.approx(28.43, abs=0.005)
    assert means["nearest"] == pytest.approx(26.26, abs=0.005)


def test_lr_made_from_hr_scores_like_the_lr_files_of_set5(shared_data):
    pairs = find_pairs(shared_data / "benchmarks" / "Set5")
    given, _ = score(pairs, BASELINES)
    made, _ = score([Pair(pair.name, pair.hr, None) for pair in pairs], BASELINES)
    assert [score.psnr for score in made] == [score.psnr for score in given]


def test_hr_is_cut_to_multiples_of_the_scale(picture_pairs):
    hr, lr = benchmark.load_pair(picture_pairs[0], scale=4)
    assert hr.shape == (40, 32, 3) and lr.shape == (10, 8, 3)
    assert (hr == files.read_rgb(picture_pairs[0].hr)[:40, :32]).all()


def test_scores_and_pictures_of_each_system(picture_pairs, tmp_path):
    seen = []
    scores, failures = score(picture_pairs, BASELINES, pictures_folder=tmp_path / "out", on_progress=seen.append)
    assert not failures and seen == ["a", "b"]
    assert [(score.picture, score.system) for score in scores] == [
        ("a", "nearest"), ("a", "bicubic"), ("b", "nearest"), ("b", "bicubic"),
    ]  # fmt: skip
    _, lr = benchmark.load_pair(picture_pairs[0])
    assert (files.read_rgb(tmp_path / "out" / "nearest" / "a.png")[2::4, 1::4] == lr).all()
    assert files.read_rgb(tmp_path / "out" / "bicubic" / "b.png").shape == (24, 24, 3)
    assert all(score.seconds > 0 for score in scores)


def test_one_bad_picture_does_not_stop_the_others(picture_pairs, tmp_path):
    broken, small = tmp_path / "broken.png", tmp_path / "small.png"
    broken.write_bytes(b"no picture")
    files.write(small, np.zeros((19, 60, 3), np.uint8))
    pairs = [Pair("broken", broken, None), picture_pairs[0], Pair("small", small, None), picture_pairs[1]]
    scores, failures = score(pairs, BASELINES)
    assert {score.picture for score in scores} == {"a", "b"}
    assert len(failures) == 2
    assert str(broken) in str(failures[0])
    assert f"{small}: 60x19 is too small" in str(failures[1])


def test_lr_that_does_not_fit_names_both_files_and_sizes(picture_pairs, tmp_path):
    lr = tmp_path / "lr.png"
    files.write(lr, np.zeros((10, 9, 3), np.uint8))
    hr = picture_pairs[0].hr
    with pytest.raises(UserError) as caught:
        benchmark.load_pair(Pair("a", hr, lr), scale=4)
    assert f"{lr}: 9x10" in str(caught.value) and f"{hr}: 35x42" in str(caught.value)


def test_a_picture_that_one_system_fails_on_counts_for_none(picture_pairs):
    def forgetful(lr):
        if lr.shape[0] == 10:
            raise MemoryError("out of memory")
        return BASELINES["nearest"](lr)

    scores, failures = score(picture_pairs[::-1], BASELINES | {"ours": forgetful})
    assert [score.picture for score in scores] == ["b", "b", "b"]
    assert [str(failure) for failure in failures] == [f"{picture_pairs[0].hr}: out of memory"]


SCORES = [
    Score("nearest", "a", 20.0, 0.5, 0.1),
    Score("a long name", "a", 30.126, 0.75, 0.1),
    Score("nearest", "folder/b", 21.0, 0.6, 0.1),
    Score("a long name", "folder/b", float("inf"), 1.0, 0.1),
]


def test_table_shows_means():
    lines = report.table(SCORES).splitlines()
    assert [line.split() for line in lines[2:4]] == [
        ["nearest", "20.50", "0.5500", "2"],
        ["a", "long", "name", "inf", "0.8750", "2"],
    ]
    assert len({len(line) for line in lines[:4]}) == 1
    assert "4 pixels cut" in lines[-1] and "BT.601" in lines[-1] and "Wang" in lines[-1]


def test_verbose_table_shows_each_picture():
    lines = report.table(SCORES, verbose=True).splitlines()
    rows = [line.split() for line in lines[2:6]]
    assert rows[1] == ["a", "a", "long", "name", "30.13", "0.7500"]
    assert rows[2] == ["folder/b", "nearest", "21.00", "0.6000"]
    assert lines[7:] == report.table(SCORES).splitlines()


def test_csv(tmp_path):
    path = tmp_path / "new" / "scores.csv"
    report.write_csv(SCORES, path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert (rows[1]["system"], rows[1]["picture"]) == ("a long name", "a")
    assert float(rows[1]["psnr_db"]) == 30.126 and float(rows[3]["psnr_db"]) == np.inf and float(rows[2]["ssim"]) == 0.6
    assert [file.name for file in path.parent.iterdir()] == ["scores.csv"]


def test_csv_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="scores.csv: cannot be written"):
        report.write_csv(SCORES, tmp_path / "file" / "scores.csv")
    with pytest.raises(UserError, match="cannot be written"):
        report.write_csv(SCORES, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
