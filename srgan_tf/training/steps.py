"""One optimisation step of each phase, in TensorFlow's graph; every network runs once a step for each of its inputs."""

import dataclasses

import tensorflow as tf

from srgan_tf.models.baselines import BUILDERS, Luma, loss_border, with_recursions
from srgan_tf.training import losses, optimizers
from srgan_tf.training.accumulation import MicroBatches


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


def to_network(pictures):
    """uint8 [0, 255] to float32 [-1, 1]; the same as `imaging.color.to_network`, inside the graph."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1


def what_counts(model):
    """Of pictures that a model makes, and of HR beside them, what its content loss is of.

    Args:
        model: G, all of whose picture counts; or a model of `models.baselines`: Y alone, without its `loss_border`.

    Returns:
        A function from `(N, H, W, 3)` to `(N, H', W', C)`.
    """
    if model.name not in BUILDERS:
        return lambda pictures: pictures
    to_y, cut = Luma(dtype="float32"), loss_border(model)

    def inner_y(pictures):
        end = pictures.shape[1] - cut
        return to_y(pictures)[:, cut:end, cut:end]

    return inner_y


def make_content_step(
    generator, optimizer, weights, features=None, *, remaining=None, clip_norm=0.0, accumulate=1, xla=True
):
    """The step of SRResNet: G on its content loss.

    Args:
        generator: G.
        optimizer: Of G, built; a `keras.optimizers.LossScaleOptimizer` under mixed_float16.
        weights: `LossWeights`.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        remaining: For DRCN, of `optimizers.LearningRate`. Its loss is the sum of the MSE and of the mean of its
            recursions' own, (1 - a) and a times: Kim et al. 2016, section 3.3. They let a fall while training: it is
            `remaining(step)`.
        clip_norm: Largest global norm of the gradients, which are scaled down to it; 0: as they are.
        accumulate: Micro-batches of a step, whose gradients are averaged, see `training.accumulation`.
        xla: Compile with XLA.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`: LR crops uint8 `(N, h, w, 3)`, HR crops uint8
        `(N, H, W, 3)`, N a multiple of `accumulate`; under a `tf.distribute` strategy what each replica has of them.
        With `freeze_bn` (a Python bool) G's BN uses its moving statistics. `"skipped"` is 1 where a gradient or one
        of BN's statistics was not finite: then nothing has changed but the loss scale.
    """
    players = {"g": (generator, optimizer)}
    deep, counted = with_recursions(generator), what_counts(generator)

    def passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as tape:
            if deep is None:
                sr = generator(lr, training=not freeze_bn)
            else:
                sr, recursions = deep(lr, training=not freeze_bn)
            hr, sr = counted(hr), counted(tf.ensure_shape(sr, hr.shape))  # whose sides convolutions have lost
            terms = _content_terms(lr, hr, sr, weights, features)
            if deep is not None:
                alpha = remaining(optimizers.iterations(optimizer))
                terms["recursions"] = losses.mse(hr, recursions)
                terms["g_loss"] += weights.mse * alpha * (terms["recursions"] - terms["mse"])
            scaled = optimizers.scale_loss(optimizer, terms["g_loss"])
        return {"g": tape.gradient(scaled, generator.trainable_variables)}, terms

    return _simultaneous(players, passes, clip_norm, MicroBatches(accumulate, xla))


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
    accumulate=1,
    xla=True,
):
    """The step of SRGAN: G against D.

    G and D are updated from the same forward passes (one G, one D(fake), one D(real), one VGG each of fake and real),
    so G meets the D of the step before. With `sequential`, D is updated first and judges G's pictures once more,
    which is the slides' order and costs another pass of D; and without XLA, which sees that it is the same, of G.

    Args:
        generator: G.
        discriminator: D, giving logits.
        g_optimizer: Of G, built.
        d_optimizer: Of D, built.
        weights: `LossWeights`.
        features: A VGG19 of `models.vgg.build_vgg`, or None for the MSE alone.
        sequential: Update D first.
        clip_norm: Largest global norm of either network's gradients, which are scaled down to it; 0: as they are.
        accumulate: Micro-batches of a step, see `make_content_step`. With `sequential`, D is updated after all of
            them, and all of them are judged once more.
        xla: Compile with XLA.

    Returns:
        `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`, see `make_content_step`. If a gradient of either
        network is not finite, neither changes.
    """
    players = {"g": (generator, g_optimizer), "d": (discriminator, d_optimizer)}

    def judge(hr, sr):
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

    def convince(lr, hr, sr, fake_logits):
        """G's terms and its scaled loss."""
        terms = _content_terms(lr, hr, sr, weights, features)
        adversarial = losses.adversarial(fake_logits)
        total = terms["g_loss"] + weights.adversarial * adversarial
        return terms | {"adversarial": adversarial, "g_loss": total}, optimizers.scale_loss(g_optimizer, total)

    def both_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as inside:
            sr = generator(lr, training=not freeze_bn)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sr)  # D's loss is not followed into G
            d_terms, d_scaled, fake_logits = judge(hr, sr)
            g_terms, g_scaled = convince(lr, hr, sr, fake_logits)
        gradients = {
            "g": inside.gradient(sr, generator.trainable_variables, tape.gradient(g_scaled, sr)),
            "d": tape.gradient(d_scaled, discriminator.trainable_variables),
        }
        return gradients, d_terms | g_terms

    def d_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        sr = generator(lr, training=not freeze_bn)
        with tf.GradientTape() as tape:
            terms, scaled, _ = judge(hr, sr)
        return {"d": tape.gradient(scaled, discriminator.trainable_variables)}, terms

    def g_passes(lr, hr, freeze_bn):
        lr, hr = to_network(lr), to_network(hr)
        with tf.GradientTape() as tape:
            sr = generator(lr, training=not freeze_bn)
            terms, scaled = convince(lr, hr, sr, discriminator(sr, training=True))
        return {"g": tape.gradient(scaled, generator.trainable_variables)}, terms

    batches = MicroBatches(accumulate, xla)
    if sequential:
        return _d_first(players, d_passes, g_passes, clip_norm, batches)
    return _simultaneous(players, both_passes, clip_norm, batches)


def _simultaneous(players, passes, clip_norm, batches):
    """A step that updates all networks from one set of passes.

    Args:
        players: A dict from "g" and "d" to `(network, optimizer)`.
        passes: `passes(lr, hr, freeze_bn) -> (a dict from players to their scaled gradients, a dict of scalars)`.
        clip_norm: See `make_content_step`.
        batches: A `MicroBatches`.
    """
    statistics = _Kept([variable for network, _ in players.values() for variable in network.non_trainable_variables])
    begin, mean, combine = batches.part(statistics.values), batches.mean(passes), _combine(players, clip_norm, batches)

    def finish(before, moves, terms):
        terms, finite = batches.first(terms), batches.first({name: move["finite"] for name, move in moves.items()})
        # BN's moving statistics can be poisoned while every gradient is finite: a ReLU behind it turns NaN into 0.
        good = tf.reduce_all([*finite.values(), statistics.are_finite()])
        for name, (network, optimizer) in players.items():
            variables = network.trainable_variables
            optimizers.update(optimizer, moves[name]["gradients"], variables, finite[name], good)
        statistics.restore_unless(good, before)
        return terms | {"skipped": 1 - tf.cast(good, tf.float32)}

    finish = batches.part(finish)

    def step(lr, hr, freeze_bn=False):
        before = begin()
        return finish(before, *combine(*mean(lr, hr, freeze_bn)))

    return batches.step(step)


def _d_first(players, d_passes, g_passes, clip_norm, batches):
    """A step that updates D before G's passes; see `_simultaneous`."""
    (generator, g_optimizer), (discriminator, d_optimizer) = players["g"], players["d"]
    g_statistics, d_statistics = (_Kept(network.non_trainable_variables) for network in (generator, discriminator))
    # D moves before G's gradients are known, so its old state is kept in case they are not finite.
    d_state = _Kept([*discriminator.trainable_variables, *d_optimizer.variables])
    begin = batches.part(lambda: (g_statistics.values(), d_statistics.values(), d_state.values()))
    d_mean, g_mean, combine = batches.mean(d_passes), batches.mean(g_passes), _combine(players, clip_norm, batches)

    def update_d(before, moves, terms):
        terms, finite = batches.first((terms, moves["d"]["finite"]))
        optimizers.update(d_optimizer, moves["d"]["gradients"], discriminator.trainable_variables, finite, finite)
        # G's passes come once more, and shall move them once.
        g_statistics.restore_unless(False, before[0])
        return terms, finite

    def update_g(before, d_terms, d_finite, moves, terms):
        terms, finite = batches.first((terms, moves["g"]["finite"]))
        good = tf.reduce_all([finite, d_finite, g_statistics.are_finite(), d_statistics.are_finite()])
        optimizers.update(g_optimizer, moves["g"]["gradients"], generator.trainable_variables, finite, good)
        g_statistics.restore_unless(good, before[0])
        d_statistics.restore_unless(good, before[1])
        d_state.restore_unless(tf.logical_or(good, tf.logical_not(d_finite)), before[2])
        return d_terms | terms | {"skipped": 1 - tf.cast(good, tf.float32)}

    update_d, update_g = batches.part(update_d), batches.part(update_g)

    def step(lr, hr, freeze_bn=False):
        before = begin()
        d_terms, d_finite = update_d(before, *combine(*d_mean(lr, hr, freeze_bn)))
        return update_g(before, d_terms, d_finite, *combine(*g_mean(lr, hr, freeze_bn)))

    return batches.step(step)


def _combine(players, clip_norm, batches):
    """From what each replica found to what all of them found: moves of the players, and terms with the norms."""

    def combine(gradients, terms):
        names = list(terms)
        gradients, values = batches.over_replicas((gradients, tf.stack([terms[name] for name in names])))
        terms, moves = dict(zip(names, tf.unstack(values))), {}
        for name, found in gradients.items():
            found, norm, finite = optimizers.unscale(players[name][1], found, clip_norm)
            moves[name] = {"gradients": found, "finite": finite}
            terms[f"{name}_gradient_norm"] = norm
        return moves, terms

    return batches.on_replicas(combine)


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


class _Kept:
    """Variables whose values are taken when a step begins, to be put back if it must leave them alone."""

    def __init__(self, variables):
        self._variables = variables

    def values(self):
        return [tf.identity(variable.value) for variable in self._variables]

    def are_finite(self):
        return optimizers.all_finite([variable.value for variable in self._variables])

    def restore_unless(self, keep, values):
        for variable, old in zip(self._variables, values):
            variable.assign(tf.where(keep, variable.value, old))
