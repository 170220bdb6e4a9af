"""What may go wrong while a run trains, and that nothing is lost by it."""

import functools
import json
import shutil

import numpy as np
import pytest

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.models.generator import load_generator
from srgan_tf.system.lock import run_lock
from srgan_tf.training.monitoring import Monitor

SMALL = ("--crop_size=16", "--batch_size=1", "--blocks=1", "--xla=off")


@pytest.fixture
def run(train_run):
    return functools.partial(train_run, *SMALL)


@pytest.fixture
def photographs(tmp_path):
    """A folder with one photograph."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(embedded_pictures()["coffee"], folder / "coffee.png")
    return folder


def _at_step(monkeypatch, wanted, do):
    """Calls `do` when so many steps are done."""
    advance, done = Monitor.advance, []

    def watched(self):
        done.append(advance(self))
        if len(done) == wanted:
            do()

    monkeypatch.setattr(Monitor, "advance", watched)


def _arrays(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_a_second_run_in_one_folder_is_refused(run, tmp_path):
    with run_lock(tmp_path / "run" / "srresnet"):
        status, _, err = run("--steps=1")
        assert status == 1 and "is training here" in err and err.count("\n") == 1
        assert not list((tmp_path / "run" / "srresnet").glob("checkpoint-*"))
        assert run("--steps=1", "--dry_run")[0] == 0


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(run, tmp_path):
    folder = tmp_path / "run" / "srresnet"
    flags = ("--steps=3", "--checkpoint_every=1")
    assert run(*flags)[0] == 0
    newest, weights = folder / "checkpoint-00000003.npz", folder / "generator.weights.h5"
    expected = _arrays(newest)
    newest.write_bytes(newest.read_bytes()[:-1000])
    weights.unlink()
    status, out, _ = run(*flags)
    assert status == 0 and f"{newest}: damaged" in out and "resumes from step 2 of 3" in out
    found = _arrays(newest)
    assert str(found["state"]) == str(expected["state"])
    assert [name for name in expected if (expected[name] != found[name]).any()] == []
    for variable in load_generator(weights).variables:
        np.testing.assert_array_equal(variable.numpy(), expected[f"g/{variable.path}"], err_msg=variable.path)
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if "g_loss" in line] == [3]

    # Killed between the checkpoint and its weights, as an older version could be: they are written again.
    weights.unlink()
    status, out, _ = run(*flags)
    assert status == 0 and "3 steps done already" in out and weights.exists()


def test_weights_whose_checkpoints_were_removed_to_save_room_are_not_replaced(run, tmp_path):
    folder = tmp_path / "run" / "srresnet"
    assert run("--steps=1")[0] == 0
    for path in folder.glob("checkpoint-*"):
        path.unlink()
    before = {path: path.read_bytes() for path in folder.glob("*.h5")}
    for more in ((), ("--mode=srgan", "--content_loss=mse", "--pretrain_steps=1")):
        status, _, err = run("--steps=1", *more)
        assert status == 1 and f"error: {folder / 'generator.weights.h5'}: would be replaced" in err
        assert err.count("\n") == 1
    assert run("--steps=1", "--dry_run")[0] == 0
    assert len(before) == 2 and {path: path.read_bytes() for path in folder.glob("*.h5")} == before
    (folder / "generator.weights.h5").unlink()
    status, _, err = run("--steps=1")
    assert status == 1 and "best.weights.h5: would be replaced" in err


def test_a_first_checkpoint_is_there_before_any_weights(run, tmp_path, monkeypatch):
    """Else a run that is killed between the two could not be started again."""

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "advance", killed)
        assert run("--steps=1")[0] == 130
    folder = tmp_path / "run" / "srresnet"
    assert (folder / "checkpoint-00000000.npz").exists() and not list(folder.glob("*.h5"))
    assert run("--steps=1")[0] == 0


@pytest.mark.parametrize("fault", ["folder", "picture"])
def test_photographs_that_go_bad_in_mid_run_are_named_and_the_run_resumes_when_they_are_back(
    run, tmp_path, photographs, monkeypatch, fault
):
    path = photographs / "coffee.png"
    whole = path.read_bytes()

    def spoil():
        if fault == "folder":
            shutil.rmtree(photographs)
        else:
            content = bytearray(whole)
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(content)

    flags = (f"--train_dir={photographs}", "--cache_gb=0", "--steps=40")
    _at_step(monkeypatch, 2, spoil)
    status, out, err = run(*flags)
    assert status == 1 and str(path) in err and err.count("\n") == 1
    done = int(out.split("an error after step ")[1].split(":")[0])
    assert 2 <= done < 40 and (tmp_path / "run" / "srresnet" / f"checkpoint-{done:08d}.npz").exists()
    photographs.mkdir(exist_ok=True)
    path.write_bytes(whole)
    status, out, _ = run(*flags[:2], f"--steps={done + 1}")
    assert status == 0 and f"resumes from step {done} of {done + 1}" in out
