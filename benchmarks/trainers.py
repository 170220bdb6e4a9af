"""The training steps that benchmarks/training.py compares: the same networks, losses and first weights.

A program is a class, constructed from what `read_start` returns, the phase ("srresnet" or "srgan"), a batch of uint8
crops `(lr, hr)` on the host and the name of a precision policy, with these methods,

    losses()           the terms of the loss of the step that it takes, `{term: value}`
    run(steps)         as many steps, from the crops on the host, until the last one's loss is there
    on_gpu()           whether it computes on one
    gpu_memory()       the most memory on the GPU until now, bytes

and with `sequential`: whether it updates D before G.

Each imports its framework only when it is constructed.
"""

import contextlib
import math
import os
import statistics
import sys
import time

import numpy as np
from programs import layer_weights, read_model

RATE = 1e-4  # Adam's, as in the slides
# The paper's scale of the features, squared; and the adversarial weight.
VGG_WEIGHT, ADVERSARIAL_WEIGHT = 1 / 12.75**2, 1e-3
TERMS = ("mse", "vgg", "adversarial", "d_loss")
FIRST_SCALE = 2.0**8  # of losses under float16: what frameworks begin with overflows, and they skip their first steps
SKIPPED = "a gradient of the first steps was not finite, so that no step was taken"
PART_ROUNDS = 3


def read_start(weights, vgg_path, random_vgg):
    """What all programs start from, for those that know no Keras.

    Args:
        weights: Of G: a file or the name of shipped ones.
        vgg_path: VGG19 without the top, in Keras' layout; empty: one with random weights (He).
        random_vgg: Where to write that one; a name that ends in `.weights.h5`.

    Returns:
        A dict: what `read_model` gives as "generator"; "discriminator" and "vgg", `{layer: arrays}`; "vgg_path"; and
        "gpu", whether TensorFlow has one.
    """
    from srgan_tf.system.quiet import import_tensorflow

    import_tensorflow()
    import keras
    import tensorflow as tf

    from srgan_tf.models.discriminator import build_discriminator
    from srgan_tf.models.vgg import build_vgg

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if not vgg_path:
        vgg_path = random_vgg
        vgg = keras.applications.VGG19(weights=None, include_top=False)
        for layer in vgg.layers:
            if layer.weights:
                kernel, bias = layer.get_weights()
                deviation = math.sqrt(2 / math.prod(kernel.shape[:3]))
                layer.set_weights([rng.normal(0, deviation, kernel.shape), bias])
        vgg.save_weights(vgg_path)
    return {
        "generator": read_model(weights),
        "discriminator": layer_weights(build_discriminator()),
        "vgg": layer_weights(build_vgg("vgg54", vgg_path)),
        "vgg_path": vgg_path,
        "gpu": bool(tf.config.list_physical_devices("GPU")),
    }


class Ours:
    """The step as train.py makes it."""

    xla_setting, sequential = "auto", False

    def __init__(self, start, phase, batch, precision):
        from srgan_tf.system.quiet import import_tensorflow

        import_tensorflow()
        import tensorflow as tf

        from srgan_tf.models.discriminator import build_discriminator
        from srgan_tf.models.generator import load_generator
        from srgan_tf.models.vgg import build_vgg
        from srgan_tf.training import hardware, optimizers, steps
        from srgan_tf.training.normalization import BatchNormalization

        self.tf, self.batch = tf, batch
        self.device = hardware.find_device()
        hardware.set_precision(precision, self.device)
        self.xla = hardware.compiles_step(self.xla_setting, self.device, False)
        self.generator = load_generator(start["generator"]["path"], normalization=BatchNormalization)
        self.networks = {"G": self.generator}
        if phase == "srgan":
            self.discriminator = build_discriminator(normalization=BatchNormalization)
            for name, arrays in start["discriminator"].items():
                self.discriminator.get_layer(name).set_weights(arrays)
            self.networks["D"] = self.discriminator
            self.features = build_vgg("vgg54", start["vgg_path"])
        rate = optimizers.LearningRate(RATE)
        self.adams = {name: optimizers.make_optimizer(network, rate) for name, network in self.networks.items()}
        if precision == "mixed_float16":
            for adam in self.adams.values():
                adam.dynamic_scale.assign(FIRST_SCALE)
        if phase == "srgan":
            weights = steps.LossWeights(1.0, VGG_WEIGHT, ADVERSARIAL_WEIGHT)
            self.step = steps.make_adversarial_step(
                self.generator,
                self.discriminator,
                self.adams["G"],
                self.adams["D"],
                weights,
                self.features,
                sequential=self.sequential,
                xla=self.xla,
            )
        else:
            self.step = steps.make_content_step(self.generator, self.adams["G"], steps.LossWeights(), xla=self.xla)

    def on_gpu(self):
        return self.device.kind == "GPU"

    def gpu_memory(self):
        return self.tf.config.experimental.get_memory_info("GPU:0")["peak"]

    def run_step(self):
        return self.step(*map(self.tf.constant, self.batch))

    def losses(self):
        terms = self.run_step()
        if terms["skipped"]:
            sys.exit(SKIPPED)
        return {name: float(value) for name, value in terms.items() if name in TERMS}

    def run(self, steps):
        for _ in range(steps):
            terms = self.run_step()
        float(terms["g_loss"])

    def parts(self):
        """Seconds of parts of the step, `{part: seconds}`, each compiled by itself, so that they miss what they share.

        The backward passes are those with their forward pass, less that.
        """
        tf = self.tf
        from srgan_tf.training import steps

        def forward(model, training=True):
            return lambda x: model(x, training=training)

        def backward(model, variables=(), training=True):
            def differentiate(x):
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    loss = tf.reduce_mean(tf.square(tf.cast(model(x, training=training), tf.float32)))
                return tape.gradient(loss, variables or x)

            return differentiate

        def update(adam, variables):
            def apply(*gradients):
                adam.apply(gradients, variables)
                return variables[0].value

            return apply

        lr, hr = map(tf.constant, self.batch)
        small, large = steps.to_network(lr), steps.to_network(hr)
        functions = {
            "input": (lambda lr, hr: (steps.to_network(lr), steps.to_network(hr)), *self.batch),
            "G": (forward(self.generator), small),
            "G, weights": (backward(self.generator, self.generator.trainable_variables), small),
        }
        for name, adam in self.adams.items():
            variables = self.networks[name].trainable_variables
            gradients = [tf.zeros_like(variable) for variable in variables]
            functions[f"Adam, {name}"] = (update(adam, variables), *gradients)
        if "D" in self.networks:
            functions |= {
                "D": (forward(self.discriminator), large),
                "D, weights": (backward(self.discriminator, self.discriminator.trainable_variables), large),
                "D, picture": (backward(self.discriminator), large),
                "VGG": (forward(self.features, False), large),
                "VGG, picture": (backward(self.features, training=False), large),
            }
        seconds = {name: self.part_seconds(function, values) for name, (function, *values) in functions.items()}
        parts = {
            "input": seconds["input"],
            "G forward": seconds["G"],
            "G backward": seconds["G, weights"] - seconds["G"],
        }
        if "D" in self.networks:
            parts |= {
                "D forward, twice": 2 * seconds["D"],
                "D backward to its weights, twice": 2 * (seconds["D, weights"] - seconds["D"]),
                "D backward to the picture": seconds["D, picture"] - seconds["D"],
                "VGG forward, twice": 2 * seconds["VGG"],
                "VGG backward to the picture": seconds["VGG, picture"] - seconds["VGG"],
            }
        return parts | {"Adam": sum(value for name, value in seconds.items() if name.startswith("Adam"))}

    def part_seconds(self, function, values):
        """The median of a few runs of a function, compiled as the step is."""
        tf = self.tf
        compiled = tf.function(function, jit_compile=self.xla)

        def run():
            start = time.perf_counter()
            compiled(*map(tf.constant, values))
            tf.test.experimental.sync_devices()
            return time.perf_counter() - start

        run()
        return statistics.median(run() for _ in range(PART_ROUNDS))


class OursUnderXla(Ours):
    """The same step under XLA."""

    xla_setting = "on"


class OursWithoutXla(Ours):
    """The same step without XLA."""

    xla_setting = "off"


class OursSequential(Ours):
    """The step of --sequential_updates: D first and then once more, as the baseline trainer does."""

    sequential = True


class Torch:
    """The baseline PyTorch trainer: D on D(HR) and D(G(LR)), then G on a new G(LR) under the new D.

    In channels_last, with fused Adam; D is frozen while G learns.
    """

    compiled, sequential = False, True

    def __init__(self, start, phase, batch, precision):
        import torch
        import torch_networks

        self.torch, self.batch, self.phase = torch, batch, phase
        torch.set_num_threads(os.cpu_count())
        torch.backends.cudnn.benchmark = True
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        half = precision.removeprefix("mixed_")
        self.autocast, self.scalers = contextlib.nullcontext, []
        if half != precision:
            self.autocast = lambda: torch.autocast(self.device, getattr(torch, half))
        self.generator = self.place(torch_networks.generator(start["generator"]).train())
        self.g_adam, self.g_scaler = self.optimizer(self.generator, half)
        if phase == "srgan":
            self.discriminator = self.place(torch_networks.Discriminator(start["discriminator"]).train())
            self.d_adam, self.d_scaler = self.optimizer(self.discriminator, half)
            self.features = self.place(torch_networks.Vgg54(start["vgg"]).eval())

    def place(self, network):
        network = network.to(self.device, memory_format=self.torch.channels_last)
        return self.torch.compile(network) if self.compiled else network

    def optimizer(self, network, half):
        """Adam with Keras' epsilon, and the loss scale that float16 needs."""
        adam = self.torch.optim.Adam(network.parameters(), RATE, eps=1e-7, fused=True)
        scaler = self.torch.amp.GradScaler(self.device, FIRST_SCALE, enabled=half == "float16")
        self.scalers.append(scaler)
        return adam, scaler

    def on_gpu(self):
        return self.device == "cuda"

    def gpu_memory(self):
        return self.torch.cuda.max_memory_allocated()

    def pictures(self, array):
        # (N, H, W, C) in memory is what PyTorch calls (N, C, H, W) in channels_last.
        return self.torch.from_numpy(array).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1

    def run_step(self):
        lr, hr = map(self.pictures, self.batch)
        return self.content_step(lr, hr) if self.phase == "srresnet" else self.adversarial_step(lr, hr)

    def losses(self):
        terms = {name: value.item() for name, value in self.run_step().items()}
        if any(scaler.get_scale() < FIRST_SCALE for scaler in self.scalers if scaler.is_enabled()):
            sys.exit(SKIPPED)
        return terms

    def run(self, steps):
        for _ in range(steps):
            terms = self.run_step()
        terms["mse"].item()
        if self.on_gpu():
            self.torch.cuda.synchronize()

    def cross_entropy(self, logits, label):
        logits = logits.float()
        labels = self.torch.full_like(logits, label)
        return self.torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)

    def mse(self, hr, sr):
        return self.torch.nn.functional.mse_loss(sr.float(), hr.float())

    def content_terms(self, hr, sr):
        with self.torch.no_grad():
            expected = self.features(hr)
        return {"mse": self.mse(hr, sr), "vgg": self.mse(expected, self.features(sr))}

    def update(self, adam, scaler, loss):
        adam.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(adam)
        scaler.update()

    def content_step(self, lr, hr):
        with self.autocast():
            loss = self.mse(hr, self.generator(lr))
        self.update(self.g_adam, self.g_scaler, loss)
        return {"mse": loss.detach()}

    def adversarial_step(self, lr, hr):
        with self.autocast():
            with self.torch.no_grad():
                fake = self.generator(lr)
            real_logits, fake_logits = self.discriminator(hr), self.discriminator(fake)
            d_loss = self.cross_entropy(real_logits, 1.0) + self.cross_entropy(fake_logits, 0.0)
        self.update(self.d_adam, self.d_scaler, d_loss)
        self.discriminator.requires_grad_(False)
        with self.autocast():
            fake = self.generator(lr)
            terms = self.content_terms(hr, fake)
            terms["adversarial"] = self.cross_entropy(self.discriminator(fake), 1.0)
            g_loss = terms["mse"] + VGG_WEIGHT * terms["vgg"] + ADVERSARIAL_WEIGHT * terms["adversarial"]
        self.update(self.g_adam, self.g_scaler, g_loss)
        self.discriminator.requires_grad_(True)
        terms["d_loss"] = d_loss
        return {name: term.detach() for name, term in terms.items()}


class TorchShared(Torch):
    """A PyTorch trainer that shares its forward passes as our step does: one G, two D."""

    sequential = False

    def adversarial_step(self, lr, hr):
        with self.autocast():
            fake = self.generator(lr)
            real_logits, fake_logits = self.discriminator(hr), self.discriminator(fake)
            terms = self.content_terms(hr, fake)
            terms["d_loss"] = self.cross_entropy(real_logits, 1.0) + self.cross_entropy(fake_logits, 0.0)
            terms["adversarial"] = self.cross_entropy(fake_logits, 1.0)
            g_loss = terms["mse"] + VGG_WEIGHT * terms["vgg"] + ADVERSARIAL_WEIGHT * terms["adversarial"]
        updates = (
            (self.discriminator, self.d_adam, self.d_scaler, terms["d_loss"]),
            (self.generator, self.g_adam, self.g_scaler, g_loss),
        )
        for network, _, scaler, loss in updates:
            parameters = list(network.parameters())
            # Both losses go back through D(G(LR)), so its graph is retained for the second.
            gradients = self.torch.autograd.grad(
                scaler.scale(loss), parameters, retain_graph=network is self.discriminator
            )
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient
        for _, adam, scaler, _ in updates:
            scaler.step(adam)
            scaler.update()
        return {name: term.detach() for name, term in terms.items()}


class TorchCompiled(Torch):
    """The baseline PyTorch trainer with torch.compile."""

    compiled = True


PROGRAMS = {
    "ours": Ours,
    "ours under XLA": OursUnderXla,
    "ours without XLA": OursWithoutXla,
    "ours, D first": OursSequential,
    "torch": Torch,
    "torch shared": TorchShared,
    "torch.compile": TorchCompiled,
}
ONLY_SRGAN = ("ours, D first", "torch shared")
