"""Muon: momentum whose steps go equally far in all directions of a kernel."""

import keras
from keras import ops

# Of the Newton-Schulz iteration, which brings singular values to 0.7 to 1.2 in five rounds, and no nearer to 1.
_A, _B, _C, _ROUNDS = 3.4445, -4.7750, 2.0315, 5
_ADAMS_SIZE = 0.2  # root mean square of a step of Adam at a rate of 1, about


@keras.saving.register_keras_serializable(package="srgan_tf")
class Muon(keras.optimizers.Optimizer):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for convolutions; Adam for biases and BN.

    Networks on images learn the mean brightness first and the fine detail, whose gradients are a thousand times
    smaller, last. Muon replaces the momentum of each kernel, as a matrix with a column for each output channel, by the
    nearest matrix with orthonormal rows or columns, so that all directions get equally large steps. Steps are as large
    as Adam's at the same rate (Liu et al. 2025, arXiv 2502.16982, section 2.2). Keras' own Muon updates kernels of
    convolutions by Adam.

    Args:
        learning_rate: A number or a schedule.
        momentum: Decay of the momentum, which is Nesterov's.
        beta_1: First-moment decay of Adam.
        beta_2: Second-moment decay of Adam.
        epsilon: Of Adam.
        **kwargs: Of `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate=3e-3, momentum=0.95, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum, self.beta_1, self.beta_2, self.epsilon = momentum, beta_1, beta_2, epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.moments = self.add_optimizer_variables(variables, "momentum")
        vectors = {index: variable for index, variable in enumerate(variables) if not _is_kernel(variable)}
        self.squares = dict(zip(vectors, self.add_optimizer_variables([*vectors.values()], "velocity")))

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        moment = self.moments[index]
        if _is_kernel(variable):
            self.assign(moment, moment * self.momentum + gradient)
            ahead = ops.reshape(moment * self.momentum + gradient, (-1, gradient.shape[-1]))
            size = _ADAMS_SIZE * max(ahead.shape) ** 0.5
            step = ops.reshape(size * orthonormal(ahead), gradient.shape)
        else:
            square = self.squares[index]
            self.assign(moment, moment + (gradient - moment) * (1 - self.beta_1))
            self.assign(square, square + (ops.square(gradient) - square) * (1 - self.beta_2))
            done = ops.cast(self.iterations + 1, gradient.dtype)
            first = moment / (1 - ops.power(self.beta_1, done))
            step = first / (ops.sqrt(square / (1 - ops.power(self.beta_2, done))) + self.epsilon)
        self.assign_sub(variable, learning_rate * step)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("momentum", "beta_1", "beta_2", "epsilon")}
        return super().get_config() | own


def _is_kernel(variable):
    return len(variable.shape) > 1


def orthonormal(matrix):
    """A float32 matrix with the singular vectors of another, and singular values between 0.7 and 1.2, or 0."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix  # the products below are of the shorter side
    x = x / (ops.norm(x) + 1e-12)
    for _ in range(_ROUNDS):
        gram = ops.matmul(x, ops.transpose(x))
        x = _A * x + ops.matmul(_B * gram + _C * ops.matmul(gram, gram), x)
    return ops.transpose(x) if tall else x
