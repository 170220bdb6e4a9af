"""How a step runs its networks: on every replica, over one micro-batch after the other."""

import functools

import tensorflow as tf


class MicroBatches:
    """Runs the parts of a step, with gradients as of a large batch in the memory of a small one.

    The mean of the micro-batches' gradients is the gradient of the whole batch's mean loss, as long as no layer looks
    at more than one crop at a time. BN in training mode does: it takes its statistics from each micro-batch.

    A step of one micro-batch is one program. One of several is made of programs that are called one after the other,
    so that the memory of one micro-batch is free before the next begins.

    The parts run under the `tf.distribute` strategy in whose scope this is made.

    Args:
        count: Micro-batches of a step.
        xla: Compile with XLA.

    Attributes:
        count: As given.
        replicas: Of the strategy; 1 without one.
    """

    def __init__(self, count=1, xla=True):
        self.count = count
        self._strategy = tf.distribute.get_strategy()
        self.replicas = self._strategy.num_replicas_in_sync
        self._compile = functools.partial(tf.function, jit_compile=xla, autograph=False)

    def step(self, function):
        """A step, which is compiled as a whole if it can be."""
        return self._compile(function) if self.count == 1 else function

    def part(self, function):
        """A part of a step, which is compiled if the step is not; it runs outside the replicas."""
        part = functools.partial(self._in_scope, function)
        return self._compile(part) if self.count > 1 else part

    def _in_scope(self, function, *arguments):
        with self._strategy.scope():
            return function(*arguments)

    def on_replicas(self, function):
        """A part of a step that runs on every replica; results are as `tf.distribute.Strategy.run` gives them."""
        return self.part(lambda *arguments: self._strategy.run(function, arguments))

    def first(self, values):
        """What the first replica of this process has, of values that are the same on all."""
        return tf.nest.map_structure(lambda value: self._strategy.experimental_local_results(value)[0], values)

    def mean(self, function):
        """The mean of what a function gives over the micro-batches; on every replica its own.

        Args:
            function: `function(lr, hr, freeze_bn) -> structure of float tensors`, of one micro-batch.

        Returns:
            A function of the same arguments, `lr` and `hr` of all micro-batches of a step: the first dimension is a
            multiple of `count`.
        """

        def one(lr, hr, freeze_bn, number):
            if self.count == 1:
                return function(lr, hr, freeze_bn)
            lr, hr = (tf.reshape(x, [self.count, x.shape[0] // self.count, *x.shape[1:]])[number] for x in (lr, hr))
            return tf.nest.map_structure(lambda value: value / self.count, function(lr, hr, freeze_bn))

        one = self.on_replicas(one)
        add = self.on_replicas(lambda *structures: tf.nest.map_structure(tf.add, *structures))

        def mean(lr, hr, freeze_bn):
            total = one(lr, hr, freeze_bn, tf.constant(0))
            for number in range(1, self.count):
                total = add(total, one(lr, hr, freeze_bn, tf.constant(number)))
            return total

        return mean

    def over_replicas(self, structure):
        """The mean of float32 tensors over all replicas; to be called on each of them."""
        if self.replicas == 1:
            return structure
        # An argument of a compiled part has no device, and the reduction asks for it.
        placed = tf.nest.map_structure(tf.identity, structure)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, placed)
