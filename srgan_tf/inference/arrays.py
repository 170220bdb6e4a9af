"""Converts images of NumPy or Pillow to arrays `(H, W, bands)`, and back."""

import numpy as np
from PIL import Image

DTYPES = (np.uint8, np.uint16)
_ACCEPTED = (
    "uint8 or uint16, (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB, (H, W, 4) RGBA,"
    " with a pixel at least"
)
_INFO_KEYS = ("icc_profile", "exif")  # of a Pillow image, copied to the result


def to_array(image):
    """The values of an image for `Upscaler.upscale`: uint8 or uint16 `(H, W, bands)`.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(image, Image.Image):
        image = _pillow_values(image)
    elif not isinstance(image, np.ndarray):
        raise ValueError(f"image must be a NumPy array or a PIL.Image. Received: {type(image).__name__}")
    image = native(image)
    bands = image[..., None] if image.ndim == 2 else image
    if bands.dtype not in DTYPES or bands.ndim != 3 or bands.shape[2] not in (1, 2, 3, 4) or 0 in bands.shape:
        raise ValueError(f"image must be {_ACCEPTED}. Received: {image.dtype} {image.shape}")
    return bands


def native(values):
    """A NumPy array of any class and byte order as a plain one in the machine's byte order."""
    return np.asarray(values, values.dtype.newbyteorder("="))


def _pillow_values(image):
    if image.mode.startswith("I"):  # 16 bits, which Pillow sometimes holds as 32
        values = np.asarray(image)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise ValueError(f"image must have 8 or 16 bits. Received: mode {image.mode}, beyond 0 to 65535")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("image must have 8 or 16 bits. Received: mode F, floating point")
    gray = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        return np.asarray(image.convert("LA" if gray else "RGBA"))
    return np.asarray(image.convert("L" if gray else "RGB"))


def from_array(values, like):
    """The upscaled values `(H, W, bands)` as an image of the type of `like`, which `to_array` was given."""
    if not isinstance(like, Image.Image):
        return values[..., 0] if like.ndim == 2 else values
    result = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    result.info.update({key: like.info[key] for key in _INFO_KEYS if key in like.info})
    if like.mode in ("CMYK", "LAB"):
        result.info.pop("icc_profile", None)  # it does not describe the RGB that was made
    return result
