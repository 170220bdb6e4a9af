"""Strengths between two networks and the self-ensemble, from the command line."""

import json

import numpy as np
import pytest

from srgan_tf.evaluation.records import Score
from srgan_tf.evaluation.report import figures
from srgan_tf.imaging import files
from srgan_tf.inference import dial
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import load_generator, save_generator

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 36, 3), np.uint8)


@pytest.fixture(scope="module")
def sharper(weights, tmp_path_factory):
    generator, rng = load_generator(weights), np.random.default_rng(1)
    generator.set_weights([weight * rng.uniform(0.9, 1.1, weight.shape) for weight in generator.get_weights()])
    path = tmp_path_factory.mktemp("sharper") / "g.weights.h5"
    save_generator(generator, path)
    return path


def test_upscale_at_a_strength(run, weights, sharper, tmp_path):
    files.write(tmp_path / "a.png", IMAGE)
    flags = [f"--weights={weights}", f"--toward={sharper}", "--strength=0.25", "--ensemble"]
    status, out, err = run("--mode=upscale", f"--input={tmp_path}/a.png", f"--output={tmp_path}/b.png", *flags)
    assert (status, out, err) == (0, [f"1 upscaled to {tmp_path}/b.png"], [])
    expected = Upscaler(weights, toward=sharper, strength=0.25, ensemble=True).upscale(IMAGE)
    assert (files.read_rgb(tmp_path / "b.png") == expected).all()


def test_upscale_twice_at_a_strength(run, tmp_path):
    files.write(tmp_path / "a.png", IMAGE)
    flags = ["--outscale=2", "--strength=0.5", "--precision=float32"]
    assert run("--mode=upscale", f"--input={tmp_path}/a.png", f"--output={tmp_path}/b.png", *flags)[0] == 0
    expected = Upscaler("srresnet-x2", toward="srgan-x2", strength=0.5)
    assert not expected.blended and (files.read_rgb(tmp_path / "b.png") == expected.upscale(IMAGE)).all()


def test_evaluate_has_a_row_for_each_strength_and_draws_the_curve(run, weights, sharper, tmp_path, monkeypatch):
    files.write(tmp_path / "set" / "one.png", IMAGE)
    flags = [f"--weights=a={weights}", f"--toward=b={sharper}", "--strength=1,0,0.5", f"--report={tmp_path}/report"]
    status, out, err = run(f"--data={tmp_path}/set", *flags, "--ensemble")
    assert status == 0 and err == []
    names = [line.split()[0] for line in out if line.startswith("strength-")]
    assert names == ["strength-0", "strength-0.5", "strength-1", "strength-0+", "strength-0.5+", "strength-1+"]
    facts = json.loads((tmp_path / "report" / "scores.json").read_text())["facts"]
    assert list(facts["weights"]) == ["a", "b"]
    said = "from a (0) to b (1); in between one network, whose weights are the weighted mean"
    assert facts["protocol"]["strength"] == said
    assert facts["protocol"]["ensemble"].startswith("NAME+: mean over the eight flips")

    drawn = []
    monkeypatch.setattr(figures, "png", lambda figure, dpi: drawn.append(figure))
    points = [(30, 0.3), (29, 0.2), (28, 0.1)]
    rows = [Score("s", None, name, {"psnr": x, "lpips": y}) for name, (x, y) in zip([*names[:3], "other"], points)]
    figures.psnr_lpips([*rows, Score("s", None, "other", {"psnr": 25, "lpips": 0.4})])
    lines = [line.get_xydata().tolist() for line in drawn[0].axes[0].lines if len(line.get_xdata()) > 1]
    assert lines == [[list(point) for point in points]]


def test_an_export_at_a_strength_is_one_network(run, weights, sharper, tmp_path):
    flags = [f"--weights={weights}", f"--toward={sharper}", "--strength=0.25", f"--output={tmp_path}/g.keras"]
    status, out, err = run("--mode=export", *flags)
    assert (status, len(out), err) == (0, 1, [])
    made = load_generator(tmp_path / "g.keras").get_weights()
    ends = (load_generator(path).get_weights() for path in (weights, sharper))
    for values, first, second in zip(made, *ends, strict=True):
        np.testing.assert_allclose(values, 0.75 * first + 0.25 * second, rtol=1e-6)


def test_where_weights_do_not_mix_results_do(run, weights, sharper, tmp_path, monkeypatch):
    monkeypatch.setattr(dial, "_FARTHEST", -1.0)
    flags = [f"--weights={weights}", f"--toward={sharper}", "--strength=0.5"]
    status, out, err = run("--mode=export", *flags, f"--output={tmp_path}/model")
    assert (status, err) == (0, []) and out[1].startswith("Their weights do not mix: both networks were computed")
    metadata = json.loads((tmp_path / "model" / "assets" / "metadata.json").read_text())
    assert metadata["strength"] == 0.5 and metadata["toward"]["weights"]["file"] == "g.weights.h5"
    assert metadata["export"]["strength"] == 0.5
    files.write(tmp_path / "set" / "one.png", IMAGE)
    status, out, err = run(f"--data={tmp_path}/set", *flags)
    said = "from srresnet-best (0) to sharper0-g (1); in between both are computed and their outputs mixed"
    assert (status, err) == (0, []) and any(said in line for line in out)
    for name in ("g.keras", "g.npz"):
        status, _, err = run("--mode=export", *flags, f"--output={tmp_path}/{name}")
        assert status == 1 and len(err) == 1 and "takes one network; leave --strength out" in err[0]


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--mode=upscale", "--input=a.png", "--toward=srgan"], "--toward cannot be given without --strength"),
        (["--mode=upscale", "--input=a.png", "--strength=1.5"], "--strength"),
        (["--mode=upscale", "--input=a.png", "--strength=0.5", "--weights=srgan"], "give --toward, too, or leave --we"),
        (["--mode=upscale", "--input=a.png", "--strength=0.5", "--toward=srgan"], "give --weights, too, or leave --to"),
        (["--mode=upscale", "--input=a.png", "--strength=1", "--model=selfex"], "--model=selfex is none"),
        (["--mode=export", "--weights=srgan", "--output=x", "--strength=0.5"], "give --toward, too"),
        (["--strength=0,0.5,0.5"], "--strength=0,0.5,0.5: must be different numbers from 0 to 1"),
        (["--strength=half"], "--strength=half: must be different numbers from 0 to 1"),
        (["--strength=0,2"], "must be different numbers from 0 to 1"),
        (["--strength=0.5", "--weights=srgan", "--weights=espcn", "--toward=srcnn"], "give one --weights and --toward"),
        (["--strength=0.5", "--model=selfex"], "--model=selfex is none"),
        (["--invented=srgan"], "--invented is about --report"),
        (
            ["--invented=srgan", "--report=r", "--strength=0,1"],
            "no network of this run; name one of strength-0, strength-1",
        ),
        (["--invented=bicubic", "--report=r", "--weights=none"], "no network of this run; there is none"),
        (["--mode=compare", "--input=docs", "--report=r", "--invented=espcn"], "name one of srresnet, srgan"),
        (["--ensemble", "--weights=none"], "--ensemble is about networks"),
    ],
)
def test_what_does_not_go_together_is_one_line(run, flags, said):
    status, _, err = run(*flags)
    assert status == 2 and len(err) == 1 and said in err[0]


def test_other_shapes_are_one_line(run, tmp_path):
    files.write(tmp_path / "a.png", IMAGE)
    flags = ["--weights=espcn", "--toward=srgan", "--strength=0.5"]
    status, _, err = run("--mode=upscale", f"--input={tmp_path}/a.png", f"--output={tmp_path}/b.png", *flags)
    assert status == 1 and len(err) == 1 and "give weights of one shape" in err[0]
    assert not (tmp_path / "b.png").exists()


def test_the_map_of_an_image(run, weights, tmp_path):
    files.write(tmp_path / "a.png", IMAGE)
    flags = ["--mode=upscale", f"--weights={weights}", f"--input={tmp_path}/a.png", f"--output={tmp_path}/b.png"]
    status, out, err = run(*flags, f"--invented={tmp_path}/map.png")
    assert (
        (status, err) == (0, []) and out[1].startswith(f"{tmp_path}/map.png: ") and "% of the pixels are high" in out[1]
    )
    assert files.read_rgb(tmp_path / "map.png").shape == (128 + 64, 144, 3)
    for place, code, said in (
        (f"{tmp_path}/map.png", 1, "exists already; --overwrite replaces it"),
        (f"{tmp_path}/a.png", 2, "is the input or the output"),
        (f"{tmp_path}/b.png", 2, "is the input or the output"),
    ):
        status, _, err = run(*flags, f"--invented={place}")
        assert status == code and len(err) == 1 and said in err[0]
    status, _, err = run(*flags[:3], "--output=-", f"--invented={tmp_path}/streamed.png")
    assert status == 0 and len(err) == 1 and err[0].startswith(f"{tmp_path}/streamed.png: ")
    (tmp_path / "e").mkdir()
    for output, place, code, said in (  # before anything is upscaled
        ([], "a_x4.png", 2, "is where the upscaled image is written"),
        ([f"--output={tmp_path}/e/"], "e/a.png", 2, "is where the upscaled image is written"),
        ([f"--output={tmp_path}/f.png"], "map.xyz", 1, "cannot be written as .xyz"),
        ([f"--output={tmp_path}/f.png", "--overwrite"], "e", 1, "a folder; name a file for the map"),
    ):
        status, out, err = run(*flags[:3], *output, f"--invented={tmp_path}/{place}")
        assert (status, out, len(err)) == (code, [], 1) and said in err[0]
    folder = ["--mode=upscale", f"--input={tmp_path}", f"--output={tmp_path}/c/", f"--invented={tmp_path}/d.png"]
    status, _, err = run(*folder)
    assert status == 2 and len(err) == 1 and "is the map of one image" in err[0]
