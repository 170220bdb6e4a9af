import keras
import numpy as np
import tensorflow as tf

from srgan_tf.training.muon import Muon, orthonormal
from srgan_tf.training.optimizers import LearningRate, make_optimizer
from srgan_tf.training.update import apply_gradients, unscale


def test_orthonormal_keeps_the_singular_vectors():
    rng = np.random.default_rng(0)
    for shape in ((25, 64), (288, 16)):
        matrix = np.float32(rng.normal(size=shape) * 1e-4)
        found = orthonormal(tf.constant(matrix)).numpy()
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        inner = left.T @ found @ right.T
        assert values.max() / values.min() > 1.5
        assert 0.6 < np.diag(inner).min() and np.diag(inner).max() < 1.3
        np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0, atol=1e-3)
    np.testing.assert_array_equal(orthonormal(tf.zeros((3, 4))), np.zeros((3, 4)))


def _newton_schulz(x):
    """As its authors have it, in NumPy."""
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def test_kernels_by_muon_and_biases_by_adam():
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(40, 3), keras.layers.BatchNormalization()]
    model, reference = keras.Sequential(layers), keras.Sequential(layers[:2]).layers[0].kernel.numpy()
    optimizer = make_optimizer(model, LearningRate(0.1), kind="muon")
    assert isinstance(optimizer, Muon)
    adam = keras.optimizers.Adam(0.1)
    vectors = [keras.Variable(variable.numpy()) for variable in model.trainable_variables[1:]]
    adam.build(vectors)
    rng, moment = np.random.default_rng(0), 0.0
    for _ in range(3):
        gradients = [np.float32(rng.normal(size=variable.shape)) for variable in model.trainable_variables]
        moment = 0.95 * moment + gradients[0]
        matrix = (0.95 * moment + gradients[0]).reshape(27, 40)
        reference = reference - 0.1 * 0.2 * 40**0.5 * _newton_schulz(matrix).reshape(reference.shape)
        adam.apply([tf.constant(gradient) for gradient in gradients[1:]], vectors)
        found, _, finite = unscale(optimizer, [tf.constant(gradient) for gradient in gradients])
        apply_gradients(optimizer, found, model.trainable_variables, finite, finite)
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), reference, atol=2e-4)
    for variable, expected in zip(model.trainable_variables[1:], vectors, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected.numpy(), atol=1e-4)  # Keras has epsilon elsewhere


def test_a_step_is_as_large_as_adams():
    """Root mean square 0.2 times the rate (Liu et al. 2025, section 2.2), whatever the gradients' size."""
    for filters in (4, 64):
        model = keras.Sequential([keras.Input((8, 8, 16)), keras.layers.Conv2D(filters, 3, use_bias=False)])
        before = model.layers[0].kernel.numpy()
        optimizer = make_optimizer(model, LearningRate(1e-2), kind="muon")
        gradient = tf.constant(np.float32(np.random.default_rng(1).normal(size=before.shape) * 1e-6))
        apply_gradients(optimizer, [gradient], model.trainable_variables, tf.constant(True), tf.constant(True))
        moved = model.layers[0].kernel.numpy() - before
        assert 1.4e-3 < np.sqrt(np.mean(moved**2)) < 2.4e-3


def test_its_configuration_makes_it_again():
    again = Muon.from_config(Muon(1e-2, momentum=0.8, name="x").get_config())
    assert (again.momentum, again.name, float(again.learning_rate)) == (0.8, "x", np.float32(1e-2))
