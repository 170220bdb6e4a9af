"""The systems that a command line names: weights files and folders of ready-made pictures."""

import os
from pathlib import Path

from srgan_tf.system.errors import UserError
from srgan_tf.weights import find_weights


def named_weights(given, taken=()):
    """The weights files by name, from `NAME=FILE` or `FILE`, which is then named after its folder and itself.

    `FILE` may be the name of weights that the package brings.
    """
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or Path(text).is_file():
            path = Path(text)
            name = "-".join(filter(None, (path.parent.name, path.name.removesuffix(".h5").removesuffix(".weights"))))
        if not str(path):
            raise UserError(f"--weights={text}: no such weights file; give NAME=FILE")
        path = find_weights(path)
        if name in ("", ".", "..") or "/" in name or os.sep in name:
            raise UserError(f"--weights={text}: {name!r} cannot be the name of a folder; give NAME=FILE")
        if name in found or name in taken:
            raise UserError(f"--weights={text}: the name {name} is taken; give another one as NAME=FILE")
        found[name] = path
    return found


def named_results(given, taken):
    """The folders of ready-made pictures by their system's name, from `NAME=FOLDER`."""
    found = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not name or not folder:
            raise UserError(f"--results={text}: give NAME=FOLDER, the system's name and its pictures")
        if name in found or name in taken:
            raise UserError(f"--results={text}: the name {name} is taken; give another one")
        found[name] = Path(folder)
    return found
