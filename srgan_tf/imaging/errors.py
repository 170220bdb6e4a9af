"""Errors of image files, which name the file."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pyvips
from PIL import Image

from srgan_tf.system.errors import DAMAGE, UserError, reason

_DAMAGE: tuple[type[Exception], ...] = (*DAMAGE, Image.DecompressionBombError)  # the last for a GIF's frame

_UNKNOWN_KIND = re.compile(r"not (supported|configured)")  # libtiff's words, of a compression, for example


class PictureError(UserError):
    """A file that cannot be read as an image, or an image that cannot be written.

    Attributes:
        path: The file.
        reason: The message without the name of the file.
    """

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self):  # else it cannot be unpickled, and a `multiprocessing.Pool` in which it is raised hangs
        return type(self), (self.path, self.reason)


class UnsupportedPicture(Exception):
    """An image that is refused by a function that does not know its name; the message is the reason."""


@contextlib.contextmanager
def picture_errors(path: Path | str) -> Iterator[None]:
    """Makes errors of reading an image a `PictureError` with the name of its file or stream."""
    try:
        yield
    except UnsupportedPicture as error:
        raise PictureError(path, str(error)) from None
    except FileNotFoundError:
        raise PictureError(path, "no such file") from None
    except IsADirectoryError:
        raise PictureError(path, "a folder, not an image") from None
    except OSError as error:
        raise PictureError(path, reason(error) if error.errno else f"damaged or truncated ({reason(error)})") from None
    except pyvips.Error as error:
        cause, of_system = vips_reason(error)
        kind = "of a kind that is not read here" if _UNKNOWN_KIND.search(cause) else "damaged or truncated"
        raise PictureError(path, cause if of_system else f"{kind} ({cause})") from None
    except _DAMAGE as error:
        raise PictureError(path, f"cannot be read ({reason(error)})") from None


def vips_reason(error: pyvips.Error) -> tuple[str, bool]:
    """The line of a `pyvips.Error` that states the cause, and whether it comes from the operating system."""
    system = re.search(r"system error: (.+)", str(error))
    if system:
        return system[1], True
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return next(filter(None, lines), "its end is missing"), False
