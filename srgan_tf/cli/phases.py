"""What `auto` stands for in each phase and for each model of `train.py`, and which settings do not go together."""

import dataclasses

from srgan_tf.cli.flags import AUTO
from srgan_tf.system.errors import UserError

# What the slides, or else the paper, take for each phase where a flag is left at auto.
_PHASES = {
    "srresnet": {"content_loss": "mse", "steps": 1_000_000, "schedule": "constant"},
    "srgan": {"content_loss": "pool4", "steps": 200_000, "schedule": "step"},
}
# Side of the HR crop (ESPCN: of the LR crop), and crops a step. The papers have 33 pixels for SRCNN, of which 17 count
# in the loss, too few here, where bicubic does not see beyond the crop either; 17 for ESPCN; 41, and 64 crops, for
# DRCN. SRCNN's 128 crops are those of its published code, ESPCN's 16 the slides'.
_CROPS = {"resnet": (384, 16), "srcnn": (64, 128), "espcn": (17, 16), "drcn": (40, 64)}
_RATES = {"adam": 1e-4, "momentum": AUTO, "muon": 3e-3}
_OTHERWISE = {"last_layer_rate": 1.0, "weight_decay": 0.0, "clip_norm": 0.0}
# The papers' learning rates are those of other losses: per crop the sum over its pixels (SRCNN, equation 4), half of
# that (DRCN, section 3.3), or the mean (ESPCN, equation 5); and of Y / 255, where here Y's 219 levels are [-1, 1]. That
# the input has other values, too, is left out of account: biases can make up for it, exactly before a ReLU.
_MEAN = (219 / 2 / 255) ** 2
_SRCNN, _ESPCN, _DRCN = 17**2 * _MEAN, _MEAN, 41**2 / 2 * _MEAN
_MOMENTUM = {
    # Dong et al. 2016 (arXiv 1501.00092v3), section 3.3.
    "srcnn": {"learning_rate": 1e-4 * _SRCNN, "last_layer_rate": 0.1, "schedule": "constant"},
    # Shi et al. 2016 (arXiv 1609.05158), section 3.2: from 0.01 to 0.0001 as the loss stops falling. The momentum is
    # SRCNN's, as their slower last layer is; validation takes the place of their loss over an epoch.
    "espcn": {"learning_rate": 1e-2 * _ESPCN, "last_layer_rate": 0.1, "schedule": "plateau"},
    # Kim et al. 2016 (arXiv 1511.04491), sections 3.3 and 5.2. They name no clipping, but without it the first steps
    # diverge here, even at a thousandth of the rate; their VDSR, of the same year, has it.
    "drcn": {"learning_rate": 1e-2 * _DRCN, "weight_decay": 1e-4 / _DRCN, "clip_norm": 0.01, "schedule": "plateau"},
}
# The share of the first learning rate at which a plateau ends: the papers', and for other models that of DRCN's.
_LOWEST = {"espcn": 1e-2, "drcn": 1e-4, "srcnn": 1e-4, "resnet": 1e-4}
# What a run had that is older than these settings.
BEFORE_THEM = _OTHERWISE | {"optimizer": "adam", "lowest_rate": 0.0}
# What only D and mode srgan know.
OF_SRGAN = ("discriminator", "adversarial_loss_weight", "sequential_updates", "pretrain_steps")
# What the other models have no use for.
_OF_RESNET = ("mode", "consistency_loss_weight", "freeze_bn_after", "blocks", "initial", "balance_colours")
_POOL4_WEIGHT = 2e-6  # the slides'; it belongs to this layer, to its mean and to Caffe's scale
_SMALLEST_VGG_CROP = 32  # VGG19's five poolings


def resolve(settings):
    """Puts what `auto` stands for into training settings and refuses combinations that make no sense.

    Args:
        settings: A `config.TrainSettings`.

    Returns:
        A `config.TrainSettings` in which only what must be measured is still `auto`: the weight of vgg22 and vgg54,
        precision, XLA and the cache.

    Raises:
        UserError: A combination is impossible; the message names the flags.
    """
    defaults = type(settings)
    given_vgg_weight = settings.vgg_loss_weight != AUTO
    settings = _fill(settings, optimizer="adam" if settings.model == "resnet" else "momentum")
    papers = _MOMENTUM.get(settings.model, {}) if settings.optimizer == "momentum" else {}
    crop, batch = _CROPS[settings.model]
    crop *= settings.scale if settings.model == "espcn" else 1
    settings = _fill(settings, crop_size=crop, batch_size=batch)
    left_open = {"learning_rate": _RATES[settings.optimizer]} | _OTHERWISE
    settings = _fill(settings, **_PHASES[settings.mode] | left_open | papers)
    if settings.learning_rate == AUTO:
        raise UserError("--optimizer=momentum needs --learning_rate; the slides have Adam's alone")
    lowest = settings.learning_rate * _LOWEST[settings.model] if settings.schedule == "plateau" else 0.0
    settings = _fill(settings, lowest_rate=lowest)
    if settings.content_loss == "pool4" and not given_vgg_weight:
        settings = dataclasses.replace(settings, vgg_loss_weight=_POOL4_WEIGHT)
    vgg = settings.content_loss != "mse"
    wrong = [
        (
            settings.model != "resnet" and getattr(settings, name) != getattr(defaults, name),
            f"--{name}={getattr(settings, name)} has no use with --model={settings.model}; leave it out",
        )
        for name in _OF_RESNET
    ]
    wrong += [
        (
            vgg and settings.model != "resnet",
            f"--content_loss={settings.content_loss} has no use with --model={settings.model}; leave it out",
        ),
        (settings.scale not in (2, 4, 8), f"--scale={settings.scale}: must be 2, 4 or 8"),
        (
            settings.crop_size % settings.scale,
            f"--crop_size={settings.crop_size}: must be a multiple of --scale={settings.scale}",
        ),
        (
            vgg and settings.crop_size < _SMALLEST_VGG_CROP,
            f"--crop_size={settings.crop_size}: VGG19 needs {_SMALLEST_VGG_CROP} or more; or use --content_loss=mse",
        ),
        (
            settings.consistency_loss_weight and settings.crop_size <= 4 * settings.scale,
            f"--crop_size={settings.crop_size}: --consistency_loss_weight needs more than {4 * settings.scale}",
        ),
        (given_vgg_weight and not vgg, "--vgg_loss_weight has no use with --content_loss=mse; leave it out"),
        (settings.vgg_path and not vgg, "--vgg_path has no use with --content_loss=mse; leave it out"),
        (not vgg and settings.mse_loss_weight == 0, "--mse_loss_weight=0 needs a VGG loss: --content_loss=vgg54, say"),
        (
            settings.batch_size % settings.accumulate,
            f"--batch_size={settings.batch_size}: must be a multiple of --accumulate={settings.accumulate}",
        ),
        (settings.beta1 >= 1, f"--beta1={settings.beta1}: must be below 1"),
        (settings.pack and not settings.train_dir, "--pack needs --train_dir, the folder of the photographs"),
        (settings.learning_rate == 0, "--learning_rate=0 trains nothing"),
        (settings.ema_decay >= 1, f"--ema_decay={settings.ema_decay}: must be below 1"),
        (
            settings.warmup_steps >= settings.steps,
            f"--warmup_steps={settings.warmup_steps}: must be below --steps={settings.steps}",
        ),
        (
            settings.decay_rate != defaults.decay_rate and settings.schedule not in ("step", "plateau"),
            f"--decay_rate has no use with --schedule={settings.schedule}; leave it out",
        ),
        (settings.schedule == "plateau" and settings.decay_rate >= 1, "--schedule=plateau needs --decay_rate below 1"),
        (
            settings.lowest_rate >= settings.learning_rate,
            f"--lowest_rate={settings.lowest_rate}: must be below --learning_rate={settings.learning_rate}",
        ),
    ]
    wrong += [
        (
            settings.schedule != "plateau" and given,
            f"--{name} has no use with --schedule={settings.schedule}; leave it out",
        )
        for name, given in (
            ("patience", settings.patience != defaults.patience),
            ("lowest_rate", settings.lowest_rate != 0),
        )
    ]
    wrong += [
        (settings.mode == "srgan" and is_given, f"--{flag} has no use with --mode=srgan; leave it out")
        for flag, is_given in (
            ("weight_decay", settings.weight_decay),
            ("schedule=plateau", settings.schedule == "plateau"),
        )
    ]
    wrong += [
        (
            settings.mode == "srresnet" and getattr(settings, name) != getattr(defaults, name),
            f"--{name} has no use with --mode=srresnet; leave it out",
        )
        for name in OF_SRGAN
    ]
    for is_wrong, message in wrong:
        if is_wrong:
            raise UserError(message)
    return settings


def _fill(settings, **values):
    """Settings with these values where they were left at auto."""
    return dataclasses.replace(
        settings, **{name: value for name, value in values.items() if getattr(settings, name) == AUTO}
    )
