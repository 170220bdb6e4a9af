"""The settings of `srgan train`: what they are at auto, and what cannot be combined."""

import dataclasses

import pytest

from srgan_tf.cli.flags import parse
from srgan_tf.cli.train import Settings
from srgan_tf.system.errors import UsageError


def _train(*flags):
    return parse(Settings, ["srgan train", *flags]).checked()


def test_defaults_are_the_slides_numbers():
    g, gan = _train(), _train("--mode=srgan")
    assert (g.scale, g.crop_size, g.batch_size, g.blocks) == (4, 384, 16, 16)
    assert (g.learning_rate, g.beta1) == (1e-4, 0.9)
    assert (gan.adversarial_loss_weight, gan.mse_loss_weight, gan.vgg_loss_weight) == (1e-3, 1.0, 2e-6)
    assert (g.content_loss, gan.content_loss) == ("mse", "pool4")
    assert (g.steps, gan.steps) == (1_000_000, 200_000)  # pretraining: as long as mode srresnet trains
    assert (g.schedule, gan.schedule, gan.decay_rate) == ("constant", "step", 0.1)
    assert not gan.sequential_updates and g.freeze_bn_after == -1


def test_the_other_networks_train_with_muon_along_a_cosine():
    srcnn, espcn, drcn = (_train(f"--model={model}") for model in ("srcnn", "espcn", "drcn"))
    for settings in (srcnn, espcn, drcn):
        assert (settings.optimizer, settings.learning_rate, settings.schedule) == ("muon", 3e-3, "cosine")
    assert [(s.crop_size, s.batch_size) for s in (srcnn, espcn, drcn)] == [(64, 128), (17 * 4, 16), (40, 64)]
    assert (_train("--model=espcn", "--scale=2").crop_size, _train("--model=drcn", "--scale=8").crop_size) == (34, 40)
    adam = _train("--model=drcn", "--optimizer=adam", "--schedule=constant")
    assert (adam.learning_rate, adam.schedule) == (1e-4, "constant")
    assert drcn.checked() == drcn and adam.checked() == adam


def test_the_five_systems_of_the_table():
    for mode, loss in (
        ("srresnet", "mse"),
        ("srresnet", "vgg22"),
        ("srgan", "mse"),
        ("srgan", "vgg22"),
        ("srgan", "vgg54"),
    ):
        settings = _train(f"--mode={mode}", f"--content_loss={loss}")
        assert settings.content_loss == loss
        assert settings.vgg_loss_weight == "auto"  # to be measured
        assert settings.mse_loss_weight == 1
    assert _train("--content_loss=vgg54", "--vgg_loss_weight=0.5").vgg_loss_weight == 0.5


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--batchsize=4"], "batch_size"),
        (["--steps=many"], "steps"),
        (["--steps=0"], "steps"),
        (["--mode=train"], "mode"),
        (["photos"], "'photos'"),
        (["--crop_size=90"], "--scale=4"),
        (["--scale=3", "--crop_size=96"], "--scale"),
        (["--content_loss=mse", "--vgg_loss_weight=1"], "--vgg_loss_weight"),
        (["--content_loss=mse", "--vgg_path=x"], "--vgg_path"),
        (["--mse_loss_weight=0"], "--mse_loss_weight"),
        (["--content_loss=vgg54", "--crop_size=16"], "--crop_size"),
        (["--steps=10", "--warmup_steps=10"], "--warmup_steps"),
        (["--mode=srgan", "--pretrain_steps=10", "--warmup_steps=10"], "must be below --pretrain_steps=10"),
        (["--sequential_updates"], "--sequential_updates"),
        (["--beta1=1"], "--beta1"),
        (["--learning_rate=0"], "--learning_rate"),
        (["--learning_rate=-1"], "learning_rate"),
        (["--learning_rate=nan"], "learning_rate"),
        (["--mode=srgan", "--vgg_loss_weight=inf"], "vgg_loss_weight"),
        (["--seed=5000000000"], "seed"),
        (["--steps=99999999999999999999"], "steps"),
        (["--train_dir="], "train_dir"),
        (["--adversarial_loss_weight=5"], "--adversarial_loss_weight"),
        (["--pretrain_steps=7"], "--pretrain_steps"),
        (["--weights=srresnet", "--initial=random"], "--initial=random cannot be combined with --weights=srresnet"),
        (["--mode=srgan", "--weights=srresnet", "--pretrain_steps=7"], "--pretrain_steps=7 cannot be combined with"),
        (["--decay_rate=0.3"], "--decay_rate"),
        (["--ema_decay=1"], "--ema_decay"),
        (["--clip_norm=-1"], "clip_norm"),
        (["--optimizer=momentum"], "optimizer"),
        (["--schedule=plateau"], "schedule"),
        (["--model=espcn", "--decay_rate=0.3"], "--decay_rate"),
        (["--degradation=jpeg"], "degradation"),
        (["--degradation_strength=0.5"], "--degradation=photo"),
        (["--degradation_ranges=noise=0"], "--degradation=photo"),
        (["--degradation=photo", "--degradation_ranges=noise=2"], "--degradation_ranges: noise=2"),
        (["--degradation=photo", "--degradation_strength=2"], "degradation_strength"),
    ],
)
def test_mistakes_are_one_line_that_names_the_flag(flags, named):
    with pytest.raises(UsageError) as error:
        _train(*flags)
    assert named in str(error.value) and "\n" not in str(error.value)


def test_help_shows_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        _train("--help")
    assert stop.value.code == 0
    page = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        assert f"  --{field.name}\n" in page
        assert field.metadata["help"].split()[0] in page


def test_the_home_folder_is_found_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _train("--train_dir=~/photos").train_dir == "/home/somebody/photos"
