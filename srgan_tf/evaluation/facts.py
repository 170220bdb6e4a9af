"""The facts behind scores: versions, weights, device."""

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from srgan_tf.system.disk import sha256

INVENTED_TEXT = (
    "the error to be expected of the output, by its difference from that of the image turned by a quarter; calibrated"
    " on the package's srgan"
)
_PACKAGES = ("numpy", "scipy", "pillow", "tensorflow", "keras")


def facts(weights: Mapping[str, Path], **others: object) -> dict[str, object]:
    """The facts for a report, with which its scores can be reproduced: texts and dicts of texts.

    Args:
        weights: Dict from a system's name to its weights file.
        **others: More facts, put first.
    """
    return {
        **others,
        "weights": {name: f"{path.name}, SHA-256 {sha256(path)}" for name, path in weights.items()},
        "versions": {"Python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES},
        "device": device(),
    }


def dial_text(start: str, end: str, blended: bool) -> str:
    """How the systems between two networks, with names `start` and `end`, are made; for `blended` see `Upscaler`."""
    how = (
        "both are computed and their outputs mixed, since their weights do not mix"
        if blended
        else "one network, whose weights are the weighted mean"
    )
    return f"from {start} (0) to {end} (1); in between {how}"


def device() -> str:
    """The GPU that TensorFlow computes on, if it has been imported and has one; else the processor."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    return f"{platform.machine()} processor, {os.cpu_count()} cores"
