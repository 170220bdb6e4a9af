"""Batch normalization as part of the convolution before it."""

import numpy as np


def fold(generator, name):
    """A convolution of G and the BN behind it, in inference mode, as one convolution.

    Args:
        generator: A `keras.Model`, see `models.generator.build_generator`.
        name: Of the pair: "block1a", "trunk", "up1".

    Returns:
        `(kernel, bias)`: float32 `(height, width, C_in, C_out)` and `(C_out,)`, computed in float64.
    """
    (kernel,) = generator.get_layer(f"{name}_conv").weights
    bn = generator.get_layer(f"{name}_bn")
    gamma, beta, mean, variance = (np.float64(weight.numpy()) for weight in bn.weights)
    factor = gamma / np.sqrt(variance + bn.epsilon)
    return np.float32(kernel.numpy() * factor), np.float32(beta - mean * factor)
