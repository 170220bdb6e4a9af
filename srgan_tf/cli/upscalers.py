"""The `Upscaler`s of a command line: of weights files, and of `--model`, which has none."""

from srgan_tf.cli.flags import AUTO
from srgan_tf.cli.modes import SELFEX
from srgan_tf.system import quiet
from srgan_tf.system.errors import UserError


def load_upscaler(weights, settings, scale=4):
    """An `Upscaler` as `--tile` and `--max_memory` say; the first call imports TensorFlow.

    Args:
        weights: A file, or the name of `--model`, or None for the package's srgan.
        settings: A `config.EvaluateSettings`.
        scale: Enlargement of what has no weights to say it.
    """
    quiet.import_tensorflow()
    from srgan_tf.inference.networks import SelfExemplars
    from srgan_tf.inference.upscaler import Upscaler

    tile, memory = (None if value == AUTO else value for value in (settings.tile, settings.max_memory))
    return Upscaler(SelfExemplars(scale) if weights == SELFEX else weights, tile=tile, max_memory=memory)


def load_upscalers(weights, settings):
    """An `Upscaler` by name, that of `--model` among them, and the enlargement of all of them, 4 without weights."""
    upscalers = {name: load_upscaler(path, settings) for name, path in weights.items()}
    scales = {upscaler.scale for upscaler in upscalers.values()} or {4}
    if len(scales) > 1:
        raise UserError(f"the weights enlarge {' and '.join(map(str, sorted(scales)))} times; use them separately")
    (scale,) = scales
    if settings.model:
        upscalers[settings.model] = load_upscaler(settings.model, settings, scale)
    return upscalers, scale
