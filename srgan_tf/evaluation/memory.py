"""How --max_memory is kept by what works on whole images beside the networks."""

from collections.abc import Iterable
from pathlib import Path

from srgan_tf.imaging import files
from srgan_tf.inference.memory_budget import bytes_left
from srgan_tf.system.errors import UserError


def networks_share(max_memory: int, pixels: Iterable[int], pixel_bytes: int) -> int:
    """What a limit leaves to the networks beside the work on the largest image that fits into a half of it.

    Args:
        max_memory: Bytes that the process may have at its peak.
        pixels: Of each image.
        pixel_bytes: That the work takes for each pixel.
    """
    fitting = [count * pixel_bytes for count in pixels if count * pixel_bytes <= max_memory // 2]
    return max_memory - max(fitting, default=0)


def check_memory(path: Path, pixel_bytes: int, max_memory: int | None, work: str, scale: int = 1) -> None:
    """Refuses an image for whose work the memory does not suffice.

    Args:
        path: Of the image.
        pixel_bytes: That the work takes for each pixel.
        max_memory: Bytes that the process may have at its peak. None: any.
        work: A verb, such as "score".
        scale: How many times as high and wide as the image what is worked on is.

    Raises:
        UserError: It does not, or the image cannot be read.
    """
    if max_memory is None:
        return
    height, width = (scale * side for side in files.probe(path))
    needed, left = height * width * pixel_bytes, max(0, bytes_left(max_memory) or 0)
    if needed > left:
        raise UserError(
            f"{path}: {needed >> 20:,} MiB are needed to {work} {width}x{height} pixels, {left >> 20:,} MiB are left;"
            " allow more with --max_memory"
        )
