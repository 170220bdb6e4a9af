"""Modes evaluate and compare from the command line."""

import csv
import json

import numpy as np
import pytest

from srgan_tf.evaluation import memory, systems
from srgan_tf.evaluation.html import showing_bytes
from srgan_tf.evaluation.lpips import weight_shapes, write_weights
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale
from srgan_tf.inference.invention import expected_error
from srgan_tf.inference.invention_map import Invention
from srgan_tf.inference.precision import NotFiniteError
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.models.whole_model import write_model


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def row(lines, system):
    """The numbers in the measured row of a system: PSNR, SSIM (daala), SSIM (Wang), ..."""
    (line,) = [line for line in lines if line.split()[:1] == [system] and "(published)" not in line]
    return line.split()[1:]


# --- evaluate


def test_without_anything_the_packages_networks_on_the_embedded_photographs_and_how_to_train(run):
    status, out, err = run()
    assert status == 0 and err == []
    assert "5 photographs of scikit-image" in out[0]
    assert any(line == "scikit-image: 5 images, 4x" for line in out)
    psnr = {name: float(row(out, name)[0]) for name in ("srresnet", "srgan", "espcn", "srcnn", "bicubic", "nearest")}
    assert psnr["srresnet"] > psnr["espcn"] > psnr["bicubic"] > psnr["nearest"] + 0.5
    assert "`srgan train --train_dir=PHOTOS` trains yours" in out[-1]


def test_set5(run, shared_data):
    status, out, err = run("--mode=evaluate", f"--data={shared_data / 'benchmarks' / 'Set5'}", "--weights=none")
    assert status == 0 and err == []
    assert row(out, "bicubic")[:3] == ["28.43", "0.8211", "0.8111"]
    assert row(out, "nearest")[:3] == ["26.26", "0.7547", "0.7380"]
    (published,) = [line.split() for line in out if line.startswith("bicubic (published)")]
    assert published[2:4] == ["28.43", "0.8211"]
    assert not any("scikit-image" in line or "not to be compared" in line for line in out)
    assert any("--lpips=fetch" in line for line in out)


def test_set14_whose_gray_picture_is_scored_on_its_own_values(run, shared_data):
    """As published, nearest 24.64 / 0.7100 and bicubic 25.99 / 0.7486; on Y of all 14 it would be 0.09 dB more."""
    status, out, err = run("--mode=evaluate", f"--data={shared_data / 'benchmarks' / 'Set14'}", "--weights=none")
    assert status == 0 and err == []
    for system, psnr, ssim in (("nearest", 24.64, 0.7100), ("bicubic", 25.99, 0.7486)):
        assert float(row(out, system)[0]) == pytest.approx(psnr, abs=0.011)
        assert float(row(out, system)[1]) == pytest.approx(ssim, abs=0.00021)


def test_weights_csv_and_pictures(run, generator, weights, tmp_path):
    hr = noise(80, 96)
    files.write(tmp_path / "data" / "a.png", hr)
    status, out, err = run(
        f"--data={tmp_path / 'data'}",
        f"--weights={weights}",
        f"--weights=mine={weights}",
        "--verbose",
        f"--csv={tmp_path / 'scores.csv'}",
        f"--pictures={tmp_path / 'out'}",
        "--tile=16",
    )
    assert status == 0 and err == []
    assert row(out, "srresnet-best")[:3] == row(out, "mine")[:3]
    assert not any("trains yours" in line for line in out)
    systems = ["srresnet-best", "mine", "nearest", "bicubic"]
    assert [line.split()[:2] for line in out[2:6]] == [["a", system] for system in systems]
    with open(tmp_path / "scores.csv", newline="") as file:
        assert [line["system"] for line in csv.DictReader(file)] == systems
    expected = Upscaler(generator, tile=0).upscale(downscale(hr))
    assert np.abs(files.read_rgb(tmp_path / "out" / "mine" / "a.png").astype(int) - expected).max() <= 1


def test_pictures_replace_nothing_that_is_read(run, tmp_path):
    """Results of another system in a folder of ours, such as those of an earlier run; and a test set in one."""
    earlier = tmp_path / "out" / "bicubic"
    files.write(tmp_path / "data" / "a.png", noise(40, 40))
    files.write(earlier / "a.png", noise(40, 40, 1))
    before = (earlier / "a.png").read_bytes()
    flags = ["--weights=none", f"--pictures={tmp_path / 'out'}"]
    for inputs in ([f"--data={tmp_path / 'data'}", f"--results=theirs={earlier}"], [f"--data={earlier}"]):
        status, _, err = run(*inputs, *flags)
        place = earlier / "a.png"
        assert status == 1 and err == [
            f"srgan: error: {place}: would replace the input {place}; give another --pictures"
        ]
        assert place.read_bytes() == before and not (tmp_path / "out" / "nearest").exists()
    assert run(f"--data={tmp_path / 'data'}", *flags)[0] == 0  # what was only written there is replaced


@pytest.mark.parametrize(
    "flags, place, message",
    [
        ("--csv", "folder", "a folder; name a file for the scores"),
        ("--csv", "file/scores.csv", "cannot be written (Not a directory)"),
        ("--csv", "file/deep/scores.csv", "cannot be written (Not a directory)"),
        ("--pictures", "file", "cannot be written (Not a directory)"),
        ("--pictures", "file/out", "cannot be written (Not a directory)"),
        ("--report", "file/report", "cannot be written (Not a directory)"),
        ("--mode=mos --make --output", "folder.html", "a folder; name a file for the page"),
        ("--mode=mos --make --output", "file/study.html", "cannot be written (Not a directory)"),
    ],
)
def test_an_impossible_place_is_named_before_anything_is_scored(
    run, two_sets, tmp_path, monkeypatch, flags, place, message
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    for function in ("shared.load_upscalers", "evaluate.load_upscalers"):
        monkeypatch.setattr(f"srgan_tf.cli.{function}", lambda *_, **__: pytest.fail("came too late"))
    status, _, err = run(*f"{flags}={tmp_path / place}".split(), f"--data={two_sets}")
    assert status == 1 and len(err) == 1 and f"{tmp_path / place}: {message}" in err[0]


@pytest.fixture
def two_sets(tmp_path):
    """A folder with two sets of two pictures each; one picture has to be cut."""
    for number, name in enumerate(("Set5", "other")):
        files.write(tmp_path / "sets" / name / "HR" / "a.png", noise(42, 48, number))
        files.write(tmp_path / "sets" / name / "HR" / "b.png", noise(40, 36, number + 5))
    return tmp_path / "sets"


def test_sets_results_rgb_and_intervals(run, two_sets, tmp_path):
    for name in ("Set5", "other"):
        for picture in "ab":
            hr = files.read_rgb(two_sets / name / "HR" / f"{picture}.png")
            files.write(tmp_path / "theirs" / name / f"{picture}_x4_theirs.png", hr[:40])
    status, out, err = run(
        f"--data={two_sets}",
        "--weights=none",
        f"--results=theirs={tmp_path / 'theirs'}",
        "--rgb",
        "--confidence",
        f"--pictures={tmp_path / 'out'}",
    )
    assert status == 0 and err == []
    heads = [line for line in out if "images, 4x" in line]
    assert heads[0] == "other: 2 images, 4x"
    assert heads[1].startswith("Set5: 2 images") and heads[1].endswith("of 5 images: not to be compared")
    assert "other: HR cut at the right and bottom to multiples of 4: a" in out
    measured = [line.split() for line in out if line.startswith("theirs ") and "(published)" not in line]
    assert measured[0][:6] == ["theirs", "∞", "1.0000", "1.0000", "∞", "1.0000"]
    assert any("PSNR RGB" in line for line in out)
    assert sum(line.startswith("nearest - bicubic") for line in out) == 2
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/*/*/*")) == [
        f"{name}/{system}/{picture}.png"
        for name in ("Set5", "other")
        for system in ("bicubic", "nearest")
        for picture in "ab"
    ]


def test_pictures_beside_the_sets_are_named(run, two_sets):
    files.write(two_sets / "plain" / "a.png", noise(40, 40))
    status, out, err = run(f"--data={two_sets}", "--weights=none")
    assert status == 0 and err == []
    assert out[0] == f"{two_sets}: left out, because they are in no folder with HR/: plain"


def test_missing_results_are_named_before_anything_is_scored(run, two_sets, tmp_path, monkeypatch):
    files.write(tmp_path / "theirs" / "a.png", noise(40, 48))
    monkeypatch.setattr("srgan_tf.cli.evaluate.score_set", lambda *_, **__: pytest.fail("came too late"))
    status, _, err = run(f"--data={two_sets}", f"--results=theirs={tmp_path / 'theirs'}")
    assert status == 1 and len(err) == 1 and "no image of theirs for b" in err[0]


def test_the_precision_is_said_of_networks_that_have_one(run, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("srgan_tf.inference.precision.cpu_flags", lambda: {"avx2"})
    files.write(tmp_path / "data" / "a.png", noise(40, 48))
    said = "SRGAN and SRResNet computed in bfloat16"
    flags = [f"--data={tmp_path / 'data'}", "--precision=bfloat16"]
    systems.say_if_emulated.cache_clear()
    status, out, err = run(*flags, "--weights=espcn")
    assert status == 0 and err == [] and not any(said in line for line in out)
    status, out, err = run(*flags, "--weights=espcn", f"--weights=own={weights}")
    assert status == 0 and any(said in line for line in out)
    ours = [line for line in err if "oneDNN supports DT_BFLOAT16" not in line]  # the command hides TensorFlow's lines
    assert len(ours) == 1 and ours[0].startswith("bfloat16 is emulated")
    study = [f"--output={tmp_path / 'study.html'}", "--mode=mos", "--make", *flags]
    status, out, _ = run(*study, "--weights=espcn")
    assert status == 0 and not any(said in line for line in out)


@pytest.mark.parametrize("mode", ["evaluate", "compare"])
def test_no_result_is_needed_of_an_image_that_cannot_be_read(run, tmp_path, mode):
    files.write(tmp_path / "data" / "a.png", noise(40, 48))
    whole = (tmp_path / "data" / "a.png").read_bytes()
    (tmp_path / "data" / "b.png").write_bytes(whole[: len(whole) // 2])
    files.write(tmp_path / "theirs" / "a.png", noise(40, 48) if mode == "evaluate" else noise(160, 192))
    given = [f"--data={tmp_path / 'data'}", "--verbose"]
    if mode == "compare":
        given = ["--mode=compare", f"--input={tmp_path / 'data'}", f"--report={tmp_path / 'report'}"]
    status, out, err = run(*given, "--weights=none", f"--results=theirs={tmp_path / 'theirs'}")
    assert status == 1 and len(err) == 1 and "b.png: " in err[0] and "theirs" not in err[0]
    assert mode == "compare" or row(out, "theirs")[0] == "∞"


def test_lpips(run, tmp_path):
    files.write(tmp_path / "data" / "a.png", noise(40, 48))
    rng = np.random.default_rng(0)
    weights = {name: rng.random(shape, np.float32) for name, shape in weight_shapes("alexnet").items()}
    write_weights(tmp_path / "lpips.npz", weights)
    flags = [f"--data={tmp_path / 'data'}", "--weights=none", f"--lpips={tmp_path / 'lpips.npz'}"]
    status, out, err = run(*flags)
    assert status == 0 and err == []
    assert float(row(out, "nearest")[3]) > 0
    assert not any("--lpips=fetch" in line for line in out)
    status, _, err = run(*flags, "--lpips_net=vgg16")
    assert status == 1 and "does not hold LPIPS' weights for vgg16" in err[0]


def test_a_named_set_is_fetched(run, tmp_path, monkeypatch):
    files.write(tmp_path / "cache" / "set5" / "HR" / "a.png", noise(40, 40))
    monkeypatch.setattr("srgan_tf.cli.shared.find_set", lambda text: {"set5": tmp_path / "cache" / "set5"}[text])
    status, out, err = run("--data=set5", "--weights=none")
    assert status == 0 and any(line.startswith("set5: 1 image, 4x; published") for line in out)


def test_report(run, two_sets, weights, tmp_path):
    flags = [f"--data={two_sets}", f"--weights=ours={weights}", f"--report={tmp_path / 'report'}"]
    status, out, err = run(*flags, "--invented=ours")
    assert status == 0 and err == []
    assert f"Report: {tmp_path / 'report'}" in out
    scores = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert {(entry["set"], entry["picture"], entry["system"]) for entry in scores["pictures"]} == {
        (name, picture, system)
        for name in ("Set5", "other")
        for picture in "ab"
        for system in ("ours", "nearest", "bicubic")
    }
    assert scores["facts"]["weights"]["ours"].startswith("best.weights.h5, SHA-256 ")
    assert any(entry["published"] and entry["system"] == "SRCNN" for entry in scores["systems"])
    text = (tmp_path / "report" / "report.md").read_text()
    lr = downscale(files.read_rgb(two_sets / "Set5" / "HR" / "a.png")[:40], 4)
    share = Invention.of(expected_error(Upscaler(weights), lr))
    assert (
        text.count("ours, invented: ") == 4
        and f"### Set5 / a\n\n![Set5 / a](strips/Set5-a.png)\n\nours, invented: {share}" in text
    )
    assert scores["facts"]["protocol"]["invented"].startswith("the error to be expected")
    assert (tmp_path / "report" / "index.html").read_text().count('"name": "ours, invented"') == 4
    status, _, err = run(*flags)
    assert status == 1 and "holds a report already" in err[0]
    assert run(*flags, "--overwrite")[0] == 0


def test_compare(run, weights, tmp_path):
    photos = tmp_path / "photos"
    for name in ("one.png", "two.JPG", "deep/three.png"):
        files.write(photos / name, noise(12, 14))
    (photos / "broken.png").write_bytes(b"no image")
    flags = ["--mode=compare", f"--input={photos}", f"--weights=ours={weights}", f"--report={tmp_path / 'report'}"]
    status, out, err = run(*flags, "--invented=ours")
    assert status == 1 and len(err) == 1 and err[0].startswith(f"srgan: error: {photos / 'broken.png'}: ")
    assert out[0] == f"Report: {tmp_path / 'report'}"
    assert (tmp_path / "report" / "index.html").read_text().count('"name": "ours, invented"') == 3
    assert len(list((tmp_path / "report" / "strips").iterdir())) == 3


def test_compare_and_mos_refuse_images_for_which_max_memory_does_not_suffice(run, tmp_path, monkeypatch):
    files.write(tmp_path / "photos" / "large.png", noise(24, 28))
    files.write(tmp_path / "photos" / "small.png", noise(12, 14))
    monkeypatch.setattr(memory, "bytes_left", lambda max_memory: max_memory)
    said = "are needed to show {} pixels, 0 MiB are left; allow more with --max_memory"
    flags = ["--weights=none", f"--max_memory={48 * 56 * showing_bytes(3)}"]
    status, _, err = run("--mode=compare", f"--input={tmp_path / 'photos'}", f"--report={tmp_path / 'report'}", *flags)
    assert status == 1 and len(err) == 1 and "large.png" in err[0] and said.format("112x96") in err[0]
    assert [path.name for path in (tmp_path / "report" / "strips").iterdir()] == ["small.png"]
    page, flags[1] = tmp_path / "study.html", "--max_memory=1000"
    status, _, err = run("--mode=mos", "--make", f"--data={tmp_path / 'photos'}", f"--output={page}", *flags)
    assert status == 1 and len(err) == 1 and said.format("28x24") in err[0] and not page.exists()


@pytest.mark.parametrize("error", [MemoryError(), NotFiniteError("NaN")])
def test_an_image_that_a_network_fails_on_is_named(run, weights, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    files.write(tmp_path / "photos" / "a.png", noise(24, 28))
    monkeypatch.setattr(Upscaler, "upscale", fail)
    image, flags = tmp_path / "photos" / "a.png", [f"--weights=ours={weights}"]
    said = f"{image}: {{}}{error}" if str(error) else f"{image}: {{}}out of memory"
    status, _, err = run(f"--data={tmp_path / 'photos'}", *flags)
    assert status == 1 and err == ["srgan: error: " + said.format("ours: ")]
    study = ["--mode=mos", "--make", f"--data={tmp_path / 'photos'}", f"--output={tmp_path / 'study.html'}"]
    status, _, err = run(*study, *flags)
    assert status == 1 and err == ["srgan: error: " + said.format("")]
    # Nothing can be shown, so that an older report must stay.
    compare = ["--mode=compare", f"--input={tmp_path / 'photos'}", f"--report={tmp_path / 'report'}"]
    status, out, err = run(*compare, *flags)
    assert status == 1 and not (tmp_path / "report").exists() and out == []
    assert err == [f"srgan: error: {tmp_path / 'photos'}: no image can be shown; the first: {said.format('')}"]


def test_one_unreadable_picture_of_a_set(run, tmp_path):
    files.write(tmp_path / "a.png", noise(40, 40))
    (tmp_path / "b.png").write_bytes(b"")
    status, out, err = run(f"--data={tmp_path}", "--weights=none")
    assert status == 1
    assert err == [f"srgan: error: {tmp_path / 'b.png'}: the file is empty"]
    assert any(line.endswith(": 1 image, 4x") for line in out)


def test_generator_of_another_scale(run, tmp_path, weights):
    files.write(tmp_path / "data" / "a.png", noise(40, 40))
    twice = tmp_path / "twice.weights.h5"
    save_generator(build_generator(blocks=1, scale=2, filters=8), twice)
    status, out, err = run(f"--data={tmp_path / 'data'}", f"--weights=twice={twice}")
    assert status == 0 and float(row(out, "twice")[0]) > 0
    files.write(tmp_path / "fours" / "HR" / "a.png", noise(40, 40))
    files.write(tmp_path / "fours" / "LR" / "a.png", noise(10, 10))
    note = "fours: LR/ is HR/ divided by 4, not 2; LR is made by MATLAB's bicubic instead"
    flags = [f"--data={tmp_path / 'fours'}", f"--weights=twice={twice}"]
    status, fitted, err = run(*flags)
    assert status == 0 and err == [] and fitted[0] == note and row(fitted, "twice")[:3] == row(out, "twice")[:3]
    status, fitted, err = run("--mode=mos", "--make", *flags, f"--output={tmp_path / 'study.html'}")
    assert status == 0 and err == [] and fitted[0] == note
    small = noise(20, 20, 1)
    files.write(tmp_path / "both" / "HR" / "a.png", small.repeat(2, axis=0).repeat(2, axis=1))
    for factor, lr in ((2, small), (4, noise(10, 10))):
        files.write(tmp_path / "both" / "LR_bicubic" / f"X{factor}" / f"ax{factor}.png", lr)
    write_model(load_generator(twice), tmp_path / "whole.keras")
    for file in (twice, tmp_path / "whole.keras"):
        status, out, err = run(f"--data={tmp_path / 'both'}", f"--weights=twice={file}")
        assert status == 0 and err == [] and row(out, "nearest")[0] == "∞"
    study = ["--mode=mos", "--make", f"--data={tmp_path / 'both'}", f"--output={tmp_path / 'own.html'}"]
    status, out, err = run(*study, f"--weights=twice={twice}")
    assert status == 0 and err == [] and not any("MATLAB" in line for line in out)
    status, out, err = run(f"--data={tmp_path / 'data'}", f"--weights=twice={twice}", f"--weights={weights}")
    assert status == 1 and err == ["srgan: error: the weights upscale 2 and 4 times; use them separately"]


def test_compare_names_pictures_of_one_name(run, tmp_path):
    for name in ("one.png", "one.jpg"):
        files.write(tmp_path / "photos" / name, noise(12, 14))
    status, _, err = run("--mode=compare", f"--input={tmp_path / 'photos'}", f"--report={tmp_path / 'report'}")
    assert status == 1 and "one.png: has the same name as" in err[0] and "one.jpg" in err[0]
