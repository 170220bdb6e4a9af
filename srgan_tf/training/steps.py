"""One optimisation step of each phase, as a `tf.function`; every network runs once a step for each of its inputs."""

import dataclasses

import tensorflow as tf

from srgan_tf.training import losses, optimizers


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weights of the terms of G's loss.

    Attributes:
        mse: Of the MSE between pictures in [-1, 1].
        vgg: Of the mean squared difference of VGG19's features; unused without `features`.
        adversarial: Of -log D(G(LR)); unused in the content-only step.
    """

    mse: float = 1.0
    vgg: float = 0.0
    adversarial: float = 0.0


def to_network(pictures):
    """uint8 [0, 255] to float32 [-1, 1]; the same as `imaging.color.to_network`, inside the graph."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1


def make_content_step(generator, optimizer, weights, features=None, *, clip_norm=0.0, xla=True):
    """The step of SRResNet: G on its content loss.

    Args:
        generator: G.
        optimizer: Of G, built; a `keras.optimizers.LossScaleOptimizer` under mixed_float16.
        weights: `LossWeights`.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        clip_norm: Largest global norm of the gradients, which are scaled down to it; 0: as they are.
        xla: Compile with XLA.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`: LR crops uint8 `(N, h, w, 3)`, HR crops uint8
        `(N, H, W, 3)`. With `freeze_bn` (a Python bool) G's BN uses its moving statistics. `"skipped"` is 1 where a
        gradient or one of BN's statistics was not finite: then nothing has changed but the loss scale.
    """

    @tf.function(jit_compile=xla)
    def step(lr, hr, freeze_bn=False):
        lr, hr = to_network(lr), to_network(hr)
        statistics = _Statistics(generator)
        with tf.GradientTape() as tape:
            sr = generator(lr, training=not freeze_bn)
            terms = _content_terms(hr, sr, weights, features)
            scaled = optimizers.scale_loss(optimizer, terms["g_loss"])
        variables = generator.trainable_variables
        gradients, norm, own_finite = optimizers.unscale(optimizer, tape.gradient(scaled, variables), clip_norm)
        finite = tf.logical_and(own_finite, statistics.are_finite())
        optimizers.update(optimizer, gradients, variables, own_finite, finite)
        statistics.keep_if(finite)
        return terms | {"g_gradient_norm": norm, "skipped": 1 - tf.cast(finite, tf.float32)}

    return step


def make_adversarial_step(
    generator,
    discriminator,
    g_optimizer,
    d_optimizer,
    weights,
    features=None,
    *,
    sequential=False,
    clip_norm=0.0,
    xla=True,
):
    """The step of SRGAN: G against D.

    G and D are updated from the same forward passes (one G, one D(fake), one D(real), one VGG each of fake and real),
    so G meets the D of the step before. With `sequential`, D is updated first and judges G's pictures once more,
    which is the slides' order and costs another pass of D.

    Args:
        generator: G.
        discriminator: D, giving logits.
        g_optimizer: Of G, built.
        d_optimizer: Of D, built.
        weights: `LossWeights`.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        sequential: Update D first.
        clip_norm: Largest global norm of either network's gradients, which are scaled down to it; 0: as they are.
        xla: Compile with XLA.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`, see `make_content_step`. If a gradient of either
        network is not finite, neither changes.
    """

    @tf.function(jit_compile=xla)
    def step(lr, hr, freeze_bn=False):
        lr, hr = to_network(lr), to_network(hr)
        statistics = _Statistics(generator, discriminator)
        with tf.GradientTape(persistent=True) as tape:
            sr = generator(lr, training=not freeze_bn)
            real_logits = discriminator(hr, training=True)
            fake_logits = discriminator(sr, training=True)
            d_loss = losses.discriminator(real_logits, fake_logits)
            scaled_d_loss = optimizers.scale_loss(d_optimizer, d_loss)
            terms = _content_terms(hr, sr, weights, features)
            if not sequential:
                scaled_g_loss, terms = _add_adversarial(terms, fake_logits, weights, g_optimizer)
        g_variables, d_variables = generator.trainable_variables, discriminator.trainable_variables
        d_gradients, d_norm, d_finite = optimizers.unscale(
            d_optimizer, tape.gradient(scaled_d_loss, d_variables), clip_norm
        )
        if sequential:
            # D moves before G's gradients are known, so its old state is kept in case they are not finite.
            before = _Snapshot(d_variables + d_optimizer.variables)
            optimizers.update(d_optimizer, d_gradients, d_variables, d_finite, d_finite)
            with tape:
                again = discriminator(sr, training=True)
                scaled_g_loss, terms = _add_adversarial(terms, again, weights, g_optimizer)
        g_gradients, g_norm, g_finite = optimizers.unscale(
            g_optimizer, tape.gradient(scaled_g_loss, g_variables), clip_norm
        )
        finite = tf.reduce_all([g_finite, d_finite, statistics.are_finite()])
        if sequential:
            before.restore_unless(tf.logical_or(finite, tf.logical_not(d_finite)))
        else:
            optimizers.update(d_optimizer, d_gradients, d_variables, d_finite, finite)
        optimizers.update(g_optimizer, g_gradients, g_variables, g_finite, finite)
        statistics.keep_if(finite)
        return terms | {
            "g_gradient_norm": g_norm,
            "d_gradient_norm": d_norm,
            "d_loss": d_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real_logits)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake_logits)),
            "skipped": 1 - tf.cast(finite, tf.float32),
        }

    return step


def _content_terms(hr, sr, weights, features):
    """The unweighted content terms and, as "g_loss", their weighted sum."""
    terms = {"mse": losses.mse(hr, sr)}
    total = weights.mse * terms["mse"]
    if features is not None:
        terms["vgg"] = losses.vgg(features(hr, training=False), features(sr, training=False))
        total += weights.vgg * terms["vgg"]
    return terms | {"g_loss": total}


def _add_adversarial(terms, fake_logits, weights, optimizer):
    term = losses.adversarial(fake_logits)
    total = terms["g_loss"] + weights.adversarial * term
    return optimizers.scale_loss(optimizer, total), terms | {"adversarial": term, "g_loss": total}


class _Snapshot:
    """Values of variables, taken when a step begins, to be put back if it must leave them alone."""

    def __init__(self, variables):
        self.variables = variables
        self.values = [tf.identity(variable.value) for variable in variables]

    def restore_unless(self, keep):
        for variable, old in zip(self.variables, self.values):
            variable.assign(tf.where(keep, variable.value, old))


class _Statistics(_Snapshot):
    """BN's moving statistics, which change in the forward pass, before anybody knows whether the step is good.

    They can be poisoned while every gradient is finite: a ReLU behind the BN turns NaN into 0.
    """

    def __init__(self, *models):
        super().__init__([variable for model in models for variable in model.non_trainable_variables])

    def are_finite(self):
        return optimizers.all_finite([variable.value for variable in self.variables])

    def keep_if(self, finite):
        self.restore_unless(finite)
