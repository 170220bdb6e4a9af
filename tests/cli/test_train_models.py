"""The smaller networks from the command line: trained, resumed, scored, used and exported like G."""

import contextlib
import functools
import shutil
import signal

import numpy as np
import pytest

import evaluate
from srgan_tf.imaging import files
from srgan_tf.models import baselines
from srgan_tf.models.generator import load_generator
from srgan_tf.training import loop

SMALL = ("--crop_size=48", "--batch_size=2", "--learning_rate=1e-3")


@pytest.fixture
def run(train_run):
    return functools.partial(train_run, *SMALL)


@pytest.mark.parametrize("model, optimizer", [("srcnn", "adam"), ("espcn", "muon")])
def test_trained_resumed_upscaled_and_exported(model, optimizer, train_run, tmp_path, capsys):
    run = functools.partial(train_run, *SMALL, f"--optimizer={optimizer}")
    status, out, err = run(f"--model={model}", "--steps=2")
    assert (status, err) == (0, "") and f"{model}: 2 steps done" in out
    status, out, err = run(f"--model={model}", "--steps=4", "--ema_decay=0.5")
    assert status == 1 and "--ema_decay was 0.0" in err
    status, out, err = run(f"--model={model}", "--steps=4")
    assert status == 0 and f"{model}: resumes from step 2 of 4" in out
    jump = "--steps was 2 and is 4: with --schedule=cosine the learning rate goes from 0 to 0.0005 at step 2"
    assert f"{model}: {jump}" in out.splitlines()
    weights = tmp_path / "run" / model / "generator.weights.h5"
    assert load_generator(weights).name == model and not (tmp_path / "run" / "srresnet").exists()

    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    files.write(tmp_path / "in.png", image)
    flags = [f"--weights={weights}", f"--input={tmp_path}/in.png", f"--output={tmp_path}/out.png"]
    assert evaluate.main(["evaluate.py", "--mode=upscale", *flags]) == 0
    assert files.read_rgb(tmp_path / "out.png").shape == (80, 120, 3)
    flags = [f"--weights={weights}", f"--output={tmp_path}/saved"]
    assert evaluate.main(["evaluate.py", "--mode=export", *flags]) == 0
    assert "checked on" in capsys.readouterr().out


def test_drcn_resumed_equals_uninterrupted(monkeypatch, run, tmp_path):
    """Its loss knows the step."""
    small = functools.partial(baselines.build_drcn, filters=4, recursions=2)
    monkeypatch.setitem(baselines.BUILDERS, "drcn", small)
    weights = tmp_path / "run" / "drcn" / "generator.weights.h5"

    def trained():
        found = [weight.numpy() for weight in load_generator(weights).weights]
        shutil.rmtree(tmp_path / "run")
        return found

    assert run("--model=drcn", "--steps=4")[0] == 0
    flags = [f"--weights={weights}", f"--output={tmp_path}/saved"]
    assert evaluate.main(["evaluate.py", "--mode=export", *flags]) == 0
    uninterrupted = trained()
    # The rest of a run of 4 is learnt by a run that is stopped: its step counts towards 4 from the start.
    monkeypatch.setattr(loop, "stop_signals", lambda: contextlib.nullcontext([signal.SIGTERM]))
    for _ in range(3):
        assert run("--model=drcn", "--steps=4")[0] == 128 + signal.SIGTERM
    assert run("--model=drcn", "--steps=4")[0] == 0
    for found, expected in zip(trained(), uninterrupted, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_weights_of_another_model_and_useless_flags_are_refused(run):
    for flags, message in (
        (["--model=espcn", "--weights=srresnet"], "has --model=resnet, not --model=espcn"),
        (["--model=espcn", "--blocks=4"], "--blocks=4 cannot be combined with --model=espcn"),
        *(
            ([f"--model={name}", "--mode=srgan"], f"--mode=srgan cannot be combined with --model={name}")
            for name in ("srcnn", "espcn", "drcn")
        ),
        (["--model=espcn", "--crop_size=32"], "--crop_size=32: --model=espcn needs more than 32"),
        (["--model=srcnn", "--content_loss=vgg22"], "--content_loss=vgg22 cannot be combined with --model=srcnn"),
    ):
        status, _, err = run("--steps=1", *flags)
        assert status in (1, 2) and message in err and len(err.splitlines()) == 1
