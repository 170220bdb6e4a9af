"""Every setting, by the mode that has it; `srgan MODE --help` shows them with their defaults.

Each mode of the command `srgan` has a module in `srgan_tf/cli/`, and in it a frozen dataclass `Settings`, whose fields
are its flags: a default, what it does and its unit. What several modes share is in `srgan_tf/cli/shared.py`. The
training's defaults are the slides' numbers; what `auto` stands for is in `srgan_tf/cli/train.py`, too.
"""

from srgan_tf.cli.compare import Settings as CompareSettings
from srgan_tf.cli.convert import Settings as ImportSettings
from srgan_tf.cli.degrade import Settings as DegradeSettings
from srgan_tf.cli.demo import Settings as DemoSettings
from srgan_tf.cli.evaluate import Settings as EvaluateSettings
from srgan_tf.cli.export import Settings as ExportSettings
from srgan_tf.cli.faces import Settings as FacesSettings
from srgan_tf.cli.mos_make import Settings as MosMakeSettings
from srgan_tf.cli.mos_score import Settings as MosScoreSettings
from srgan_tf.cli.pack import Settings as PackSettings
from srgan_tf.cli.reproduce import Settings as ReproduceSettings
from srgan_tf.cli.train import Settings as TrainSettings
from srgan_tf.cli.upscale import Settings as UpscaleSettings

__all__ = [
    "CompareSettings",
    "DegradeSettings",
    "DemoSettings",
    "EvaluateSettings",
    "ExportSettings",
    "FacesSettings",
    "ImportSettings",
    "MosMakeSettings",
    "MosScoreSettings",
    "PackSettings",
    "ReproduceSettings",
    "TrainSettings",
    "UpscaleSettings",
]
