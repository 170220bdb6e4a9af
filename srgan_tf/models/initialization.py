"""Initial weights with which G upsamples bilinearly, so that it need not learn first to reproduce its input."""

import numpy as np

from srgan_tf.models.generator import generator_config

# The knots of a piecewise linear approximation of atanh, in pixel values of [-1, 1]. atanh is infinite at the ends, so
# its argument is limited to LIMIT. tanh of the approximation is within 1.1 of 255 levels of the identity.
KNOTS = np.array([-1, -0.951, -0.876, -0.766, -0.61, -0.39, 0.39, 0.61, 0.766, 0.876, 0.951])
LIMIT = 0.994
# Typical mean and standard deviation of photographs in [-1, 1], for BN's initial statistics.
MEAN, DEVIATION = -0.1, 0.5


def initialize_as_bilinear(generator):
    """Sets G's weights so that it starts as bilinear upsampling; the remaining channels stay random.

    G has no skip connection from the input to the output, so the image itself must pass through all layers:

    - Three channels of the first convolution carry it as x + 1, which is not negative, so that ReLU keeps it.
    - Gamma is 0 in the last BN of every residual branch, so that each branch starts at zero (Goyal et al. 2017, section
      5.1).
    - Nearest x2 followed by [1 2 1] / 4 is bilinear.
    - The last ReLU's channels are the hinges of a piecewise linear atanh, which undoes the final tanh.

    Args:
        generator: A model of `build_generator` with at least 33 filters; changed in place.

    Raises:
        ValueError: It has too few filters.
    """
    blocks, scale, filters = generator_config(generator)
    hinges = 3 * len(KNOTS)
    if filters < hinges:
        raise ValueError(f"The generator needs at least {hinges} filters. Received: {filters}")
    stages = scale.bit_length() - 1

    first = generator.get_layer("first_conv")
    kernel, bias = first.get_weights()
    kernel[..., :3] = 0
    kernel[4, 4, :, :3] = np.eye(3)
    bias[:3] = 1
    first.set_weights([kernel, bias])

    for name in [f"block{block}b" for block in range(1, blocks + 1)] + ["trunk"]:
        bn = generator.get_layer(f"{name}_bn")
        gamma, *others = bn.get_weights()
        bn.set_weights([np.zeros_like(gamma), *others])

    tent = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for stage in range(1, stages + 1):
        carried = hinges if stage == stages else 3
        conv, bn = generator.get_layer(f"up{stage}_conv"), generator.get_layer(f"up{stage}_bn")
        (kernel,) = conv.get_weights()
        kernel[..., :carried] = 0
        for channel in range(carried):
            kernel[:, :, channel % 3, channel] = tent
        conv.set_weights([kernel])
        gamma, beta, mean, variance = bn.get_weights()
        # BN as the identity: exactly in inference mode, about so in training on a batch of typical images.
        mean[:carried], variance[:carried] = MEAN + 1, DEVIATION**2
        gamma[:carried] = np.sqrt(DEVIATION**2 + bn.epsilon)
        beta[:carried] = MEAN + 1
        if stage == stages:
            beta[:carried] -= np.repeat(KNOTS + 1, 3)
        bn.set_weights([gamma, beta, mean, variance])

    # A piecewise linear function is its first value plus, from each knot on, the change of slope times the distance.
    ends = np.append(KNOTS, 1.0)
    values = np.arctanh(np.clip(ends, -LIMIT, LIMIT))
    slopes = np.diff(values) / np.diff(ends)
    changes = np.diff(slopes, prepend=0)
    last = generator.get_layer("last_conv")
    kernel, bias = last.get_weights()
    kernel[:] = 0
    for knot, change in enumerate(changes):
        for color in range(3):
            kernel[4, 4, 3 * knot + color, color] = change
    bias[:] = values[0]
    last.set_weights([kernel, bias])
