import json
import re
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from srgan_tf.cli import reproduce
from srgan_tf.cli.main import main
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale, upscale_nearest
from srgan_tf.weights import general_names, read_manifest


@pytest.fixture
def sets(tmp_path):
    """Sets of the paper's names and numbers of pictures, all gray."""
    rng = np.random.default_rng(0)
    for name, count in (("Set5", 5), ("set14", 14), ("BSD100", 100)):
        for number in range(count):
            gray = np.repeat(rng.integers(0, 256, (24, 28, 1), np.uint8), 3, 2)
            files.write(tmp_path / "sets" / name / "HR" / f"{number}.png", gray)
            files.write(tmp_path / "sets" / name / "LR" / f"{number}.png", downscale(gray, 4))
    return tmp_path / "sets"


@pytest.fixture(autouse=True)
def nearest_instead_of_networks(monkeypatch):
    def load(weights, model, **limits):
        return {name: lambda lr: upscale_nearest(lr, 4) for name in ("srresnet", "bicubic")}, 4

    monkeypatch.setattr(reproduce, "load_systems", load)


def row(page, heading, system):
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"| {system} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_row_of_the_slides_has_ours_beside_it(sets, tmp_path, capsys):
    faces = {"facts": {}, "rows": [{"size": 20, "method": "srgan", "accuracy": 0.8739}]}
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    page = tmp_path / "page.md"
    assert main(["srgan", "reproduce", str(page), f"--data={sets}", f"--faces={tmp_path / 'faces.json'}"]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    page = page.read_text(encoding="utf-8")

    errors = []
    for number in range(5):
        hr = files.read_rgb(sets / "Set5" / "HR" / f"{number}.png")
        sr = upscale_nearest(files.read_rgb(sets / "Set5" / "LR" / f"{number}.png"), 4)
        luma = [16 + image[4:-4, 4:-4] @ np.array([65.481, 128.553, 24.966]) / 255 for image in (hr, sr)]
        errors.append(peak_signal_noise_ratio(*luma, data_range=255))
    assert row(page, "Set5", "SRResNet-MSE")[1:3] == ["32.05", f"{np.mean(errors):.2f}"]
    assert row(page, "Set5", "SRResNet-MSE")[-1] == "3.37"  # MOS
    assert row(page, "Set5", "SRGAN-VGG22")[1:3] == ["29.84", "–"]
    assert row(page, "BSD100", "SRGAN-VGG54")[1] == "25.16"
    assert re.findall(r"^## (.*)$", page, re.M)[:3] == ["Set5", "set14", "BSD100"]

    origin = row(page, "Where ours come from", "SRResNet-MSE")
    entry = read_manifest()["srresnet"]
    assert origin[1:4] == ["srresnet", f"`{entry['sha256'][:16]}`", "`srgan evaluate SET --weights=srresnet`"]
    assert origin[4].startswith(f"{entry['steps']:,} steps on 462 photographs")
    assert row(page, "Faces", "20x20") == ["20x20", "93.50", "92.22", "87.39"]
    assert row(page, "Faces", "30x30") == ["30x30", "97.47", "97.87", "–"]


def test_the_page_of_the_documentation_is_of_the_weights_of_the_package():
    page = (Path(__file__).resolve().parents[2] / "docs/reproduce.md").read_text(encoding="utf-8")
    for name in general_names():
        assert read_manifest()[name]["sha256"] in page
    for heading, key in (("PSNR dB", "psnr_db"), ("LPIPS", "lpips_alexnet")):
        for name in ("Set5", "Set14", "BSD100"):
            columns = row(page, name, "published as")
            place = columns.index(f"{heading}, ours")
            wanted = read_manifest()["srgan"][key][name]
            assert float(row(page, name, "SRGAN-VGG54")[place]) == pytest.approx(
                wanted, abs=0.0051 if key == "psnr_db" else 0.002
            )


def test_an_incomplete_set_is_one_line_and_nothing_is_written(sets, tmp_path, capsys):
    (sets / "Set5" / "HR" / "3.png").unlink()
    (sets / "Set5" / "LR" / "3.png").unlink()
    assert main(["srgan", "reproduce", str(tmp_path / "page.md"), f"--data={sets}"]) == 1
    assert "4 images in set5 instead of 5" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_lr_that_is_not_bicubic_is_one_line_and_nothing_is_written(sets, tmp_path, capsys):
    hr = files.read_rgb(sets / "Set5" / "HR" / "3.png")
    files.write(sets / "Set5" / "LR" / "3.png", hr[::4, ::4])
    assert main(["srgan", "reproduce", str(tmp_path / "page.md"), f"--data={sets}"]) == 1
    assert "Set5: LR is not MATLAB's bicubic of HR" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_missing_set_and_another_json_are_one_line(sets, tmp_path, capsys):
    assert main(["srgan", "reproduce", str(tmp_path / "page.md"), f"--data={sets / 'Set5'}"]) == 1
    assert "has no set set14" in capsys.readouterr().err
    (tmp_path / "other.json").write_text("{}")
    assert main(["srgan", "reproduce", str(tmp_path / "page.md"), f"--faces={tmp_path / 'other.json'}"]) == 1
    assert "not what `srgan faces` writes" in capsys.readouterr().err
