"""What a phase trains, and how far it is."""

import dataclasses

import keras

from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.ema import MovingAverage
from srgan_tf.training.optimizers import LearningRate
from srgan_tf.training.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of a phase: G; D, in the adversarial phase; and VGG19, which is not trained, with a VGG loss."""

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
        networks: What is trained, and VGG19.
        optimizers: By "g" and "d", as `Networks.trained`.
        rate: The learning rate of both.
        average: The moving average of G, or None.
        snapshot: Of G, or of its average: what is validated and written.
        checkpoints: Of all variables, in the folder of the phase.
        progress: Of the newest checkpoint; step 0 at the start.
    """

    networks: Networks
    optimizers: dict[str, keras.optimizers.Optimizer]
    rate: LearningRate
    average: MovingAverage | None
    snapshot: Snapshot
    checkpoints: Checkpoints
    progress: Progress
