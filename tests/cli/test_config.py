import dataclasses

import pytest

import config
from srgan_tf.system.errors import UserError


def _train(*flags):
    return config.resolve(config.parse(config.TrainSettings, ["train.py", *flags]))


def test_defaults_are_the_slides_numbers():
    g, gan = _train(), _train("--mode=srgan")
    assert (g.scale, g.crop_size, g.batch_size, g.blocks) == (4, 384, 16, 16)
    assert (g.learning_rate, g.beta1) == (1e-4, 0.9)
    assert (gan.adversarial_loss_weight, gan.mse_loss_weight, gan.vgg_loss_weight) == (1e-3, 1.0, 2e-6)
    assert (g.content_loss, gan.content_loss) == ("mse", "pool4")
    assert (g.steps, gan.steps) == (1_000_000, 200_000)  # pretraining: as long as mode srresnet trains
    assert (g.schedule, gan.schedule, gan.decay_rate) == ("constant", "step", 0.1)
    assert not gan.sequential_updates and g.freeze_bn_after == -1


def test_the_other_networks_have_their_papers_numbers():
    """In the unit of a mean over pixels of Y whose 219 levels are [-1, 1], where the papers sum over Y / 255."""
    unit = (255 / 109.5) ** 2
    srcnn, espcn, drcn = (_train(f"--model={model}") for model in ("srcnn", "espcn", "drcn"))
    assert {s.optimizer for s in (srcnn, espcn, drcn)} == {"momentum"} and {s.beta1 for s in (srcnn, drcn)} == {0.9}
    assert srcnn.learning_rate == pytest.approx(1e-4 * (33 - 9 - 5 - 5 + 3) ** 2 / unit)
    assert (srcnn.last_layer_rate, srcnn.schedule, srcnn.weight_decay) == (0.1, "constant", 0)
    assert (espcn.learning_rate, espcn.lowest_rate) == pytest.approx((0.01 / unit, 0.0001 / unit))
    assert (espcn.last_layer_rate, espcn.schedule, espcn.crop_size) == (0.1, "plateau", 17 * 4)
    assert drcn.learning_rate == pytest.approx(0.01 * 41 * 41 / 2 / unit)
    assert drcn.learning_rate / drcn.lowest_rate == pytest.approx(0.01 / 1e-6)
    assert drcn.weight_decay * 41 * 41 / 2 / unit == pytest.approx(1e-4)
    assert (drcn.last_layer_rate, drcn.schedule, drcn.patience, drcn.batch_size) == (1, "plateau", 5, 64)
    assert (srcnn.clip_norm, espcn.clip_norm, drcn.clip_norm) == (0, 0, 0.01)
    assert (_train("--model=espcn", "--scale=2").crop_size, _train("--model=drcn", "--scale=8").crop_size) == (34, 40)
    muon = _train("--model=espcn", "--optimizer=muon")
    assert (muon.learning_rate, muon.schedule, muon.last_layer_rate) == (3e-3, "constant", 1)
    quick = _train("--model=drcn", "--optimizer=adam")
    assert (quick.learning_rate, quick.weight_decay, quick.last_layer_rate, quick.schedule) == (1e-4, 0, 1, "constant")
    assert config.resolve(drcn) == drcn and config.resolve(quick) == quick


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
        (["--decay_rate=0.3"], "--decay_rate"),
        (["--ema_decay=1"], "--ema_decay"),
        (["--clip_norm=-1"], "clip_norm"),
        (["--optimizer=momentum"], "--learning_rate"),
        (["--patience=3"], "--patience"),
        (["--schedule=plateau", "--lowest_rate=1"], "--lowest_rate"),
        (["--lowest_rate=1e-6"], "--lowest_rate"),
        (["--schedule=plateau", "--decay_rate=1"], "--decay_rate"),
        (["--mode=srgan", "--schedule=plateau"], "--schedule=plateau"),
        (["--mode=srgan", "--weight_decay=1e-4"], "--weight_decay"),
    ],
)
def test_mistakes_are_one_line_that_names_the_flag(flags, named):
    with pytest.raises(UserError) as error:
        _train(*flags)
    assert named in str(error.value) and "\n" not in str(error.value)


def test_help_shows_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        config.parse(config.TrainSettings, ["script.py", "--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    for field in dataclasses.fields(config.TrainSettings):
        assert f"  --{field.name}\n" in page
        assert field.metadata["help"].split()[0] in page


def test_the_home_folder_is_found_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert _train("--train_dir=~/photos").train_dir == "/home/somebody/photos"
