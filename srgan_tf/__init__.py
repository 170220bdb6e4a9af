"""SRGAN in TensorFlow and Keras. 4x single-image super-resolution: training, evaluation, inference, export.

from srgan_tf import Upscaler

large = Upscaler().upscale(image)  # a NumPy array or a PIL.Image; returns the same type, upscaled 4x
"""

import os
import platform

__version__ = "0.2.0"
__all__ = ["Upscaler"]

# Of x86 CPUs without AVX-512, TensorFlow leaves oneDNN's kernels off. There, too, they are faster, and they keep to the
# memory that is planned for a tile. It reads the variable when it is imported.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def __getattr__(name):
    # TensorFlow is imported with what needs it, since that takes seconds.
    if name == "Upscaler":
        from srgan_tf.inference.upscaler import Upscaler

        return Upscaler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
