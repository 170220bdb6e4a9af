import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.training.adam import Adam

STEPS = 20


def _trained(kind, xla, start, gradients):
    """The variables of an optimizer and what it trained, after all steps."""
    variables = [keras.Variable(value, name=f"weight{number}") for number, value in enumerate(start)]
    optimizer = kind(0.01, beta_1=0.8, epsilon=1e-3, name="adam")
    optimizer.build(variables)
    step = tf.function(lambda *gradients: optimizer.apply(gradients, variables), autograph=False, jit_compile=xla)
    for number in range(STEPS):
        step(*(gradient[number] for gradient in gradients))
    return {variable.path: variable.numpy() for variable in (*optimizer.variables, *variables)}


@pytest.mark.parametrize("xla", [False, True])
def test_steps_are_those_of_keras_and_of_the_paper(xla):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 3, 4), (5,))]
    gradients = [rng.normal(size=(STEPS, *value.shape)).astype(np.float32) for value in start]
    found, kerass = (_trained(kind, xla, start, gradients) for kind in (Adam, keras.optimizers.Adam))
    assert found.keys() == kerass.keys()
    for name, value in kerass.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)
    # Kingma and Ba 2015, the efficient form at the end of section 2.
    for number, value in enumerate(start):
        value, first, second = value.astype(np.float64), 0.0, 0.0
        for step, gradient in enumerate(gradients[number], 1):
            first, second = 0.8 * first + 0.2 * gradient, 0.999 * second + 0.001 * gradient**2.0
            value = value - 0.01 * (1 - 0.999**step) ** 0.5 / (1 - 0.8**step) * first / (second**0.5 + 1e-3)
        np.testing.assert_allclose(found[f"weight{number}"], value, rtol=1e-5, atol=1e-6)
