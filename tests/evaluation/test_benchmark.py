import os
from statistics import fmean

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from srgan_tf.data.folders import Pair, find_pairs
from srgan_tf.evaluation import memory, metrics
from srgan_tf.evaluation.benchmark import BASELINES, score_set, scoring_bytes
from srgan_tf.evaluation.picture_sets import PictureSet, load_pair
from srgan_tf.evaluation.records import Score
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError


def score(pairs, systems, *args, **options):
    """The scores and failures of a set of these pairs."""
    found = score_set(PictureSet("ours", tuple(pairs)), systems, *args, **options)
    return found.scores, found.failures


# PSNR is that of the slides; the SSIMs are those that the issue of this protocol states for the LR files.
@pytest.mark.parametrize(
    "system, psnr, paper_ssim, ssim", [("nearest", 26.258, 0.7547, 0.7380), ("bicubic", 28.430, 0.8211, 0.8111)]
)
def test_the_known_values_of_set5(shared_data, system, psnr, paper_ssim, ssim):
    pairs = find_pairs(shared_data / "benchmarks" / "Set5")
    assert len(pairs) == 5 and all(pair.lr for pair in pairs)
    scores, failures = score(pairs, {system: BASELINES[system]})
    assert not failures
    assert fmean(score["psnr"] for score in scores) == pytest.approx(psnr, abs=0.005)
    assert fmean(score["paper_ssim"] for score in scores) == pytest.approx(paper_ssim, abs=0.0005)
    assert fmean(score["ssim"] for score in scores) == pytest.approx(ssim, abs=0.0005)


def test_lr_made_from_hr_scores_like_the_lr_files_of_set5(shared_data):
    pairs = find_pairs(shared_data / "benchmarks" / "Set5")
    given, _ = score(pairs, BASELINES)
    made, _ = score([Pair(pair.name, pair.hr, None) for pair in pairs], BASELINES)
    assert [score["psnr"] for score in made] == [score["psnr"] for score in given]


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_the_lr_files_of_test_sets_are_bicubic(shared_data, name):
    pairs = find_pairs(shared_data / "benchmarks" / name)
    assert score_set(PictureSet(name, tuple(pairs)), {"nearest": BASELINES["nearest"]}).bicubic_lr


def test_another_lr_is_known(picture_pairs, tmp_path):
    hr, lr = load_pair(picture_pairs[0])
    for name, image, expected in (("made", lr, True), ("one_level", lr ^ (lr < 90), True), ("area", None, False)):
        if image is None:
            image = hr.reshape(*lr.shape[:1], 4, lr.shape[1], 4, 3).mean((1, 3)).round().astype(np.uint8)
        files.write(tmp_path / f"{name}.png", image)
        pairs = Pair(name, picture_pairs[0].hr, tmp_path / f"{name}.png"), picture_pairs[1]
        assert score_set(PictureSet("x", pairs), {"nearest": BASELINES["nearest"]}).bicubic_lr == expected


def test_scores_and_pictures_of_each_system(picture_pairs, tmp_path):
    seen = []
    scores, failures = score(picture_pairs, BASELINES, pictures_folder=tmp_path / "out", on_progress=seen.append)
    assert not failures and seen == ["a", "b"]
    assert [(score.picture, score.system) for score in scores] == [
        ("a", "nearest"),
        ("a", "bicubic"),
        ("b", "nearest"),
        ("b", "bicubic"),
    ]
    _, lr = load_pair(picture_pairs[0])
    assert (files.read_rgb(tmp_path / "out" / "nearest" / "a.png")[2::4, 1::4] == lr).all()
    assert files.read_rgb(tmp_path / "out" / "bicubic" / "b.png").shape == (24, 24, 3)
    assert all(score["seconds"] > 0 for score in scores)
    assert [score.pixels for score in scores] == [40 * 32] * 2 + [24 * 24] * 2
    assert {score["lpips"] for score in scores} == {score["rgb_psnr"] for score in scores} == {None}


def test_scores_are_those_of_the_metrics(picture_pairs):
    def lpips(reference, images):
        return [float(np.mean(np.abs(reference.astype(float) - image))) for image in images]

    lpips.min_side = 30
    scores, _ = score(picture_pairs, BASELINES, lpips=lpips, rgb=True)
    hr, lr = load_pair(picture_pairs[0])
    sr = BASELINES["bicubic"](lr)
    values = {
        "psnr": metrics.psnr(hr, sr),
        "paper_ssim": metrics.paper_ssim(hr, sr),
        "ssim": metrics.ssim(hr, sr),
        "rgb_psnr": metrics.psnr(hr, sr, channels="rgb"),
        "rgb_ssim": metrics.ssim(hr, sr, channels="rgb"),
        "lpips": lpips(hr, [sr])[0],
        "seconds": scores[1]["seconds"],
    }
    assert scores[1] == Score("ours", "a", "bicubic", values, pixels=40 * 32)
    assert [score["lpips"] is None for score in scores] == [False, False, True, True]  # b is smaller than 30


def test_a_gray_original_is_scored_on_its_own_values(picture_pairs):
    gray = Image.open(picture_pairs[0].hr).convert("L")
    gray.save(picture_pairs[0].hr)
    scores, _ = score(picture_pairs[:1], BASELINES)
    hr, lr = load_pair(picture_pairs[0])
    sr = BASELINES["bicubic"](lr)
    original = np.asarray(gray)[4:36, 4:28]
    expected = peak_signal_noise_ratio(original, sr[4:-4, 4:-4, 0], data_range=255)
    assert scores[1]["psnr"] == pytest.approx(expected, abs=1e-9)


def test_external_results(picture_pairs, tmp_path):
    paths = {}
    for pair in picture_pairs:
        hr, lr = load_pair(pair)
        paths[pair.name] = tmp_path / "theirs" / f"{pair.name}.png"
        sr = BASELINES["bicubic"](lr)
        if pair.name == "a":  # as large as HR before it is cut
            sr = np.pad(sr, ((0, 2), (0, 3), (0, 0)))
        files.write(paths[pair.name], sr)
    scores, failures = score(picture_pairs, BASELINES, external={"theirs": paths}, pictures_folder=tmp_path / "out")
    assert not failures
    by_system = {name: [entry["psnr"] for entry in scores if entry.system == name] for name in ("bicubic", "theirs")}
    assert by_system["theirs"] == by_system["bicubic"]
    assert [entry.system for entry in scores[:3]] == ["nearest", "bicubic", "theirs"]
    assert scores[2]["seconds"] is None and not (tmp_path / "out" / "theirs").exists()

    files.write(paths["b"], np.zeros((24, 28, 3), np.uint8))
    scores, failures = score(picture_pairs, BASELINES, external={"theirs": paths})
    assert {entry.picture for entry in scores} == {"a"}
    assert f"{paths['b']}: 28x24 is not 24x24" in str(failures[0]) and str(picture_pairs[1].hr) in str(failures[0])


def test_many_pictures_keep_their_order(picture_pairs, monkeypatch):
    pairs = [Pair(str(number), picture_pairs[number % 2].hr, None) for number in range(11)]
    seen = []
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    one, _ = score(pairs, BASELINES)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    scores, _ = score(pairs, BASELINES, on_progress=seen.append)
    assert [(entry.picture, entry.system, entry["psnr"], entry["ssim"]) for entry in scores] == [
        (entry.picture, entry.system, entry["psnr"], entry["ssim"]) for entry in one
    ]
    assert seen == [pair.name for pair in pairs]


def test_scores_of_a_set(picture_pairs, tmp_path):
    known = PictureSet("small", tuple(picture_pairs))
    theirs = {pair.name: pair.hr for pair in picture_pairs}
    found = score_set(known, BASELINES, 4, tmp_path / "out", external={"theirs": theirs}, rgb=True)
    assert found.set is known and found.systems == ("nearest", "bicubic") and not found.failures
    assert {entry.set for entry in found.scores} == {"small"} and found.scores[0]["rgb_psnr"] > 0
    assert found.scores[2]["psnr"] == np.inf and found.scores[2]["paper_ssim"] == 1
    assert files.read_rgb(found.picture_file("bicubic", "b")).shape == (24, 24, 3)
    assert found.picture_file("theirs", "b") == picture_pairs[1].hr


def test_one_bad_picture_does_not_stop_the_others(picture_pairs, tmp_path):
    broken, small = tmp_path / "broken.png", tmp_path / "small.png"
    broken.write_bytes(b"no image")
    files.write(small, np.zeros((19, 60, 3), np.uint8))
    pairs = [Pair("broken", broken, None), picture_pairs[0], Pair("small", small, None), picture_pairs[1]]
    scores, failures = score(pairs, BASELINES)
    assert {score.picture for score in scores} == {"a", "b"}
    assert len(failures) == 2
    assert str(broken) in str(failures[0])
    assert f"{small}: 60x19 is too small" in str(failures[1])


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("out of memory"), UserError("out of memory")])
def test_a_picture_that_one_system_fails_on_counts_for_none(picture_pairs, error):
    def forgetful(lr):
        if lr.shape[0] == 10:
            raise error
        return BASELINES["nearest"](lr)

    scores, failures = score(picture_pairs[::-1], BASELINES | {"ours": forgetful})
    assert [score.picture for score in scores] == ["b", "b", "b"]
    assert [str(failure) for failure in failures] == [f"{picture_pairs[0].hr}: ours: out of memory"]


def test_max_memory_refuses_the_picture_that_is_too_large_to_be_scored(picture_pairs, monkeypatch):
    small = 24 * 24 * scoring_bytes(2, lpips=False, rgb=False)
    monkeypatch.setattr(memory, "bytes_left", lambda max_memory: max_memory)
    scores, failures = score(picture_pairs, BASELINES, max_memory=small)
    assert {entry.picture for entry in scores} == {"b"}
    assert f"{picture_pairs[0].hr}: 0 MiB are needed to score 35x42 pixels" in str(failures[0])
    assert "--max_memory" in str(failures[0])
