"""The pretrained weights that come with the package, and how a weights file or name is looked up."""

import hashlib
import json
from pathlib import Path
from typing import Any

from srgan_tf.system.errors import UserError

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.json"
DEFAULT_WEIGHTS = "srgan"  # for upscaling
DIAL = ("srresnet", "srgan")  # at strength 0 and 1
DIAL_X2 = ("srresnet-x2", "srgan-x2")  # the same for 2x
PHOTO_WEIGHTS = "srgan-photo"  # for LR with noise, blur and JPEG artefacts
COMPARED_WEIGHTS = ("srresnet", "srgan")  # for studies and the face experiment


def read_manifest() -> dict[str, dict[str, Any]]:
    """The pretrained weights: a dict from name to its entry in the manifest, with `file`, `bytes` and `sha256`."""
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


def general_names() -> list[str]:
    """The names of the pretrained weights for 4x, images of any subject, and LR by MATLAB's bicubic."""
    return [
        name
        for name, entry in read_manifest().items()
        if "subject" not in entry and "degradation" not in entry["settings"] and entry["settings"]["scale"] == 4
    ]


def dial_for(scale: float | None) -> tuple[str, str]:
    """The pretrained weights at strength 0 and 1 that upscale by `scale` with the least work, or by 4 if it is None."""
    return DIAL if scale is None or scale > 2 else DIAL_X2


def pretrained_names() -> str:
    """The names of the pretrained weights, as a help text lists them: "srresnet, srgan, ... or srcnn"."""
    *names, last = read_manifest()
    return f"{', '.join(names)} or {last}"


def find_weights(text: Path | str) -> Path:
    """The weights file for `text`: the path of an existing file, or the name of pretrained weights.

    Raises:
        UserError: There is no such file and no such name, or the pretrained file is not the one of the manifest.
    """
    text = str(text)
    if Path(text).is_file():
        return Path(text)
    manifest = read_manifest()
    if text not in manifest:
        raise UserError(
            f"{text}: no such weights file, nor weights of the package ({', '.join(manifest)});"
            " `srgan train` makes a file"
        )
    return find_pretrained(text)


def find_pretrained(name: str) -> Path:
    """The file of pretrained weights by name, a key of `read_manifest`, checked against the manifest.

    Raises:
        UserError: There are none of this name, or the file is not the one of the manifest.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise UserError(f"{name}: the package has no weights of this name, but {pretrained_names()}")
    entry = manifest[name]
    path = FOLDER / entry["file"]
    content = path.read_bytes() if path.is_file() else b""
    if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        what = "a Git LFS pointer" if content.startswith(b"version https://git-lfs") else f"{len(content):,} bytes"
        raise UserError(f"{path}: {what}, not the {entry['bytes']:,} bytes of the manifest; reinstall the package")
    return path
