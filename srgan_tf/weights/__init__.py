"""The trained weights that come with the package, and how a file that is not what it should be is told."""

import hashlib
import json
from pathlib import Path

from srgan_tf.system.errors import UserError

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.json"


def shipped():
    """What the package brings: a dict from name to its entry in the manifest, with `file`, `bytes` and `sha256`."""
    return json.loads(MANIFEST.read_text(encoding="utf-8"))


def default_weights():
    """The name of the weights that pictures are enlarged with, unless others are named."""
    return "srgan"


def shown_weights():
    """The names of the weights that are shown, or asked about, unless others are named."""
    return "srresnet", "srgan"


def find_weights(text):
    """The weights file that `text` names.

    Args:
        text: A file, or the name of shipped weights, a key of `shipped`. A file is preferred.

    Returns:
        A `Path`. Shipped weights are checked against the manifest.

    Raises:
        UserError: There is no such file and no such name, or the shipped file is not the one of the manifest.
    """
    text = str(text)
    if Path(text).is_file():
        return Path(text)
    known = shipped()
    if text not in known:
        raise UserError(
            f"{text}: no such weights file, nor weights of the package ({', '.join(known)});"
            " `python train.py --mode=srresnet` makes a file"
        )
    entry = known[text]
    path = FOLDER / entry["file"]
    content = path.read_bytes() if path.is_file() else b""
    if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        what = "a Git LFS pointer" if content.startswith(b"version https://git-lfs") else f"{len(content):,} bytes"
        raise UserError(
            f"{path}: {what}, not the {entry['bytes']:,} bytes of the manifest; get the project again, whole"
        )
    return path
