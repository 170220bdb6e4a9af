"""The state of a phase: its networks, optimizers and progress."""

import dataclasses

import keras

from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.ema import MovingAverage
from srgan_tf.training.optimizers import LearningRate
from srgan_tf.training.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of a phase: G; D in the adversarial phase; and, for a VGG loss, VGG19, which is not trained."""

    generator: keras.Model
    discriminator: keras.Model | None
    features: keras.Model | None

    @property
    def trained(self) -> dict[str, keras.Model]:
        """G as "g" and, in the adversarial phase, D as "d"."""
        return {"g": self.generator} | ({} if self.discriminator is None else {"d": self.discriminator})


@dataclasses.dataclass(frozen=True)
class TrainState:
    """All that a phase trains and a checkpoint holds.

    Attributes:
        networks: The `Networks`.
        optimizers: By "g" and "d", as `Networks.trained`.
        rate: The learning rate of both optimizers.
        average: The moving average of G, or None.
        snapshot: Of G or its average: the network that is validated and written.
        checkpoints: The checkpoints in the folder of the phase, of all variables.
        progress: The steps done so far, and what was counted on the way.
    """

    networks: Networks
    optimizers: dict[str, keras.optimizers.Optimizer]
    rate: LearningRate
    average: MovingAverage | None
    snapshot: Snapshot
    checkpoints: Checkpoints
    progress: Progress
