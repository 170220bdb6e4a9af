"""An exponential moving average of a network's weights, which often scores better than the last weights."""

import keras
import tensorflow as tf


class MovingAverage:
    """The average of a model over the steps of its training: weights and BN's statistics.

    After each step `average = decay * average + (1 - decay) * value`, so that after t steps

        average = decay^t * value_0 + (1 - decay) * sum over i = 1 ... t of decay^(t - i) * value_i

    Args:
        model: The model to average; the average starts with its current values.
        decay: Share of the average that stays at each step, in [0, 1). About 1 / (1 - decay) steps are averaged.
        xla: Whether to compile the update with XLA.

    Attributes:
        model: A clone of the model that holds the average.
    """

    def __init__(self, model: keras.Model, decay: float, *, xla: bool = True):
        self.model = keras.models.clone_model(model)
        self.model.set_weights(model.get_weights())

        @tf.function(jit_compile=xla, autograph=False)
        def update(skipped):
            for average, variable in zip(self.model.variables, model.variables):
                moved = decay * average.value + (1 - decay) * variable.value
                average.assign(tf.where(skipped > 0, average.value, moved))

        self._update = update

    def update(self, skipped: tf.Tensor) -> None:
        """Averages in the current weights, unless the step was skipped: `skipped` is a float scalar, 1 or 0."""
        self._update(skipped)
