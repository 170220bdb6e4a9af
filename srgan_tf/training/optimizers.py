"""Adam with the slides' numbers, or Muon; the learning rate's schedule; and loss scaling where float16 needs it."""

import keras
import tensorflow as tf
from keras import ops

from srgan_tf.training.adam import Adam
from srgan_tf.training.muon import Muon


@keras.saving.register_keras_serializable(package="srgan_tf")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each step.

    Args:
        peak: Highest learning rate.
        schedule: `"constant"`; `"step"`: times `decay_rate` from the half of `steps` on, as the slides and the paper
            train SRGAN; `"cosine"`: along half a cosine to 0 at `steps`.
        steps: Steps of the phase.
        warmup_steps: Over these the rate rises linearly to its schedule.
        decay_rate: Of `"step"`.
    """

    def __init__(
        self, peak: float, schedule: str = "constant", steps: int = 1, warmup_steps: int = 0, decay_rate: float = 0.1
    ):
        self.peak, self.schedule, self.steps = peak, schedule, steps
        self.warmup_steps, self.decay_rate = warmup_steps, decay_rate

    def remaining(self, step):
        """The fraction of the phase's steps that remains, from 1 to 0, a float32 scalar."""
        return ops.maximum(1 - ops.cast(step, "float32") / self.steps, 0.0)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = ops.ones_like(step) * self.peak
        if self.schedule == "step":
            rate = ops.where(step < self.steps / 2, rate, rate * self.decay_rate)
        elif self.schedule == "cosine":
            rate = rate * 0.5 * (1 + ops.cos(3.14159265 * ops.minimum(step / self.steps, 1.0)))
        if self.warmup_steps:
            rate = rate * ops.minimum((step + 1) / self.warmup_steps, 1.0)
        return rate

    def get_config(self):
        return {name: getattr(self, name) for name in ("peak", "schedule", "steps", "warmup_steps", "decay_rate")}


def make_optimizer(
    model: keras.Model, rate: LearningRate, *, kind: str = "adam", beta1: float = 0.9, name: str = "adam"
) -> keras.optimizers.Optimizer:
    """An optimizer for a model, its slots made; with a dynamic loss scale if the global precision policy is float16.

    Args:
        model: Whose trainable variables it updates.
        rate: A `LearningRate`.
        kind: `"adam"`; or `"muon"`, see `training.muon`.
        beta1: First-moment decay of Adam, Muon's for biases and BN, too.
        name: Prefix of its variables' names, which checkpoints keep.
    """
    make = {"adam": Adam, "muon": Muon}[kind]
    optimizer = make(rate, beta_1=beta1, name=name)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{name}_scale")
    optimizer.build(model.trainable_variables)
    return optimizer


def has_loss_scale(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether it is one for float16."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def without_loss_scale(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that steps, inside of one for float16."""
    return optimizer.inner_optimizer if has_loss_scale(optimizer) else optimizer


def iterations(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """The steps that were taken."""
    return without_loss_scale(optimizer).iterations


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | float:
    """The factor that the loss is multiplied by before its gradients are taken: 1 but for float16."""
    return tf.identity(optimizer.dynamic_scale.value) if has_loss_scale(optimizer) else 1.0


def scale_loss(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """The loss times `loss_scale`."""
    return optimizer.scale_loss(loss) if has_loss_scale(optimizer) else loss
