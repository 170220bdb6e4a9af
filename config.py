"""Every setting, by the mode that has it; `srgan MODE --help` shows them with their defaults.

Each mode of the command `srgan` has a module in `srgan_tf/cli/` with a frozen dataclass `Settings`. Its fields are the
flags, each with default, description and unit. Fields that several modes share are in `srgan_tf/cli/shared.py`. The
defaults of the training are the slides' numbers; `srgan_tf/cli/train.py` also says what `auto` stands for.
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
