"""Adam with the slides' numbers, the course of its learning rate, and loss scaling where float16 needs it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="srgan_tf")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each step.

    Args:
        peak: Highest learning rate.
        schedule: `"constant"`; `"step"`: times `decay_rate` from the half of `steps` on, as the slides and the paper
            train SRGAN; `"cosine"`: along half a cosine to 0 at `steps`.
        steps: Steps of the phase.
        warmup_steps: Over these the rate rises linearly to its course.
        decay_rate: Of `"step"`.
    """

    def __init__(self, peak, schedule="constant", steps=1, warmup_steps=0, decay_rate=0.1):
        if schedule not in ("constant", "step", "cosine"):
            raise ValueError(f"schedule must be 'constant', 'step' or 'cosine'. Received: {schedule!r}")
        self.peak, self.schedule, self.steps = peak, schedule, steps
        self.warmup_steps, self.decay_rate = warmup_steps, decay_rate

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
        return {
            "peak": self.peak,
            "schedule": self.schedule,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay_rate": self.decay_rate,
        }


def make_optimizer(model, rate, *, beta1=0.9, name="adam"):
    """Adam for a model, its slots made; wrapped in a dynamic loss scale if the global precision policy is float16.

    Args:
        model: Whose trainable variables it updates.
        rate: A `LearningRate`.
        beta1: Decay of the first moment.
        name: Prefix of its variables' names, which checkpoints keep.

    Returns:
        A built `keras.optimizers.Adam` or `keras.optimizers.LossScaleOptimizer`.
    """
    optimizer = keras.optimizers.Adam(rate, beta_1=beta1, name=name)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{name}_scale")
    optimizer.build(model.trainable_variables)
    return optimizer
