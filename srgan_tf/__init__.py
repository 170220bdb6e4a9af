"""SRGAN in TensorFlow and Keras. 4x single-image super-resolution: training, evaluation, inference, export.

from srgan_tf import Upscaler

large = Upscaler().upscale(image)  # a NumPy array or a PIL.Image; returns the same type, upscaled 4x
"""

__version__ = "0.2.0"
__all__ = ["Upscaler"]


def __getattr__(name):
    # TensorFlow is imported with what needs it, since that takes seconds.
    if name == "Upscaler":
        from srgan_tf.inference.upscaler import Upscaler

        return Upscaler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
