"""The losses and gradients of a step of each phase; `training.update` applies the gradients.

Every network runs once a step for each of its inputs.
"""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from srgan_tf.models.baselines import BUILDERS, Luma, loss_border, with_recursions
from srgan_tf.training import losses
from srgan_tf.training.update import Updater


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weights of the terms of G's loss.

    Attributes:
        mse: Weight of the MSE between images in [-1, 1].
        vgg: Weight of the mean squared difference of VGG19's features; unused without `features`.
        adversarial: Weight of -log D(G(LR)); unused in the content-only step.
        consistency: Weight of the MSE between HR and SR, both downscaled; at 0 that is not computed.
    """

    mse: float = 1.0
    vgg: float = 0.0
    adversarial: float = 0.0
    consistency: float = 0.0


def to_network(pictures: tf.Tensor) -> tf.Tensor:
    """uint8 [0, 255] to float32 [-1, 1]; the same as `imaging.color.to_network`, inside the graph."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1


def loss_region(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The part of SR and HR that the content loss of a model compares.

    Args:
        model: G, whose whole image counts; or a model of `models.baselines`, of which Y counts, without `loss_border`
            pixels at each border.

    Returns:
        A function from `(N, H, W, 3)` to `(N, H', W', C)`.
    """
    if model.name not in BUILDERS:
        return lambda pictures: pictures
    to_y, border = Luma(dtype="float32"), loss_border(model)

    def inner_y(pictures):
        end = pictures.shape[1] - border
        return to_y(pictures)[:, border:end, border:end]

    return inner_y


def make_content_step(
    generator: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    weights: LossWeights,
    features: keras.Model | None = None,
    *,
    remaining: Callable | None = None,
    **options,
) -> Callable[..., dict[str, tf.Tensor]]:
    """The step of SRResNet: G on its content loss.

    Args:
        generator: G.
        optimizer: Of G, built; a `keras.optimizers.LossScaleOptimizer` under mixed_float16.
        weights: Of the terms of the loss.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        remaining: `LearningRate.remaining`, for DRCN alone. Its loss is (1 - a) times the MSE plus a times the mean MSE
            of its recursions (Kim et al. 2016, section 3.3); the paper lets a decay, here it is `remaining(step)`.
        **options: See `training.update.Updater`.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`: LR crops uint8 `(N, h, w, 3)`, HR crops uint8
        `(N, H, W, 3)`, N a multiple of `accumulate`; under a `tf.distribute` strategy each replica's share of them.
        With `freeze_bn` (a Python bool) G's BN uses its moving statistics. `"skipped"` is 1 if a gradient or one of
        BN's statistics was not finite: then nothing has changed but the loss scale.
    """
    deep, region = with_recursions(generator), loss_region(generator)

    def passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as tape:
            if deep is None:
                sr = generator(lr, training=not freeze_bn)
            else:
                sr, recursions = deep(lr, training=not freeze_bn)
            hr, sr = region(hr), region(tf.ensure_shape(sr, hr.shape))  # convolutions lose the static shape
            terms = content_terms(lr, hr, sr, weights, features)
            if deep is not None:
                alpha = remaining(optimizer.iterations)
                terms["recursions"] = losses.mse(hr, recursions)
                terms["g_loss"] += weights.mse * alpha * (terms["recursions"] - terms["mse"])
            scaled = optimizer.scale_loss(terms["g_loss"])
        return {"g": tape.gradient(scaled, generator.trainable_variables)}, terms

    return Updater({"g": (generator, optimizer)}, **options).simultaneous(passes)


def make_adversarial_step(
    generator: keras.Model,
    discriminator: keras.Model,
    g_optimizer: keras.optimizers.Optimizer,
    d_optimizer: keras.optimizers.Optimizer,
    weights: LossWeights,
    features: keras.Model | None = None,
    *,
    sequential: bool = False,
    **options,
) -> Callable[..., dict[str, tf.Tensor]]:
    """The step of SRGAN: G against D.

    G and D are updated from the same forward passes (one of G, one D(fake), one D(real), and one of VGG for fake and
    for real each), so G is trained against the D of the step before. With `sequential`, as on the slides, D is updated
    first, and G is trained against the new D. That costs another pass of D; without XLA, which merges the two passes of
    G, another one of G as well.

    Args:
        generator: G.
        discriminator: D, giving logits.
        g_optimizer: Of G, built.
        d_optimizer: Of D, built.
        weights: Of the terms of G's loss.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        sequential: Whether to update D first, from all micro-batches, and then G.
        **options: See `training.update.Updater`.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`, see `make_content_step`. If a gradient of either
        network is not finite, neither changes.
    """

    def discriminator_loss(hr, sr):
        """D's terms, its scaled loss, and its logits for `sr`."""
        real_logits = discriminator(hr, training=True)
        fake_logits = discriminator(sr, training=True)
        d_loss = losses.discriminator(real_logits, fake_logits)
        terms = {
            "d_loss": d_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real_logits)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        return terms, d_optimizer.scale_loss(d_loss), fake_logits

    def generator_loss(lr, hr, sr, fake_logits):
        """G's terms and its scaled loss."""
        terms = content_terms(lr, hr, sr, weights, features)
        adversarial = losses.adversarial(fake_logits)
        total = terms["g_loss"] + weights.adversarial * adversarial
        return terms | {"adversarial": adversarial, "g_loss": total}, g_optimizer.scale_loss(total)

    def both_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as g_tape:
            sr = generator(lr, training=not freeze_bn)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sr)  # the tape starts at SR, so that D's loss does not reach G
            d_terms, d_scaled, fake_logits = discriminator_loss(hr, sr)
            g_terms, g_scaled = generator_loss(lr, hr, sr, fake_logits)
        gradients = {
            "g": g_tape.gradient(sr, generator.trainable_variables, tape.gradient(g_scaled, sr)),
            "d": tape.gradient(d_scaled, discriminator.trainable_variables),
        }
        return gradients, d_terms | g_terms

    def d_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        sr = generator(lr, training=not freeze_bn)
        with tf.GradientTape() as tape:
            terms, scaled, _ = discriminator_loss(hr, sr)
        return {"d": tape.gradient(scaled, discriminator.trainable_variables)}, terms

    def g_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as tape:
            sr = generator(lr, training=not freeze_bn)
            terms, scaled = generator_loss(lr, hr, sr, discriminator(sr, training=True))
        return {"g": tape.gradient(scaled, generator.trainable_variables)}, terms

    updater = Updater({"g": (generator, g_optimizer), "d": (discriminator, d_optimizer)}, **options)
    return updater.discriminator_first(d_passes, g_passes) if sequential else updater.simultaneous(both_passes)


def content_terms(
    lr: tf.Tensor, hr: tf.Tensor, sr: tf.Tensor, weights: LossWeights, features: keras.Model | None
) -> dict[str, tf.Tensor]:
    """The unweighted content terms of images in [-1, 1] and, as "g_loss", their weighted sum."""
    terms = {"mse": losses.mse(hr, sr)}
    total = weights.mse * terms["mse"]
    if features is not None:
        terms["vgg"] = losses.vgg(features(hr, training=False), features(sr, training=False))
        total += weights.vgg * terms["vgg"]
    if weights.consistency:
        sr = tf.ensure_shape(sr, hr.shape)  # convolutions lose the static shape
        terms["consistency"] = losses.consistency(hr, sr, hr.shape[1] // lr.shape[1])
        total += weights.consistency * terms["consistency"]
    return terms | {"g_loss": total}
