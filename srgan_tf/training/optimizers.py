"""The optimizers, Adam with the slides' numbers or Muon; the learning-rate schedule; and loss scaling for float16."""

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
        schedule: `"constant"`; `"step"`: multiplied by `decay_rate` from half of `steps` on, as the slides and the
            paper train SRGAN; `"cosine"`: half a cosine, down to 0 at `steps`.
        steps: Steps of the phase.
        warmup_steps: Steps over which the rate rises linearly to its schedule.
        decay_rate: Factor of `"step"`.
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
    """A built optimizer for a model; it has a dynamic loss scale if the global precision policy is float16.

    Args:
        model: The model whose trainable variables it updates.
        rate: A `LearningRate`.
        kind: `"adam"`; or `"muon"`, see `training.muon`.
        beta1: First-moment decay of Adam, also of the Adam with which Muon updates biases and BN.
        name: Prefix of the names of its variables, which are stored in checkpoints.
    """
    make = {"adam": Adam, "muon": Muon}[kind]
    optimizer = make(rate, beta_1=beta1, name=name)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{name}_scale")
    optimizer.build(model.trainable_variables)
    return optimizer


def has_loss_scale(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the optimizer scales its loss, as for float16."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | float:
    """The factor by which `optimizer.scale_loss` multiplies the loss: 1 without a loss scale."""
    return tf.identity(optimizer.dynamic_scale.value) if has_loss_scale(optimizer) else 1.0
