"""Pictures in memory, from NumPy or Pillow, as arrays with bands, and back in kind."""

import numpy as np
from PIL import Image

DTYPES = (np.uint8, np.uint16)
_KINDS = (
    "uint8 or uint16, (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB, (H, W, 4) RGBA,"
    " with a pixel at least"
)
_KEPT = ("icc_profile", "exif")  # of a Pillow image's `info`


def to_array(image):
    """The values of a picture.

    Args:
        image: A NumPy array or a `PIL.Image.Image`, see `Upscaler.upscale`.

    Returns:
        uint8 or uint16 `(H, W, bands)`: 1 is gray, 2 gray and alpha, 3 RGB, 4 RGBA.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(image, Image.Image):
        image = _pillow_values(image)
    elif not isinstance(image, np.ndarray):
        raise ValueError(f"image must be a NumPy array or a PIL.Image. Received: {type(image).__name__}")
    bands = image[..., None] if image.ndim == 2 else image
    if bands.dtype not in DTYPES or bands.ndim != 3 or bands.shape[2] not in (1, 2, 3, 4) or 0 in bands.shape:
        raise ValueError(f"image must be {_KINDS}. Received: {image.dtype} {image.shape}")
    return bands


def _pillow_values(image):
    if image.mode.startswith("I"):  # 16 bits, of which Pillow makes 32 here and there
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


def from_array(bands, image):
    """The upscaled values of a picture as what the picture was.

    Args:
        bands: uint8 or uint16 `(H, W, bands)`.
        image: What `to_array` got.

    Returns:
        A NumPy array of as many dimensions, or a `PIL.Image.Image`.
    """
    if not isinstance(image, Image.Image):
        return bands[..., 0] if image.ndim == 2 else bands
    result = Image.fromarray(bands[..., 0] if bands.shape[2] == 1 else bands)
    result.info.update({key: image.info[key] for key in _KEPT if key in image.info})
    if image.mode in ("CMYK", "LAB"):
        result.info.pop("icc_profile", None)  # it does not describe the RGB that was made
    return result
