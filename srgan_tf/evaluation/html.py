"""Builds single HTML files that load nothing from elsewhere, for the report and the study of opinion scores."""

import base64
import hashlib
import io
import json
import re
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_BYTES = 200_000_000  # of images in a page; browsers take long to open larger pages
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
    """A page with `{{names}}` for `fill`; its content security policy allows only its own style and script."""
    template = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return fill(_HEAD, {"style": _hash(template, "style"), "script": _hash(template, "script"), "page": template})


def _hash(template, tag):
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def fill(template: str, values: dict[str, str]) -> str:
    """Replaces names by their values, which are HTML; in a single pass, so that braces in a value stay as they are."""
    return re.sub(r"{{(\w+)}}", lambda match: values[match[1]], template)


def json_in_script(value: object) -> str:
    """JSON for a script element, which no text in it can close."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def image_uri(image: NDArray[np.uint8]) -> str:
    """A lossless data URI of an image, uint8 RGB `(H, W, 3)`."""
    file = io.BytesIO()
    pillow = Image.fromarray(np.ascontiguousarray(image))
    if max(pillow.size) > _WEBP_SIDE:
        pillow.save(file, "PNG")
        return data_uri(file.getvalue(), "png")
    # Two thirds of the size of PNG; higher methods take twice the time for 1 % less.
    pillow.save(file, "WEBP", lossless=True, method=2)
    return data_uri(file.getvalue(), "webp")


def showing_bytes(versions: int) -> int:
    """Peak memory for showing one image, bytes for each pixel: all versions, and their data URIs.

    Measured on 1 and 4 megapixels, besides the versions: 78 for bicubic, 55 for finding the region, and 40 for encoding
    a version, of which 13 stay; a data URI of noise has 4.
    """
    return 8 * versions + 90


def data_uri(data: bytes, kind: str) -> str:
    """A data URI of the bytes of an image file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
