import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import train
from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.training import hardware

SMALL = ("--crop_size=32", "--batch_size=2", "--blocks=1")
REPOSITORY = os.path.dirname(os.path.abspath(train.__file__))


def _run(capsys, *flags):
    """Exit status, standard output and standard error of train.py in this process."""
    status = train.main(["train.py", *flags])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def _lines(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def _start(run_dir, *flags):
    command = [sys.executable, "train.py", f"--run_dir={run_dir}", *SMALL, *flags]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_step(process, folder, step):
    while not any(line["step"] >= step and "g_loss" in line for line in _lines(folder)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def _finish(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    """Both phases; stopped by SIGTERM, then by SIGKILL between two checkpoints: the same weights bit for bit."""
    flags = (
        "--mode=srgan",
        "--content_loss=mse",
        "--pretrain_steps=3",
        "--steps=14",
        "--checkpoint_every=5",
        "--log_every=1",
        "--freeze_bn_after=8",
        "--ema_decay=0.9",
        "--clip_norm=1",
        "--degradation=photo",
    )
    out, _ = _finish(_start(tmp_path / "whole", *flags))
    assert "SRGAN starts from an SRResNet" in out

    broken = tmp_path / "broken"
    process = _start(broken, *flags)
    _wait_for_step(process, broken / "srgan", 2)
    process.send_signal(signal.SIGTERM)
    _, err = _finish(process, 128 + signal.SIGTERM)
    assert "SIGTERM: saved" in err

    process = _start(broken, *flags)
    _wait_for_step(process, broken / "srgan", 12)
    process.kill()
    _finish(process, -signal.SIGKILL)

    out, _ = _finish(_start(broken, *flags))
    assert "resumes from step 10 of 14" in out
    for name in ("srresnet/checkpoint-00000003.npz", "srgan/checkpoint-00000014.npz"):
        with np.load(tmp_path / "whole" / name) as expected, np.load(broken / name) as found:
            assert expected.files == found.files
            different = [key for key in expected.files if (expected[key] != found[key]).any()]
            assert different == []
    steps = [line["step"] for line in _lines(broken / "srgan") if "g_loss" in line]
    assert steps == list(range(1, 15))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a short SRResNet run."""
    folder = tmp_path_factory.mktemp("run")
    flags = ["--xla=off", f"--run_dir={folder}", *SMALL, "--steps=4", "--log_every=2", "--valid_every=2"]
    assert train.main(["train.py", *flags]) == 0
    return folder


def test_a_run_leaves_settings_metrics_curves_and_weights(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = finished / "srresnet"
    content = json.loads((folder / "settings.json").read_text())
    assert content["settings"]["crop_size"] == 32 and content["settings"]["steps"] == 4
    assert set(content["facts"]) >= {"versions", "device", "photographs"}
    lines = _lines(folder)
    assert [line["step"] for line in lines if "g_loss" in line] == [2, 4]
    assert [line["step"] for line in lines if "valid_psnr" in line] == [0, 2, 4]
    events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0}).Reload()
    shown = set(events.Tags()["tensors"])
    wanted = {"mse", "g_loss", "g_gradient_norm", "g_learning_rate", "g_loss_scale", "images_per_s", "input_wait_share"}
    assert shown >= wanted | {"valid_psnr", "valid_ssim", "bicubic, SR, HR/chelsea"}
    assert any("settings" in tag for tag in shown)
    for name in ("generator.weights.h5", "best.weights.h5"):
        assert load_generator(folder / name).count_params() == build_generator(blocks=1).count_params()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_other_settings_are_refused_and_longer_runs_are_not(finished, capsys):
    same = (f"--run_dir={finished}", "--xla=off", *SMALL)
    status, _, err = _run(capsys, *same, "--steps=5", "--learning_rate=1e-3")
    assert status == 1 and "--learning_rate was 0.0001 and is 0.001" in err and err.count("\n") == 1
    status, _, err = _run(capsys, *same, "--steps=5", "--noresume")
    assert status == 1 and "holds a run already" in err
    status, out, _ = _run(capsys, *same, "--steps=5")
    assert status == 0 and "resumes from step 4 of 5" in out


def test_srgan_starts_from_given_weights(tmp_path, capsys):
    save_generator(build_generator(blocks=1), tmp_path / "g.weights.h5")
    flags = ("--mode=srgan", "--content_loss=mse", f"--run_dir={tmp_path}/run", "--dry_run")
    status, out, _ = _run(capsys, *SMALL, *flags, f"--weights={tmp_path}/g.weights.h5")
    assert status == 0 and "so it is trained first" not in out
    status, _, err = _run(capsys, "--crop_size=32", "--batch_size=2", *flags, f"--weights={tmp_path}/g.weights.h5")
    assert status == 1 and "--blocks=1" in err


def test_dry_run_says_what_would_happen_and_writes_nothing(tmp_path, capsys):
    flags = ("--mode=srgan", "--content_loss=mse", f"--run_dir={tmp_path}/run", "--dry_run")
    flags += ("--consistency_loss_weight=5",)
    status, out, err = _run(capsys, *SMALL, *flags)
    assert status == 0 and err == ""
    for word in (
        "CPU",
        "float32",
        "images",
        "memory",
        "first loss mse",
        "first loss consistency",
        "first loss adversarial",
        "G ",
        "D ",
    ):
        assert word in out
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_cannot_fit_is_refused_with_what_would(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hardware, "find_device", lambda: hardware.Device("CPU", "CPU", (0, 0), 8 * 10**9))
    status, _, err = _run(capsys, "--batch_size=4000", "--crop_size=256", f"--run_dir={tmp_path}/run", "--dry_run")
    assert status == 1 and err.count("\n") == 1
    fitting = int(err.split("; --batch_size=")[1].split()[0])
    assert 1 <= fitting < 4000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags, named",
    [
        (("--train_dir=/nowhere",), "/nowhere"),
        (("--valid_dir=/nowhere",), "/nowhere"),
        (("--mode=srgan", "--weights=/nowhere.weights.h5"), "/nowhere.weights.h5"),
        (("--content_loss=vgg54", "--vgg_path=/nowhere.h5"), "/nowhere.h5"),
        (("--run_dir=/dev/null/run",), "/dev/null/run"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, flags, named):
    status, _, err = _run(capsys, f"--run_dir={tmp_path}/run", *SMALL, "--xla=off", "--steps=1", *flags)
    assert status == 1
    assert err.startswith("srgan: error:") and named in err and err.count("\n") == 1


def test_a_picture_that_breaks_in_mid_run_is_named(tmp_path, capsys):
    from skimage import data

    from srgan_tf.imaging import files

    photographs = tmp_path / "photographs"
    files.write(photographs / "good.png", data.astronaut())
    files.write(photographs / "bad.png", data.coffee())
    content = bytearray((photographs / "bad.png").read_bytes())
    content[len(content) // 2] ^= 0xFF  # whole by its head and its tail
    (photographs / "bad.png").write_bytes(content)
    flags = (f"--train_dir={photographs}", f"--run_dir={tmp_path}/run", "--xla=off", "--steps=4", *SMALL)
    status, _, err = _run(capsys, *flags)
    assert status == 1 and "bad.png" in err and err.count("\n") == 1
