"""The formats that pictures are written in, by the names of files."""

from pathlib import Path

from srgan_tf.imaging.errors import PictureError

KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF", "bmp": "BMP"}  # and their names in messages
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
}  # of `suffix.lower()`
READABLE_SUFFIXES = frozenset({*SUFFIXES, ".gif"})
NOT_A_PICTURE = "not a picture (PNG, JPEG, WebP, BMP, TIFF, GIF)"
_MAX_SIDE = {"jpeg": 65500, "webp": 16383}  # pixels, what the encoders allow


def kind_of(path: Path | str) -> str:
    """The key of `KINDS` that a file's suffix names.

    Raises:
        PictureError: It names none.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        known = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise PictureError(path, f"cannot be written as {suffix or 'a file without suffix'}; take one of {known}")
    return SUFFIXES[suffix.lower()]


def check_side(path: Path | str, kind: str, height: int, width: int) -> None:
    """Refuses a picture that is too large for its format.

    Raises:
        PictureError: A side, in pixels, is longer than the format allows.
    """
    longest = max(height, width)
    if longest > _MAX_SIDE.get(kind, longest):
        raise PictureError(path, f"{KINDS[kind]} cannot hold a side of {longest} pixels; write it as .png or .tif")
