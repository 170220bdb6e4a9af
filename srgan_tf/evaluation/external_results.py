"""Finds the pictures that another system has made of a test set, so that they are scored by the same ruler."""

import re
from pathlib import Path

from srgan_tf.data.folders import find_pictures
from srgan_tf.system.errors import UserError

_FEW = 3  # pictures that an error names
_ENDS = r"([_-](HR|LR|SR|SRF[_-]?\d|bicubic)|[_-]?x\d)+$"


def find_external_results(folder, system, names, set_name=""):
    """One picture of a system for each picture of a test set.

    They belong together if their relative paths without suffix are the same, after what tells files apart is taken off
    their ends: the system's own name, then `_SR`, `x4`, `_SRF_4`, `_HR` and the like, in any case. So with the name
    SelfExSR `img_001_SRF_4_SelfExSR.png` is a picture of `img_001.png`, though `img_001_SRF_4_SRCNN.png` is beside it.

    Args:
        folder: Where the pictures are; or where a folder of the test set's name is, in any case, that holds them.
        system: The system's name.
        names: Names of the test set's pictures, as `data.folders.Pair` has them.
        set_name: The test set's name.

    Returns:
        A dict from each of `names` to a path.

    Raises:
        UserError: There is no such folder, pictures are missing, or two could be meant.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --results=NAME=FOLDER names one with the pictures of {system}")
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name.lower() == set_name.lower() != ""]
    folder = inside[0] if inside else folder
    own = re.compile(rf"[_-]{re.escape(system)}$", re.IGNORECASE)
    ends = re.compile(_ENDS, re.IGNORECASE)
    stems = {path: path.relative_to(folder).with_suffix("").as_posix() for path in find_pictures(folder)}
    passes = [
        {path: ends.sub("", own.sub("", stem)) for path, stem in stems.items() if own.search(stem)},
        stems,
        {path: ends.sub("", stem) for path, stem in stems.items()},
    ]
    found, missing = {}, []
    for name in names:
        for number, keys in enumerate(passes):
            wanted = name if number == 1 else ends.sub("", name)
            paths = [path for path, key in keys.items() if key == wanted]
            if len(paths) > 1:
                raise UserError(f"{paths[0]} and {paths[1]}: either could be {system}'s picture of {name}; remove one")
            if paths:
                found[name] = paths[0]
                break
        else:
            missing.append(name)
    if missing:
        more = f" and {len(missing) - _FEW} more" if len(missing) > _FEW else ""
        what = f"no picture of {system} for {', '.join(missing[:_FEW])}{more}"
        raise UserError(f"{folder}: {what}; add {'it' if len(missing) == 1 else 'them'} or give another folder")
    return found
