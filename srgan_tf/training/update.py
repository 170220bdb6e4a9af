"""Updates weights by gradients: averages them over micro-batches and devices, checks, clips and applies them.

A step whose gradients or BN statistics are not finite is skipped: it changes nothing but the loss scale.
"""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from srgan_tf.training.optimizers import has_loss_scale, loss_scale


class Updater:
    """Makes steps that update networks by their gradients.

    The mean of the micro-batches' gradients is the gradient of the whole batch's mean loss, as long as no layer looks
    at more than one crop at a time. BN in training mode does: it takes its statistics from each micro-batch.

    A step of one micro-batch is compiled as a single function. A step of several calls its parts, compiled one by one,
    in turn, so that the memory of one micro-batch is free before the next starts. All parts run under the
    `tf.distribute` strategy in whose scope the `Updater` is made, with the same weights on every replica.

    Args:
        trained: A dict from "g" and, in the adversarial phase, "d" to `(network, optimizer)`.
        clip_norm: Largest global norm of a network's gradients; larger ones are scaled down to it. 0: no clipping.
        accumulate: Number of micro-batches in a step.
        xla: Whether to compile with XLA.
    """

    def __init__(
        self,
        trained: dict[str, tuple[keras.Model, keras.optimizers.Optimizer]],
        *,
        clip_norm: float = 0.0,
        accumulate: int = 1,
        xla: bool = True,
    ):
        self._trained, self._clip_norm, self._count = trained, clip_norm, accumulate
        self._strategy = tf.distribute.get_strategy()
        self._compile = functools.partial(tf.function, jit_compile=xla, autograph=False)

    def simultaneous(self, passes: Callable) -> Callable:
        """A step that updates all networks from the same forward and backward passes.

        Args:
            passes: `passes(lr, hr, freeze_bn) -> (gradients, terms)` for one micro-batch on one replica: a dict from
                "g" and "d" to the gradients of the scaled loss, and a dict of scalars.

        Returns:
            `step(lr, hr, freeze_bn=False) -> dict of float32 scalars`: the terms, the norms of the gradients, and
            "skipped", 1 or 0.
        """
        statistics = SavedValues([v for network, _ in self._trained.values() for v in network.non_trainable_variables])
        save, find_gradients = self._part(statistics.values), self._gradients(passes)

        @self._part
        def finish(saved, gradients, finite, terms):
            # BN's moving statistics can be poisoned while every gradient is finite: a ReLU behind it turns NaN into 0.
            good = tf.reduce_all([*finite.values(), statistics.are_finite()])
            for name in self._trained:
                self._apply(name, gradients, finite, good)
            statistics.restore_unless(good, saved)
            return terms | {"skipped": 1 - tf.cast(good, tf.float32)}

        def step(lr, hr, freeze_bn=False):
            saved = save()
            return finish(saved, *find_gradients(lr, hr, freeze_bn))

        return self._step(step)

    def discriminator_first(self, d_passes: Callable, g_passes: Callable) -> Callable:
        """A step that updates D before the passes of G; see `simultaneous`."""
        (generator, _), (discriminator, d_optimizer) = self._trained["g"], self._trained["d"]
        g_statistics, d_statistics = (SavedValues(net.non_trainable_variables) for net in (generator, discriminator))
        # D is updated before G's gradients are known, so its old state is saved in case they are not finite.
        d_state = SavedValues([*discriminator.trainable_variables, *d_optimizer.variables])
        find_d_gradients, find_g_gradients = self._gradients(d_passes), self._gradients(g_passes)

        @self._part
        def save():
            return g_statistics.values(), d_statistics.values(), d_state.values()

        @self._part
        def update_d(saved, gradients, finite, terms):
            self._apply("d", gradients, finite, finite["d"])
            # G runs again in its own passes; its statistics must change only once a step.
            g_statistics.restore_unless(False, saved[0])
            return finite["d"], terms

        @self._part
        def update_g(saved, d_finite, d_terms, gradients, finite, terms):
            good = tf.reduce_all([finite["g"], d_finite, g_statistics.are_finite(), d_statistics.are_finite()])
            self._apply("g", gradients, finite, good)
            g_statistics.restore_unless(good, saved[0])
            d_statistics.restore_unless(good, saved[1])
            d_state.restore_unless(tf.logical_or(good, tf.logical_not(d_finite)), saved[2])
            return d_terms | terms | {"skipped": 1 - tf.cast(good, tf.float32)}

        def step(lr, hr, freeze_bn=False):
            saved = save()
            d_finite, d_terms = update_d(saved, *find_d_gradients(lr, hr, freeze_bn))
            return update_g(saved, d_finite, d_terms, *find_g_gradients(lr, hr, freeze_bn))

        return self._step(step)

    def _gradients(self, passes):
        """A function that returns `(gradients, finite, terms)` of a step: each network's gradients on every replica,
        whether they are finite, and the scalars."""
        mean = self.mean(passes)

        @self._on_replicas
        def combine(gradients, terms):
            gradients, terms = self._over_replicas(gradients, terms)
            checked, finite, norms = {}, {}, {}
            for name, found in gradients.items():
                checked[name], norm, finite[name] = unscale(self._trained[name][1], found, self._clip_norm)
                norms[f"{name}_gradient_norm"] = norm
            return checked, finite, terms | norms

        def find_gradients(lr, hr, freeze_bn):
            gradients, finite, terms = combine(*mean(lr, hr, freeze_bn))
            # They are the same on all replicas, so the first one's are enough.
            finite, terms = tf.nest.map_structure(
                lambda value: self._strategy.experimental_local_results(value)[0], (finite, terms)
            )
            return gradients, finite, terms

        return find_gradients

    def mean(self, passes: Callable) -> Callable:
        """The mean of the results of `passes` over the micro-batches of each replica.

        Args:
            passes: `passes(lr, hr, freeze_bn) -> structure of float tensors`, for one micro-batch.

        Returns:
            A function of the same arguments for a whole step: the first dimension of `lr` and `hr` is a multiple of the
            number of micro-batches.
        """

        @self._on_replicas
        def micro_batch(lr, hr, freeze_bn, number):
            if self._count == 1:
                return passes(lr, hr, freeze_bn)
            lr, hr = (tf.reshape(x, [self._count, x.shape[0] // self._count, *x.shape[1:]])[number] for x in (lr, hr))
            return tf.nest.map_structure(lambda value: value / self._count, passes(lr, hr, freeze_bn))

        @self._on_replicas
        def add(*structures):
            return tf.nest.map_structure(tf.add, *structures)

        def mean(lr, hr, freeze_bn):
            total = micro_batch(lr, hr, freeze_bn, tf.constant(0))
            for number in range(1, self._count):
                total = add(total, micro_batch(lr, hr, freeze_bn, tf.constant(number)))
            return total

        return mean

    def _over_replicas(self, gradients, terms):
        """The means over all replicas; called on each replica."""
        if self._strategy.num_replicas_in_sync == 1:
            return gradients, terms
        values = (gradients, tf.stack([*terms.values()]))  # one reduction for all terms
        # The reduction needs tensors with a device, which arguments of a compiled function do not have.
        values = tf.nest.map_structure(tf.identity, values)
        replica = tf.distribute.get_replica_context()
        gradients, values = replica.all_reduce(tf.distribute.ReduceOp.MEAN, values)
        return gradients, dict(zip(terms, tf.unstack(values)))

    def _apply(self, name, gradients, finite, good):
        network, optimizer = self._trained[name]
        apply_gradients(optimizer, gradients[name], network.trainable_variables, finite[name], good)

    def _step(self, function):
        """Compiles a step as a whole if it has one micro-batch."""
        return self._compile(function) if self._count == 1 else function

    def _part(self, function):
        """Compiles a part of a step, unless the step is compiled as a whole; the part runs outside of the replicas."""

        def part(*arguments):
            with self._strategy.scope():
                return function(*arguments)

        return self._compile(part) if self._count > 1 else part

    def _on_replicas(self, function):
        """As `_part`, for a part that runs on every replica; it returns what `tf.distribute.Strategy.run` returns."""
        return self._part(lambda *arguments: self._strategy.run(function, arguments))


class SavedValues:
    """Keras variables whose values are saved at the start of a step and restored if it is skipped."""

    def __init__(self, variables: list):
        self._variables = variables

    def values(self) -> list[tf.Tensor]:
        """Copies of the current values."""
        return [tf.identity(variable.value) for variable in self._variables]

    def are_finite(self) -> tf.Tensor:
        """Whether all values are finite, a bool scalar."""
        return all_finite([variable.value for variable in self._variables])

    def restore_unless(self, keep: tf.Tensor | bool, saved: list[tf.Tensor]) -> None:
        """Restores values that `values` returned, unless the bool scalar `keep` is true."""
        for variable, old in zip(self._variables, saved):
            variable.assign(tf.where(keep, variable.value, old))


def all_finite(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Whether every number of every tensor is finite, a bool scalar."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])


def unscale(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], clip_norm: float = 0.0
) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """Divides gradients by the loss scale, checks whether they are finite, and clips them.

    Args:
        optimizer: Of `optimizers.make_optimizer`.
        gradients: Of the scaled loss, `optimizer.scale_loss(loss)`.
        clip_norm: Largest global norm; larger gradients are scaled down to it. 0: no clipping.

    Returns:
        `(gradients, norm, finite)`: the float32 gradients of the loss itself; their global norm before clipping, a
        float32 scalar; and whether all of them are finite, a bool scalar.
    """
    gradients = [tf.cast(gradient, tf.float32) / loss_scale(optimizer) for gradient in gradients]
    finite = all_finite(gradients)
    norm = tf.linalg.global_norm(gradients)
    if clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, norm)
    return gradients, norm, finite


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[tf.Tensor],
    variables: list,
    own_finite: tf.Tensor,
    good: tf.Tensor,
) -> None:
    """Takes one step of an optimizer if `good`, and updates its loss scale. Not to be called on a replica.

    `LossScaleOptimizer.apply` checks only its own gradients, and under `tf.distribute` each replica only its own part:
    a network or replica with finite gradients would step without the others. So the caller decides here. The scale
    follows that class: halved if its gradients overflow, doubled after `dynamic_growth_steps` good steps.

    Args:
        optimizer: Of `optimizers.make_optimizer`.
        gradients: As `unscale` returned them, the same on every replica.
        variables: The variables that they belong to.
        own_finite: Whether these gradients are finite, a bool scalar.
        good: Whether to take the step, a bool scalar; implies `own_finite`.
    """
    plain = optimizer.inner_optimizer if has_loss_scale(optimizer) else optimizer
    extended = tf.distribute.get_strategy().extended

    def apply():
        rate = plain.learning_rate
        # `plain.apply` would sum the gradients over the replicas once more.
        for gradient, variable in zip(gradients, variables):
            extended.update(
                variable.value,
                lambda variable, gradient, rate: plain.update_step(gradient, variable, rate),
                args=(gradient, rate),
                group=False,
            )
        plain.iterations.assign_add(1)
        return 0

    tf.cond(good, apply, lambda: 0)
    if has_loss_scale(optimizer):
        _update_loss_scale(optimizer, own_finite, good)


def _update_loss_scale(optimizer, own_finite, good):
    scale, counter = optimizer.dynamic_scale.value, optimizer.step_counter.value
    zero = tf.zeros_like(counter)
    grows = counter + 1 >= optimizer.dynamic_growth_steps
    scale_after_finite = tf.where(tf.logical_and(good, grows), 2 * scale, scale)
    counter_after_finite = tf.where(good, tf.where(grows, zero, counter + 1), counter)
    optimizer.dynamic_scale.assign(tf.where(own_finite, scale_after_finite, scale / 2))
    optimizer.step_counter.assign(tf.where(own_finite, counter_after_finite, zero))
