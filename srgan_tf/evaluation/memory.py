"""Keeps --max_memory in work on whole images, besides the networks."""

from collections.abc import Iterable
from pathlib import Path

from srgan_tf.imaging import files
from srgan_tf.inference.memory_budget import bytes_left
from srgan_tf.system.errors import UserError


def networks_share(max_memory: int, pixels: Iterable[int], pixel_bytes: int) -> int:
    """The networks' share of a limit, bytes. The rest is for other work, which takes `pixel_bytes` for each pixel, on
    the largest image that fits into half of the limit; `pixels` are the numbers of pixels of all images."""
    fitting = [count * pixel_bytes for count in pixels if count * pixel_bytes <= max_memory // 2]
    return max_memory - max(fitting, default=0)


def check_memory(path: Path, pixel_bytes: int, max_memory: int | None, work: str, scale: int = 1) -> None:
    """Checks whether `max_memory` (None: no limit) suffices for work, a verb such as "score", that takes `pixel_bytes`
    for each pixel of an image upscaled by `scale`.

    Raises:
        UserError: It does not, or the image cannot be read.
    """
    if max_memory is None:
        return
    height, width = (scale * side for side in files.probe(path))
    needed = height * width * pixel_bytes
    require_memory(path, needed, bytes_left(max_memory), f"to {work} {width}x{height} pixels")


def require_memory(path: Path | str, needed: int, left: int | None, purpose: str) -> None:
    """Checks that `needed` bytes are left below --max_memory, `left` of `bytes_left`, for a purpose, such as "to load
    it".

    Raises:
        UserError: They are not.
    """
    if left is not None and needed > left:
        raise UserError(
            f"{path}: {needed >> 20:,} MiB are needed {purpose}, {max(0, left) >> 20:,} MiB are left; allow more with"
            " --max_memory"
        )
