"""Errors of upscaling an image, with its name."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from srgan_tf.system.errors import UserError


@contextlib.contextmanager
def image_errors(name: Path | str) -> Iterator[None]:
    """Makes errors of `Upscaler.upscale`, which knows pixels alone, a `UserError` that starts with the image's name."""
    try:
        yield
    except (MemoryError, UserError) as error:
        raise UserError(f"{name}: {str(error) or 'out of memory'}") from None
