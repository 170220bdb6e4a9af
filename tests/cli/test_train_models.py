"""The smaller networks from the command line: trained, resumed, scored, used and exported like G."""

import contextlib
import functools
import json
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


@pytest.mark.parametrize("model, optimizer", [("srcnn", "momentum"), ("espcn", "muon")])
def test_trained_resumed_upscaled_and_exported(model, optimizer, train_run, tmp_path, capsys):
    run = functools.partial(train_run, *SMALL, f"--optimizer={optimizer}")
    status, out, err = run(f"--model={model}", "--steps=2")
    assert (status, err) == (0, "") and f"{model}: 2 steps done" in out
    status, out, err = run(f"--model={model}", "--steps=4", "--ema_decay=0.5")
    assert status == 1 and "--ema_decay was 0.0" in err
    status, out, err = run(f"--model={model}", "--steps=4")
    assert status == 0 and f"{model}: going on from step 2 of 4" in out
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


def test_drcn_goes_on_as_if_unbroken(monkeypatch, run, tmp_path):
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
    unbroken = trained()
    # The rest of a run of 4 is learnt by a run that is stopped: its step counts towards 4 from the start.
    monkeypatch.setattr(loop, "_signals", lambda: contextlib.nullcontext([signal.SIGTERM]))
    for _ in range(3):
        assert run("--model=drcn", "--steps=4")[0] == 128 + signal.SIGTERM
    assert run("--model=drcn", "--steps=4")[0] == 0
    for found, expected in zip(trained(), unbroken, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_espcn_by_its_papers_schedule_goes_on_as_if_unbroken(monkeypatch, run, tmp_path):
    """Momentum, a slower last layer, and a rate that falls when validations bring nothing."""
    weights, metrics = (tmp_path / "run" / "espcn" / name for name in ("generator.weights.h5", "metrics.jsonl"))
    flags = ("--model=espcn", "--learning_rate=1e-20", "--patience=1", "--valid_every=1", "--log_every=1")

    def trained(steps):
        found = [weight.numpy() for weight in load_generator(weights).weights]
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        rates = {line["step"]: line["g_learning_rate"] for line in lines if "g_learning_rate" in line}
        shutil.rmtree(tmp_path / "run")
        assert rates == pytest.approx({step + 1: 1e-20 * rate for step, rate in enumerate(steps)}, rel=1e-5)
        return found

    # Nothing changes at such a rate, so that the first validation is the best; the third drop would be too low.
    status, out, _ = run(*flags, "--steps=9")
    assert status == 0 and "espcn: 4 steps done" in out
    status, out, _ = run(*flags, "--steps=9")
    assert status == 0 and "4 steps are done already; the learning rate is at its end" in out
    unbroken = trained([1, 1, 0.1, 0.01])
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_signals", lambda: contextlib.nullcontext([signal.SIGTERM]))
        for _ in range(3):
            assert run(*flags, "--steps=9")[0] == 128 + signal.SIGTERM
    assert run(*flags, "--steps=9")[0] == 0
    for found, expected in zip(trained([1, 1, 0.1, 0.01]), unbroken, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_run_from_before_there_was_a_choice_is_one_of_adam(run, tmp_path):
    assert run("--model=espcn", "--optimizer=adam", "--steps=1")[0] == 0
    path = tmp_path / "run" / "espcn" / "settings.json"
    content = json.loads(path.read_text())
    for name in ("optimizer", "last_layer_rate", "weight_decay", "patience", "lowest_rate"):
        del content["settings"][name]
    path.write_text(json.dumps(content))
    status, _, err = run("--model=espcn", "--steps=2")
    assert status == 1 and "--optimizer was adam and is momentum" in err and err.count("\n") == 1
    assert run("--model=espcn", "--optimizer=adam", "--steps=2")[0] == 0


def test_weights_of_another_model_and_useless_flags_are_refused(run):
    for flags, message in (
        (["--model=espcn", "--weights=srresnet"], "has --model=resnet, not --model=espcn"),
        (["--model=espcn", "--blocks=4"], "--blocks=4 has no use with --model=espcn"),
        *(
            ([f"--model={name}", "--mode=srgan"], f"--mode=srgan has no use with --model={name}")
            for name in ("srcnn", "espcn", "drcn")
        ),
        (["--model=espcn", "--crop_size=32"], "--crop_size=32: --model=espcn needs more than 32"),
        (["--model=srcnn", "--content_loss=vgg22"], "--content_loss=vgg22 has no use with --model=srcnn"),
    ):
        status, _, err = run("--steps=1", *flags)
        assert status == 1 and message in err and len(err.splitlines()) == 1
