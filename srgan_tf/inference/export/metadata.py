"""What an exported model says of the weights in it."""

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from srgan_tf.system.errors import UserError

_PRIVATE = ("weights", "_dir", "_path")  # settings that say where files lie on the computer of the training


def describe_weights(path: Path | str) -> dict[str, Any]:
    """What is known of a generator's weights, for the metadata of an export.

    Args:
        path: The weights file of a run, with its `settings.json` beside it, or of the package, with its manifest.

    Returns:
        A dict that JSON can hold: `weights` (`file`, `bytes`, `sha256`), `srgan_tf` (this package's version, or None)
        and `settings` of the training, or whatever the manifest says; without the places of files.

    Raises:
        UserError: A file cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        entries = _read_json(path.with_name("manifest.json")).values()
        known = next((entry for entry in entries if entry.get("file") == path.name), None)
        if known is None:
            known = {"settings": _read_json(path.with_name("settings.json")).get("settings", {})}
        known["settings"] = {name: value for name, value in known["settings"].items() if not name.endswith(_PRIVATE)}
    except (OSError, ValueError, LookupError, AttributeError) as error:
        raise UserError(f"{path}: cannot be described ({error}); repair or remove the JSON file beside it") from None
    weights = {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    try:
        version = importlib.metadata.version("srgan_tf")
    except importlib.metadata.PackageNotFoundError:
        version = None
    known = {name: value for name, value in known.items() if name not in weights}
    return {"srgan_tf": version, "weights": weights} | known


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
