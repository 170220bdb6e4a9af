"""The metadata about weights in an exported model."""

import importlib.metadata
from pathlib import Path
from typing import Any, TypedDict

from srgan_tf.system.disk import sha256
from srgan_tf.system.errors import user_errors
from srgan_tf.system.json_files import read_json

_PRIVATE = ("weights", "_dir", "_path")  # endings of settings that are paths on the training's computer


class _Described(TypedDict, total=False):
    """A run's `settings.json`, or an entry of a manifest."""

    file: str
    settings: dict


def describe_weights(path: Path | str) -> dict[str, Any]:
    """The metadata of a generator's weights for an export.

    Args:
        path: The weights file of a run, with its `settings.json` beside it, or of the package, with its manifest.

    Returns:
        A dict for JSON: `weights` (`file`, `bytes`, `sha256`), `srgan_tf` (this package's version, or None), and the
        `settings` of the training or the manifest's entry; without paths.

    Raises:
        UserError: A file cannot be read.
    """
    path = Path(path)
    with user_errors(path, "cannot be read"):
        weights = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    entries = _read_json(path.with_name("manifest.json"), dict[str, _Described]).values()
    known = next((dict(entry) for entry in entries if entry.get("file") == path.name), None)
    if known is None:
        known = {"settings": _read_json(path.with_name("settings.json"), _Described).get("settings", {})}
    settings = known.get("settings", {})
    known["settings"] = {name: value for name, value in settings.items() if not name.endswith(_PRIVATE)}
    try:
        version = importlib.metadata.version("srgan_tf")
    except importlib.metadata.PackageNotFoundError:
        version = None
    known = {name: value for name, value in known.items() if name not in weights}
    return {"srgan_tf": version, "weights": weights} | known


def _read_json(path, shape):
    return read_json(path, shape, "damaged", "repair or remove it") if path.is_file() else {}
