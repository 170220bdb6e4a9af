import keras
import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.imaging.color import luma
from srgan_tf.models import discriminator
from srgan_tf.models.baselines import build_drcn, build_espcn, with_recursions
from srgan_tf.models.generator import build_generator
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.training import losses, steps
from srgan_tf.training.balance import first_losses
from srgan_tf.training.optimizers import LearningRate, loss_scale, make_optimizer
from srgan_tf.training.state import Networks

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


@pytest.fixture(autouse=True)
def _narrow_networks_and_float32_again(monkeypatch):
    # The channels do not matter here, and float16 is slow on a CPU.
    narrow = [(filters // 16, stride) for filters, stride in discriminator.CONVOLUTIONS]
    monkeypatch.setattr(discriminator, "CONVOLUTIONS", narrow)
    yield
    keras.config.set_dtype_policy("float32")


def _crops(seed=0, side=4):
    rng = np.random.default_rng(seed)
    lr = rng.integers(0, 256, (2, side, side, 3), np.uint8)
    return tf.constant(lr), tf.constant(lr.repeat(4, 1).repeat(4, 2))


class _Setup:
    """Small networks with their optimizers, and a step over them."""

    def __init__(self, adversarial, policy="float32", sequential=False, xla=False, weights=None, rate=1e-4):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        self.g = build_generator(blocks=1)
        initialize_as_bilinear(self.g)
        self.g_optimizer = make_optimizer(self.g, LearningRate(rate))
        self.state = [*self.g.variables, *self.g_optimizer.variables]
        weights = weights or steps.LossWeights(mse=1.0, adversarial=1e-3)
        if adversarial:
            self.d = discriminator.build_discriminator()
            self.d_optimizer = make_optimizer(self.d, LearningRate(rate))
            self.state += [*self.d.variables, *self.d_optimizer.variables]
            self.step = steps.make_adversarial_step(
                self.g, self.d, self.g_optimizer, self.d_optimizer, weights, sequential=sequential, xla=xla
            )
        else:
            self.step = steps.make_content_step(self.g, self.g_optimizer, weights, xla=xla)

    def values(self):
        return {variable.path: variable.numpy().copy() for variable in self.state}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("adversarial", [False, True])
def test_trains_under_each_policy(policy, adversarial):
    setup = _Setup(adversarial, policy)
    lr, hr = _crops()
    before = setup.values()
    terms = [{name: float(value) for name, value in setup.step(lr, hr).items()} for _ in range(8)]
    assert all(np.isfinite(list(values.values())).all() and values["skipped"] == 0 for values in terms)
    assert terms[-1]["mse"] < terms[0]["mse"]
    after = setup.values()
    networks = [setup.g, setup.d] if adversarial else [setup.g]
    weights = [variable.path for network in networks for variable in network.variables]
    changed = [path for path in weights if (before[path] != after[path]).any()]
    assert len(changed) > 0.8 * len(weights)  # all but a few whose gradient is still exactly 0
    assert any("moving_mean" in path for path in changed)


def test_policies_agree_on_the_first_loss():
    first = [float(_Setup(True, policy).step(*_crops())["g_loss"]) for policy in POLICIES]
    np.testing.assert_allclose(first[1], first[0], rtol=1e-2)
    np.testing.assert_allclose(first[2], first[0], rtol=5e-2)  # bfloat16 has 8 bits


def test_xla_computes_the_same():
    plain, compiled = (_Setup(True, xla=xla).step(*_crops()) for xla in (False, True))
    for name in plain:
        np.testing.assert_allclose(plain[name], compiled[name], rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_step_that_is_not_finite_changes_nothing(policy, sequential, monkeypatch):
    # A loss that is not finite makes that network's gradients so, and not the other's.
    factors = {"g": tf.Variable(1.0), "d": tf.Variable(1.0)}
    mse, of_d = losses.mse, losses.discriminator
    monkeypatch.setattr(losses, "mse", lambda hr, sr: mse(hr, sr) * factors["g"])
    monkeypatch.setattr(losses, "discriminator", lambda real, fake: of_d(real, fake) * factors["d"])
    setup = _Setup(True, policy, sequential)
    optimizers = {"g": setup.g_optimizer, "d": setup.d_optimizer}
    lr, hr = _crops()
    assert float(setup.step(lr, hr)["skipped"]) == 0
    for poisoned in ("g", "d", "gd"):
        before, scales = setup.values(), {name: float(loss_scale(optimizers[name])) for name in "gd"}
        for name in poisoned:
            factors[name].assign(np.nan)
        assert float(setup.step(lr, hr)["skipped"]) == 1
        after = setup.values()
        changed = {path for path in before if (before[path] != after[path]).any()}
        if policy == "float32":
            assert changed == set()
        else:
            # The loss scale of the network whose gradients overflowed is halved, and nothing else is touched.
            assert all("dynamic_scale" in path or "step_counter" in path for path in changed)
            for name in "gd":
                assert float(loss_scale(optimizers[name])) == scales[name] / (2 if name in poisoned else 1)
        for name in poisoned:
            factors[name].assign(1.0)
        assert float(setup.step(lr, hr)["skipped"]) == 0


def test_nan_in_the_forward_pass_leaves_batch_norm_alone():
    setup = _Setup(False)
    # Behind this layer come a BN and a ReLU, which turns NaN into 0, so that the gradients are finite.
    kernel = setup.g.get_layer("up1_conv").kernel
    whole = kernel.numpy()
    before = setup.values()
    kernel.assign(np.full_like(whole, np.nan))
    assert float(setup.step(*_crops())["skipped"]) == 1
    kernel.assign(whole)
    for path, value in setup.values().items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


def test_frozen_batch_norm_keeps_its_statistics_and_trains_gamma():
    setup = _Setup(False, rate=1e-3)
    before = setup.values()
    # A gamma of 0 has to move before what lies behind it gets a gradient.
    for _ in range(8):
        setup.step(*_crops(), freeze_bn=True)
    after = setup.values()
    moving = [path for path in before if "moving" in path]
    assert moving and all((before[path] == after[path]).all() for path in moving)
    gammas = [path for path in before if path.endswith("bn/gamma")]
    assert [path for path in gammas if (before[path] == after[path]).all()] == []


def _plain_gradients(setup, lr, hr):
    """The gradients of a step, written as a textbook would: each network and each loss on its own tape."""
    lr, hr = tf.cast(lr, tf.float32) / 127.5 - 1, tf.cast(hr, tf.float32) / 127.5 - 1
    bce = tf.nn.sigmoid_cross_entropy_with_logits
    with tf.GradientTape() as tape:
        sr = setup.g(lr, training=True)
        fake = setup.d(sr, training=True)
        loss = tf.reduce_mean((hr - sr) ** 2) + 1e-3 * tf.reduce_mean(bce(tf.ones_like(fake), fake))
    g = tape.gradient(loss, setup.g.trainable_variables)
    with tf.GradientTape() as tape:
        real, fake = setup.d(hr, training=True), setup.d(tf.stop_gradient(sr), training=True)
        loss = tf.reduce_mean(bce(tf.ones_like(real), real)) + tf.reduce_mean(bce(tf.zeros_like(fake), fake))
    d = tape.gradient(loss, setup.d.trainable_variables)
    return g, d


def test_shared_forward_passes_give_the_plain_gradients():
    lr, hr = _crops()
    reference = _Setup(True)
    g, d = _plain_gradients(reference, lr, hr)
    terms = _Setup(True).step(lr, hr)
    np.testing.assert_allclose(terms["g_gradient_norm"], tf.linalg.global_norm(g), rtol=1e-3)
    np.testing.assert_allclose(terms["d_gradient_norm"], tf.linalg.global_norm(d), rtol=1e-3)


def test_sequential_updates_use_the_new_discriminator():
    lr, hr = _crops()
    together, sequential = _Setup(True), _Setup(True, sequential=True)
    first, second = together.step(lr, hr), sequential.step(lr, hr)
    np.testing.assert_allclose(first["d_loss"], second["d_loss"], rtol=1e-4)
    new_d = sequential.d  # after its update
    reference = _Setup(True)
    sr = reference.g(steps.to_network(lr), training=True)
    expected = losses.adversarial(new_d(sr, training=True))
    np.testing.assert_allclose(second["adversarial"], expected, rtol=1e-3)
    assert abs(float(first["adversarial"]) - float(second["adversarial"])) > 1e-3


def test_g_loss_is_the_weighted_sum():
    weights = steps.LossWeights(mse=0.5, vgg=3.0, adversarial=0.25, consistency=2.0)
    features = keras.Sequential([keras.layers.AveragePooling2D(4)])
    setup = _Setup(True)
    step = steps.make_adversarial_step(
        setup.g, setup.d, setup.g_optimizer, setup.d_optimizer, weights, features, xla=False
    )
    terms = {name: float(value) for name, value in step(*_crops(side=6)).items()}
    assert terms["consistency"] > 0
    expected = 0.5 * terms["mse"] + 3 * terms["vgg"] + 0.25 * terms["adversarial"] + 2 * terms["consistency"]
    np.testing.assert_allclose(terms["g_loss"], expected, rtol=1e-5)


def test_the_gradient_norm_does_not_depend_on_the_loss_scale():
    setup = _Setup(False, "mixed_float16", rate=0.0)
    setup.g_optimizer.dynamic_growth_steps = 3
    setup.g_optimizer.dynamic_scale.assign(2.0**8)
    norms, scales = [], []
    for _ in range(5):
        norms.append(float(setup.step(*_crops())["g_gradient_norm"]))
        scales.append(float(setup.g_optimizer.dynamic_scale))
    assert len(set(scales)) > 1
    np.testing.assert_allclose(norms, norms[0], rtol=0.02)


def test_what_sees_beyond_the_crop_does_not_count():
    """Dong et al. 2016, section 3.3, for ESPCN, whose output sees four LR pixels."""
    keras.utils.set_random_seed(0)
    model = build_espcn()
    optimizer = make_optimizer(model, LearningRate(1e-3))
    step = steps.make_content_step(model, optimizer, steps.LossWeights(), xla=False)
    lr, hr = _crops(side=11)
    sr = (model(steps.to_network(lr)).numpy() + 1) * 127.5
    error = np.square((luma(hr.numpy()) - luma(sr)) / 109.5)[:, 16:-16, 16:-16].mean()  # Y has 219 levels
    first = first_losses(Networks(model, None, None), lr, hr, steps.LossWeights())["mse"]
    terms = step(lr, hr)
    assert float(terms["mse"]) == pytest.approx(error, rel=1e-4) == first
    assert float(terms["g_loss"]) == float(terms["mse"])

    # Other values outside the crop change what does not count, and nothing else.
    larger = np.random.default_rng(9).integers(0, 256, (2, 19, 19, 3), np.uint8)
    larger[:, 4:-4, 4:-4] = lr.numpy()
    inside, whole = (model(steps.to_network(x)).numpy() for x in (lr, larger))
    same = np.abs(whole[:, 16:-16, 16:-16] - inside).max(axis=(0, 3)) < 1e-5
    assert same[16:-16, 16:-16].all() and not same[:14].all() and not same[:, :14].all()


def test_drcns_loss_goes_from_the_recursions_to_their_sum():
    """Kim et al. 2016, section 3.3, on Y; the outputs, before each step, from the model itself."""
    keras.utils.set_random_seed(0)
    model = build_drcn(filters=4, recursions=3)
    both = with_recursions(model)
    rate = LearningRate(1e-3, steps=2)
    optimizer = make_optimizer(model, rate)
    step = steps.make_content_step(model, optimizer, steps.LossWeights(), remaining=rate.remaining, xla=False)
    lr, hr = _crops()
    y = luma(hr.numpy())[..., None] / 109.5 - 16 / 109.5 - 1
    for share in (1, 0.5, 0):
        sr, each = both(steps.to_network(lr))
        sum_error = np.mean((luma((sr.numpy() + 1) * 127.5)[..., None] / 109.5 - 16 / 109.5 - 1 - y) ** 2)
        own_errors = np.mean([np.mean((each.numpy()[..., [number]] - y) ** 2) for number in range(3)])
        terms = step(lr, hr)
        assert float(terms["mse"]) == pytest.approx(sum_error, rel=1e-3)
        assert float(terms["recursions"]) == pytest.approx(own_errors, rel=1e-3)
        assert float(terms["g_loss"]) == pytest.approx(share * own_errors + (1 - share) * sum_error, rel=1e-3)
