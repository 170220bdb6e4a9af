from statistics import fmean

import numpy as np
import pytest

from srgan_tf.data.folders import Pair, find_pairs
from srgan_tf.evaluation import benchmark, metrics
from srgan_tf.evaluation.benchmark import BASELINES, PictureSet, score_set
from srgan_tf.evaluation.records import Score
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError


def score(pairs, systems, *args, **options):
    """The scores and failures of a set of these pairs."""
    found = score_set(PictureSet("ours", tuple(pairs)), systems, *args, **options)
    return found.scores, found.failures


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


def test_hr_is_cut_to_multiples_of_the_scale(picture_pairs):
    hr, lr = benchmark.load_pair(picture_pairs[0], scale=4)
    assert hr.shape == (40, 32, 3) and lr.shape == (10, 8, 3)
    assert (hr == files.read_rgb(picture_pairs[0].hr)[:40, :32]).all()


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
    _, lr = benchmark.load_pair(picture_pairs[0])
    assert (files.read_rgb(tmp_path / "out" / "nearest" / "a.png")[2::4, 1::4] == lr).all()
    assert files.read_rgb(tmp_path / "out" / "bicubic" / "b.png").shape == (24, 24, 3)
    assert all(score["seconds"] > 0 for score in scores)
    assert [score.pixels for score in scores] == [40 * 32] * 2 + [24 * 24] * 2
    assert {score["lpips"] for score in scores} == {score["rgb_psnr"] for score in scores} == {None}


def test_scores_are_those_of_the_metrics(picture_pairs):
    def lpips(reference, images):
        return [float(np.mean(np.abs(reference.astype(float) - image))) for image in images]

    lpips.smallest = 30
    scores, _ = score(picture_pairs, BASELINES, lpips=lpips, rgb=True, workers=1)
    hr, lr = benchmark.load_pair(picture_pairs[0])
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


def test_external_results(picture_pairs, tmp_path):
    paths = {}
    for pair in picture_pairs:
        hr, lr = benchmark.load_pair(pair)
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


def test_many_pictures_keep_their_order(picture_pairs):
    pairs = [Pair(str(number), picture_pairs[number % 2].hr, None) for number in range(11)]
    seen = []
    one, _ = score(pairs, BASELINES, workers=1)
    scores, _ = score(pairs, BASELINES, workers=3, on_progress=seen.append)
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


def test_sets_of_a_folder(picture_pairs, tmp_path):
    (one,) = benchmark.find_sets(tmp_path)
    assert one.name == tmp_path.name and [pair.name for pair in one.pairs] == ["a", "b"]
    for name in ("Set14", "Set5", "b100"):
        files.write(tmp_path / "sets" / name / "HR" / "x.png", np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "sets" / "notes").mkdir()
    assert [found.name for found in benchmark.find_sets(tmp_path / "sets")] == ["b100", "Set5", "Set14"]
    with pytest.raises(UserError, match="no such folder"):
        benchmark.find_sets(tmp_path / "none")


def test_what_is_in_no_set_is_told(tmp_path):
    for name in ("Set5/hr/x.png", "Set14/HR/x.png", "plain/x.png", "plain/y.png", "half/LR/x.png", "loose.png"):
        files.write(tmp_path / name, np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "notes").mkdir()
    assert [found.name for found in benchmark.find_sets(tmp_path)] == ["Set5", "Set14"]
    assert benchmark.find_ignored(tmp_path) == ["half", "loose.png", "plain"]
    assert benchmark.find_ignored(tmp_path / "Set5") == benchmark.find_ignored(tmp_path / "plain") == []


def test_sets_of_another_enlargement_lose_their_lr(picture_pairs):
    lr = picture_pairs[1].hr.parents[1] / "LR" / "b.png"
    files.write(lr, np.zeros((6, 6, 3), np.uint8))
    given = [PictureSet("bare", tuple(picture_pairs)), PictureSet("fours", (Pair("b", picture_pairs[1].hr, lr),))]
    assert benchmark.fit_sets(given, 4) == (given, [])
    (bare, fours), notes = benchmark.fit_sets(given, 2)
    assert bare == given[0]
    assert notes == ["fours: LR/ is HR/ divided by 4, not 2; LR is made by MATLAB's bicubic instead"]
    scores, failures = score(fours.pairs, {"nearest": lambda lr: lr.repeat(2, 0).repeat(2, 1)}, 2)
    assert not failures and scores[0].pixels == 24 * 24


def test_a_set_is_called_as_its_folder_even_from_inside(picture_pairs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert benchmark.find_sets(".")[0].name == tmp_path.name


def test_which_pictures_are_cut(picture_pairs, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    pairs = [*picture_pairs, Pair("broken", tmp_path / "broken.png", None)]
    assert benchmark.find_cropped(pairs, 4) == ["a"]
    assert benchmark.find_cropped(pairs, 5) == ["a", "b"]


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
