"""The losses and gradients of a step of each phase; every network runs once a step for each of its inputs.

What becomes of the gradients is in `training.update`.
"""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from srgan_tf.models.baselines import BUILDERS, Luma, loss_border, with_recursions
from srgan_tf.training import losses, optimizers
from srgan_tf.training.update import Updater


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """The weights of the terms of G's loss.

    Attributes:
        mse: Of the MSE between pictures in [-1, 1].
        vgg: Of the mean squared difference of VGG19's features; unused without `features`.
        adversarial: Of -log D(G(LR)); unused in the content-only step.
        consistency: Of the mean squared difference between LR and SR reduced again; it is not computed at 0.
    """

    mse: float = 1.0
    vgg: float = 0.0
    adversarial: float = 0.0
    consistency: float = 0.0


def to_network(pictures: tf.Tensor) -> tf.Tensor:
    """uint8 [0, 255] to float32 [-1, 1]; the same as `imaging.color.to_network`, inside the graph."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1


def loss_region(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """What of a model's pictures, and of HR beside them, its content loss compares.

    Args:
        model: G, all of whose picture it is; or a model of `models.baselines`: Y alone, without `loss_border` pixels.

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
        remaining: For DRCN, of `optimizers.LearningRate`. Its loss is the sum of the MSE and of the mean of its
            recursions' own, (1 - a) and a times: Kim et al. 2016, section 3.3. They let a fall while training: it is
            `remaining(step)`.
        **options: Of `training.update.Updater`.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`: LR crops uint8 `(N, h, w, 3)`, HR crops uint8
        `(N, H, W, 3)`, N a multiple of `accumulate`; under a `tf.distribute` strategy what each replica has of them.
        With `freeze_bn` (a Python bool) G's BN uses its moving statistics. `"skipped"` is 1 where a gradient or one
        of BN's statistics was not finite: then nothing has changed but the loss scale.
    """
    deep, region = with_recursions(generator), loss_region(generator)

    def passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as tape:
            if deep is None:
                sr = generator(lr, training=not freeze_bn)
            else:
                sr, recursions = deep(lr, training=not freeze_bn)
            hr, sr = region(hr), region(tf.ensure_shape(sr, hr.shape))  # whose sides convolutions have lost
            terms = _content_terms(lr, hr, sr, weights, features)
            if deep is not None:
                alpha = remaining(optimizers.iterations(optimizer))
                terms["recursions"] = losses.mse(hr, recursions)
                terms["g_loss"] += weights.mse * alpha * (terms["recursions"] - terms["mse"])
            scaled = optimizers.scale_loss(optimizer, terms["g_loss"])
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

    G and D are updated from the same forward passes (one G, one D(fake), one D(real), one VGG each of fake and real),
    so G meets the D of the step before. With `sequential`, D is updated first and sees G's pictures once more, which is
    the slides' order and costs another pass of D; and without XLA, which sees that it is the same, of G.

    Args:
        generator: G.
        discriminator: D, giving logits.
        g_optimizer: Of G, built.
        d_optimizer: Of D, built.
        weights: Of the terms of G's loss.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        sequential: Update D first, after all micro-batches, of which it sees all once more.
        **options: Of `training.update.Updater`.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`, see `make_content_step`. If a gradient of either
        network is not finite, neither changes.
    """

    def discriminator_loss(hr, sr):
        """D's terms, its scaled loss, and its logits of `sr`."""
        real_logits = discriminator(hr, training=True)
        fake_logits = discriminator(sr, training=True)
        d_loss = losses.discriminator(real_logits, fake_logits)
        terms = {
            "d_loss": d_loss,
            "d_real": tf.reduce_mean(tf.sigmoid(real_logits)),
            "d_fake": tf.reduce_mean(tf.sigmoid(fake_logits)),
        }
        return terms, optimizers.scale_loss(d_optimizer, d_loss), fake_logits

    def generator_loss(lr, hr, sr, fake_logits):
        """G's terms and its scaled loss."""
        terms = _content_terms(lr, hr, sr, weights, features)
        adversarial = losses.adversarial(fake_logits)
        total = terms["g_loss"] + weights.adversarial * adversarial
        return terms | {"adversarial": adversarial, "g_loss": total}, optimizers.scale_loss(g_optimizer, total)

    def both_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as g_tape:
            sr = generator(lr, training=not freeze_bn)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sr)  # D's loss is not followed into G
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


def _content_terms(lr, hr, sr, weights, features):
    """The unweighted content terms and, as "g_loss", their weighted sum."""
    terms = {"mse": losses.mse(hr, sr)}
    total = weights.mse * terms["mse"]
    if features is not None:
        terms["vgg"] = losses.vgg(features(hr, training=False), features(sr, training=False))
        total += weights.vgg * terms["vgg"]
    if weights.consistency:
        sr = tf.ensure_shape(sr, hr.shape)  # which convolutions of unknown sides have lost
        terms["consistency"] = losses.consistency(lr, sr)
        total += weights.consistency * terms["consistency"]
    return terms | {"g_loss": total}
