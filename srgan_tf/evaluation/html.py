"""What the report's page and the page of opinion scores share: single HTML files that load nothing from elsewhere."""

import base64
import hashlib
import io
import json
import re
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_BYTES = 200_000_000  # of pictures in a page, beyond which browsers take long to open it
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src '{{style}}'; script-src '{{script}}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
{{page}}"""
_WEBP_SIDE = 16383  # pixels, the longest that WebP can hold


def read_template(package: str, name: str) -> str:
    """A page with `{{names}}` for `fill`, whose content security policy allows its own style and script alone."""
    template = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return fill(_HEAD, {"style": _hash(template, "style"), "script": _hash(template, "script"), "page": template})


def _hash(template, tag):
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def fill(template: str, values: dict[str, str]) -> str:
    """Puts values, which are HTML, at their names; in a single pass, so that braces in a value stay what they are."""
    return re.sub(r"{{(\w+)}}", lambda match: values[match[1]], template)


def json_in_script(value: object) -> str:
    """JSON that no text in it can end the script it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def image_uri(image: NDArray[np.uint8]) -> str:
    """A picture, uint8 RGB `(H, W, 3)`, as an address that holds it without loss."""
    file = io.BytesIO()
    pillow = Image.fromarray(np.ascontiguousarray(image))
    if max(pillow.size) > _WEBP_SIDE:
        pillow.save(file, "PNG")
        return data_uri(file.getvalue(), "png")
    # Two thirds of a PNG's bytes; higher methods take twice the time for one hundredth less.
    pillow.save(file, "WEBP", lossless=True, method=2)
    return data_uri(file.getvalue(), "webp")


def showing_bytes(versions: int) -> int:
    """Memory that showing one image takes at the peak for each pixel: all versions, and their addresses.

    Measured on 1 and 4 megapixels, besides the versions: bicubic's own 78 bytes, finding the region 55, and encoding a
    version 40, of which 13 stay; an address of noise has 4.
    """
    return 8 * versions + 90


def data_uri(data: bytes, kind: str) -> str:
    """The bytes of an image file as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
