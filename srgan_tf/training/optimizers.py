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
        if schedule not in ("constant", "step", "cosine"):
            raise ValueError(f"schedule must be 'constant', 'step' or 'cosine'. Received: {schedule!r}")
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
        return {
            "peak": self.peak,
            "schedule": self.schedule,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay_rate": self.decay_rate,
        }


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

    Returns:
        A built optimizer, or one in a `keras.optimizers.LossScaleOptimizer`.
    """
    make = {"adam": Adam, "muon": Muon}[kind]
    optimizer = make(rate, beta_1=beta1, name=name)
    if keras.config.dtype_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=f"{name}_scale")
    optimizer.build(model.trainable_variables)
    return optimizer


def _scales(optimizer):
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def _unscaled(optimizer):
    """The optimizer itself, without its loss scale."""
    return optimizer.inner_optimizer if _scales(optimizer) else optimizer


def iterations(optimizer):
    """The steps that were taken, a variable."""
    return _unscaled(optimizer).iterations


def loss_scale(optimizer):
    """The factor that `optimizer` multiplies its loss by: 1 but for a `LossScaleOptimizer`."""
    return tf.identity(optimizer.dynamic_scale.value) if _scales(optimizer) else 1.0


def scale_loss(optimizer, loss):
    """The loss times `loss_scale`."""
    return optimizer.scale_loss(loss) if _scales(optimizer) else loss


def unscale(optimizer, gradients, clip_norm=0.0):
    """Takes the loss scale out of gradients, looks at them, and clips them.

    Args:
        optimizer: Of `make_optimizer`.
        gradients: Of the loss that `scale_loss` gave.
        clip_norm: Largest global norm, to which larger gradients are scaled down; 0: none.

    Returns:
        `(gradients, norm, finite)`: the float32 gradients of the loss itself; their global norm before clipping, a
        float32 scalar; and whether all of them are finite, a bool scalar.
    """
    gradients = [tf.cast(gradient, tf.float32) / loss_scale(optimizer) for gradient in gradients]
    finite = all_finite(gradients)
    norm = tf.linalg.global_norm(gradients)
    if clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, norm)
    return gradients, norm, finite


def all_finite(tensors):
    """Whether every number of every tensor is finite, a bool scalar."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])


def update(optimizer, gradients, variables, own_finite, good):
    """One step of the optimizer where the whole step is good; moves its loss scale. Not to be called on a replica.

    `LossScaleOptimizer.apply` asks nobody but its own gradients, and under `tf.distribute` each replica only its own:
    one that is finite beside another that is not would move alone. So the decision comes from outside, and the scale
    follows the rule of that class: half where its gradients overflow, twice after `dynamic_growth_steps` good steps.

    Args:
        optimizer: Of `make_optimizer`.
        gradients: What `unscale` gave, the same on every replica.
        variables: What they are the gradients of.
        own_finite: Whether these gradients are finite, a bool scalar.
        good: Whether the step is to be taken, a bool scalar; never without `own_finite`.
    """
    plain = _unscaled(optimizer)
    extended = tf.distribute.get_strategy().extended

    def apply():
        rate = plain.learning_rate
        # As `plain.apply`, which on replicas would add up the gradients once more.
        for gradient, variable in zip(gradients, variables):
            extended.update(
                variable.value,
                lambda variable, gradient, rate: plain.update_step(gradient, variable, rate),
                args=(gradient, rate),
                group=False,
            )
        plain.iterations.assign_add(1)
        return 0

    tf.cond(good, apply, lambda: 0)
    if _scales(optimizer):
        scale, counter = optimizer.dynamic_scale.value, optimizer.step_counter.value
        grows = counter + 1 >= optimizer.dynamic_growth_steps
        grown = tf.where(tf.logical_and(good, grows), 2 * scale, scale)
        none = tf.zeros_like(counter)
        counted = tf.where(good, tf.where(grows, none, counter + 1), counter)
        optimizer.dynamic_scale.assign(tf.where(own_finite, grown, scale / 2))
        optimizer.step_counter.assign(tf.where(own_finite, counted, none))
