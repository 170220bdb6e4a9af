"""How the phases of a run follow from one another, and what must be the same when a phase resumes."""

import functools
import json

import keras
import numpy as np
import pytest

from srgan_tf.data.folders import embedded_pictures
from srgan_tf.imaging import files
from srgan_tf.models.generator import load_generator
from srgan_tf.training import hardware

SMALL = ("--crop_size=32", "--batch_size=2", "--blocks=1", "--xla=off")


@pytest.fixture
def run(train_run):
    return functools.partial(train_run, *SMALL)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg.weights.h5"
    keras.applications.VGG19(weights=None, include_top=False).save_weights(path)
    return path


def _settings(tmp_path, phase):
    return json.loads((tmp_path / "run" / phase / "settings.json").read_text())


def _arrays(tmp_path, phase, step):
    with np.load(tmp_path / "run" / phase / f"checkpoint-{step:08d}.npz") as archive:
        return {name: archive[name] for name in archive.files}


def test_srgan_with_a_vgg_loss_alone_trains_its_srresnet_on_the_mse(run, tmp_path, vgg):
    flags = ("--mode=srgan", "--content_loss=vgg54", "--mse_loss_weight=0", f"--vgg_path={vgg}")
    status, out, err = run(*flags, "--pretrain_steps=2", "--steps=2", "--schedule=step", "--decay_rate=0.3")
    assert (status, err) == (0, "")
    assert "so it is trained first" in out and "step 2" in out
    first, then = _settings(tmp_path, "srresnet")["settings"], _settings(tmp_path, "srgan")["settings"]
    assert (first["content_loss"], first["mse_loss_weight"], first["schedule"]) == ("mse", 1, "constant")
    assert (then["content_loss"], then["mse_loss_weight"]) == ("vgg54", 0)
    assert then["weights"].endswith("srresnet/generator.weights.h5")
    lines = (tmp_path / "run" / "srgan" / "metrics.jsonl").read_text().splitlines()
    terms = next(values for values in map(json.loads, lines) if "vgg" in values)
    facts = _settings(tmp_path, "srgan")["facts"]
    expected = facts["vgg_loss_weight"] * terms["vgg"] + 1e-3 * terms["adversarial"]
    assert terms["g_loss"] == pytest.approx(expected, rel=1e-5)
    assert not (tmp_path / "run" / "srgan" / "best.weights.h5").exists()


def test_srgan_starts_from_what_the_srresnet_ended_with(run, tmp_path):
    assert run("--steps=3")[0] == 0
    status, out, _ = run("--mode=srgan", "--content_loss=mse", "--dry_run")
    assert status == 0 and "starts from" in out and "step 3" in out
    assert run("--mode=srgan", "--content_loss=mse", "--steps=1", "--learning_rate=1e-30")[0] == 0
    before, after = _arrays(tmp_path, "srresnet", 3), _arrays(tmp_path, "srgan", 1)
    kernels = [name for name in before if name.startswith("g/") and "moving" not in name]
    assert kernels and all(np.allclose(before[name], after[name], atol=1e-7) for name in kernels)


def test_an_unfinished_srresnet_resumes_with_its_own_settings(run, tmp_path):
    status, out, _ = run("--steps=4", "--schedule=cosine", "--learning_rate=3e-4")
    assert status == 0
    _interrupt(tmp_path)
    status, out, err = run("--mode=srgan", "--content_loss=mse", "--steps=1", "--schedule=constant")
    assert (status, err) == (0, "")
    assert "stands at step 4 of 6" in out and "resumes from step 4 of 6" in out
    recorded = _settings(tmp_path, "srresnet")["settings"]
    assert (recorded["schedule"], recorded["learning_rate"], recorded["steps"]) == ("cosine", 3e-4, 6)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--vgg_path=none.h5"], "none.h5: no such VGG19 weights file"),
        (["--content_loss=mse", "--discriminator=none"], "--discriminator=none: no checkpoint-*.npz there"),
    ],
)
def test_what_srgan_lacks_is_said_before_its_srresnet_is_trained(run, tmp_path, flags, said):
    status, _, err = run("--mode=srgan", "--steps=1", "--pretrain_steps=2", *flags)
    assert status == 1 and said in err
    assert not (tmp_path / "run" / "srresnet").exists()


def test_memory_for_srgan_is_checked_before_its_srresnet_is_trained(run, tmp_path, monkeypatch, vgg):
    enough_for_srresnet = hardware.Device("CPU", "CPU", (0, 0), 2 * 10**9)
    monkeypatch.setattr(hardware, "find_device", lambda: enough_for_srresnet)
    flags = ("--mode=srgan", "--steps=1", "--pretrain_steps=2", f"--vgg_path={vgg}", "--cache_gb=0")
    status, _, err = run(*flags, "--content_loss=vgg54", "--batch_size=64")
    assert status == 1 and "--batch_size=64: " in err and "are needed and 2.0 GB are free" in err
    assert not (tmp_path / "run" / "srresnet").exists()


def _interrupt(tmp_path):
    """Makes the SRResNet of a run look as if it was stopped before its last two steps."""
    path = tmp_path / "run" / "srresnet" / "settings.json"
    content = json.loads(path.read_text())
    content["settings"]["steps"] += 2
    path.write_text(json.dumps(content))


def test_an_unfinished_srresnet_of_another_shape_is_refused_before_it_is_trained(run, tmp_path):
    assert run("--steps=2")[0] == 0
    _interrupt(tmp_path)
    for flag in ("--blocks=2", "--scale=2"):
        name, _, value = flag.removeprefix("--").partition("=")
        status, out, err = run("--mode=srgan", "--content_loss=mse", "--steps=1", flag)
        before = {"blocks": 1, "scale": 4}[name]
        said = f"{tmp_path}/run/srresnet: --{name} was {before} and is {value}; give the same, or another --run_dir"
        assert status == 1 and said in err and "resumes from" not in out


def test_an_unfinished_srresnet_resumes_on_photographs_as_large_as_its_crops(run, tmp_path):
    for number, side in enumerate((40, 80, 96, 112)):
        files.write(tmp_path / "photos" / f"{number}.png", np.full((side, side, 3), 50 * number, np.uint8))
    flags = (f"--train_dir={tmp_path}/photos", "--content_loss=mse", "--batch_size=3")
    assert run(*flags, "--steps=2", "--crop_size=64")[0] == 0
    _interrupt(tmp_path)
    status, out, err = run(*flags, "--mode=srgan", "--steps=1")
    assert (status, err) == (0, "") and "smaller than the crop of 64" in out and "different from before" not in out


def test_longer_pretraining_is_done_if_asked_for(run, tmp_path):
    assert run("--steps=2")[0] == 0
    status, out, _ = run("--mode=srgan", "--content_loss=mse", "--steps=1", "--pretrain_steps=4")
    assert status == 0 and "stands at step 2 of 4" in out


def test_resuming_needs_the_same_start_and_vgg_weights(run, tmp_path, vgg):
    flags = ("--content_loss=vgg22", "--steps=1")
    assert run(*flags, f"--vgg_path={vgg}")[0] == 0
    keras.utils.set_random_seed(1)
    keras.applications.VGG19(weights=None, include_top=False).save_weights(tmp_path / "other.weights.h5")
    status, _, err = run(*flags[:1], "--steps=2", f"--vgg_path={tmp_path}/other.weights.h5")
    assert status == 1 and "other VGG19 weights" in err
    weights = tmp_path / "run" / "srresnet" / "generator.weights.h5"
    status, _, err = run(*flags[:1], "--steps=2", f"--vgg_path={vgg}", f"--weights={weights}")
    assert status == 1 and "--weights" in err
    status, _, err = run(*flags[:1], "--steps=2", f"--vgg_path={vgg}", "--initial=random")
    assert status == 1 and "--initial" in err


def test_the_vgg_weight_is_measured_once(run, tmp_path, vgg):
    flags = ("--content_loss=vgg22", f"--vgg_path={vgg}")
    assert run(*flags, "--steps=1")[0] == 0
    content = _settings(tmp_path, "srresnet")
    assert content["facts"]["vgg_loss_weight"] > 0
    content["facts"]["vgg_loss_weight"] *= 2
    (tmp_path / "run" / "srresnet" / "settings.json").write_text(json.dumps(content))
    assert run(*flags, "--steps=2")[0] == 0
    assert _settings(tmp_path, "srresnet")["facts"]["vgg_loss_weight"] == content["facts"]["vgg_loss_weight"]


def test_other_validation_pictures_start_a_new_best(run, tmp_path):
    assert run("--steps=2")[0] == 0
    folder = tmp_path / "valid"
    folder.mkdir()
    coffee = embedded_pictures()["coffee"]
    (folder / "coffee.png").write_bytes(coffee.read_bytes())
    (folder / "tiny.png").write_bytes(_picture(5))
    status, out, _ = run("--steps=4", f"--valid_dir={folder}")
    assert status == 0 and "the best PSNR is reset" in out
    assert "tiny.png" in out and "skipped" in out
    state = json.loads(str(_arrays(tmp_path, "srresnet", 4)["state"]))
    lines = map(json.loads, (tmp_path / "run" / "srresnet" / "metrics.jsonl").read_text().splitlines())
    assert state["best_psnr"] == pytest.approx([line["valid_psnr"] for line in lines if "valid_psnr" in line][-1])


def _picture(side):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_average_is_what_is_written_and_resuming_needs_it(run, tmp_path):
    flags = ("--ema_decay=0.5", "--learning_rate=1e-2")
    assert run(*flags, "--steps=1")[0] == 0
    first = _arrays(tmp_path, "srresnet", 1)
    written = load_generator(tmp_path / "run" / "srresnet" / "generator.weights.h5")
    for variable in written.variables:
        np.testing.assert_array_equal(variable.numpy(), first[f"g_average/{variable.path}"], err_msg=variable.path)
    path = "last_conv/kernel"
    assert (first[f"g/{path}"] != first[f"g_average/{path}"]).any()
    status, _, err = run("--steps=2", "--learning_rate=1e-2")
    assert status == 1 and "--ema_decay was 0.5 and is 0.0" in err
    assert run(*flags, "--steps=2")[0] == 0
    second = _arrays(tmp_path, "srresnet", 2)
    expected = 0.5 * first[f"g_average/{path}"] + 0.5 * second[f"g/{path}"]
    np.testing.assert_allclose(second[f"g_average/{path}"], expected, rtol=1e-5, atol=1e-7)


def test_a_setting_that_a_run_is_too_old_to_know_had_its_default(run, tmp_path):
    assert run("--steps=1")[0] == 0
    content = _settings(tmp_path, "srresnet")
    del content["settings"]["clip_norm"]
    (tmp_path / "run" / "srresnet" / "settings.json").write_text(json.dumps(content))
    status, _, err = run("--steps=2", "--clip_norm=1")
    assert status == 1 and "--clip_norm was 0.0 and is 1.0" in err
    assert run("--steps=2")[0] == 0


def test_fewer_steps_than_done_change_nothing(run, tmp_path):
    assert run("--steps=3")[0] == 0
    before = (tmp_path / "run" / "srresnet" / "settings.json").read_bytes()
    status, out, _ = run("--steps=2")
    assert status == 0 and "3 steps done already" in out
    assert (tmp_path / "run" / "srresnet" / "settings.json").read_bytes() == before


def test_a_picture_that_is_damaged_inside_is_named_in_a_dry_run(run, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    content = bytearray(embedded_pictures()["coffee"].read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / "bad.png").write_bytes(content)
    status, _, err = run(f"--train_dir={folder}", "--dry_run")
    assert status == 1 and "bad.png" in err and err.count("\n") == 1


def test_validation_pictures_are_checked_at_the_scale_of_the_run(run, tmp_path):
    for role, side in (("HR", 64), ("LR", 32)):
        (tmp_path / "valid" / role).mkdir(parents=True)
        (tmp_path / "valid" / role / "one.png").write_bytes(_picture(side))
    status, out, _ = run("--scale=2", f"--valid_dir={tmp_path}/valid", "--dry_run")
    note = "LR/ is HR/ divided by"
    assert status == 0 and "skipped" not in out and note not in out
    status, out, _ = run(f"--valid_dir={tmp_path}/valid", "--dry_run")
    assert status == 0 and "skipped" not in out and f"{note} 2, not 4; LR is made by MATLAB's bicubic" in out
    (tmp_path / "valid" / "LR" / "one.png").write_bytes(_picture(30))  # fits no enlargement
    status, _, err = run(f"--valid_dir={tmp_path}/valid", "--dry_run")
    assert status == 1 and "one.png" in err


def test_another_scale_starts_from_the_weights_of_4x(run):
    status, out, _ = run("--scale=2", "--weights=srresnet", "--blocks=16", "--dry_run")
    assert status == 0 and "srresnet: of --scale=4; its upsampling is trained anew" in out
    status, _, err = run("--scale=2", "--weights=srresnet", "--blocks=15", "--dry_run")
    assert status == 1 and "srresnet: has --blocks=16, not --blocks=15; give the same" in err  # but not the scale


def test_srgan_starts_with_the_discriminator_of_another_run(run, tmp_path):
    flags = ("--mode=srgan", "--content_loss=mse", "--weights=srresnet", "--blocks=16", "--learning_rate=1e-30")
    assert run(*flags, "--steps=1", "--seed=1")[0] == 0
    (tmp_path / "run").rename(tmp_path / "other")
    more = (*flags, "--seed=2", "--consistency_loss_weight=3", f"--discriminator={tmp_path}/other/srgan")
    assert run(*more, "--steps=1")[0] == 0
    with np.load(tmp_path / "other" / "srgan" / "checkpoint-00000001.npz") as archive:
        theirs = {name: archive[name] for name in archive.files if name.startswith("d/") and "kernel" in name}
    ours = _arrays(tmp_path, "srgan", 1)
    assert theirs and all(np.allclose(ours[name], array, atol=1e-7) for name, array in theirs.items())
    # It resumes without the flag, and not with another.
    assert run(*flags, "--seed=2", "--consistency_loss_weight=3", "--steps=2")[0] == 0
    status, _, err = run(*flags, "--seed=2", "--consistency_loss_weight=3", "--steps=3", "--discriminator=elsewhere")
    assert status == 1 and "another --discriminator" in err
    (tmp_path / "run").rename(tmp_path / "done")
    status, _, err = run(*flags, "--steps=1", f"--discriminator={tmp_path}/empty")
    assert status == 1 and "no checkpoint-*.npz" in err and "Traceback" not in err


def test_colours_are_balanced_at_the_end_and_of_a_run_that_is_done(run, tmp_path, monkeypatch):
    weights = tmp_path / "run" / "srresnet" / "generator.weights.h5"
    monkeypatch.setattr("srgan_tf.inference.precision.cpu_flags", lambda: {"avx2"})
    try:
        status, out, _ = run("--steps=1", "--precision=mixed_bfloat16")
        assert status == 0 and "bfloat16 is emulated" in out and "srresnet: 1 step done; " in out
        before = load_generator(weights).get_layer("last_conv").bias.numpy()
        weights.unlink()  # the checkpoint has them
        status, out, _ = run("--steps=1", "--precision=mixed_bfloat16", "--balance_colours")
        assert status == 0 and "were off by R " in out
        after = load_generator(weights)
        assert (after.get_layer("last_conv").bias.numpy() != before).all()
        status, out, _ = run("--steps=1", "--precision=mixed_bfloat16")
        assert "1 step done already" in out
    finally:
        keras.config.set_dtype_policy("float32")
