"""Walks through folders of photographs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.formats import READABLE_SUFFIXES
from srgan_tf.system.errors import UserError, reason

OnError = Callable[[UserError], object]
# Pictures, too, which the reader refuses by name.
_OTHER_PICTURES = frozenset(
    ".heic .heif .hif .avif .jxl .jp2 .j2k .jpx .jxr .svg .svgz .psd .dng .gpr .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2"
    " .raf .orf .rw2 .rwl .pef .srw .x3f .3fr .fff .iiq .mos .mef .erf .dcr .kdc .mrw".split()
)
# What other programs leave in folders of photographs: thumbnails of network drives, macOS's archives, bins.
_LEFTOVERS = frozenset(
    {
        "@eadir",
        "@recycle",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left by another program: `.thumbnails`, `@eaDir`."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def find_files(folder: Path | str, on_error: OnError | None = None) -> list[str]:
    """All files below a folder, but what is `is_leftover` in it.

    Links are followed, but no folder is entered twice.

    Args:
        folder: Searched with all its subfolders.
        on_error: Called with the error of each subfolder that cannot be read; None: it is raised.

    Returns:
        A list of strings, since `Path`s of a large folder would take seconds to sort; sorted by their POSIX path
        relative to `folder`. Links to nothing are among them, pipes and the like are not.

    Raises:
        UserError: There is no such folder.
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: {'not a folder' if os.path.exists(folder) else 'no such folder'}")
    found, waiting, seen = [], [folder], {os.path.realpath(folder)}
    while waiting:
        for entry in _entries(waiting.pop(), on_error):
            if _is(entry, os.DirEntry.is_dir):
                real = os.path.realpath(entry.path)
                if real not in seen:
                    seen.add(real)
                    waiting.append(entry.path)
            elif _is(entry, os.DirEntry.is_file) or entry.is_symlink() and not os.path.exists(entry.path):
                found.append(entry.path)
    return sorted(found, key=lambda path: path.replace(os.sep, "/"))


def folder_names(folder: Path | str) -> list[str]:
    """The names of the folders in a folder, sorted, but what is `is_leftover`; none where it cannot be read."""
    return [entry.name for entry in _entries(folder, lambda error: None) if _is(entry, os.DirEntry.is_dir)]


def _entries(folder, on_error) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted((entry for entry in entries if not is_leftover(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        _report(PictureError(folder, f"cannot be read ({reason(error)})"), on_error)


def _report(problem, on_error):
    if on_error is None:
        raise problem from None
    on_error(problem)


def _is(entry, kind):
    """Whether an entry leads to a folder, or to a file; not where nobody may look."""
    try:
        return kind(entry)
    except OSError:
        return False


def is_picture(path: str) -> bool:
    """Whether a file is a picture by its suffix, be it one that cannot be read here."""
    return _suffix(path) in READABLE_SUFFIXES or _suffix(path) in _OTHER_PICTURES


def find_pictures(folder: Path | str, on_error: OnError | None = None) -> list[Path]:
    """The picture files below a folder, by their suffix; they are not opened.

    Hidden files and folders, and those that other programs leave, are left out. Links are followed, but no folder is
    entered twice. A kind that cannot be read here, a camera's raw file say, is left out where another picture of its
    name is beside it.

    Args:
        folder: Searched with all its subfolders.
        on_error: Called with the error of each subfolder that cannot be read, and of each link that leads nowhere and
            is not named as a picture; None: it is raised. A link that is so named is among the pictures.

    Returns:
        A list of paths, sorted by their path relative to `folder`.

    Raises:
        UserError: There is no such folder.
    """
    found = find_files(folder, on_error)
    stems = {os.path.splitext(path)[0] for path in found if _suffix(path) in READABLE_SUFFIXES}
    pictures = []
    for path in found:
        if _suffix(path) in READABLE_SUFFIXES or is_picture(path) and os.path.splitext(path)[0] not in stems:
            pictures.append(Path(path))
        elif os.path.islink(path) and not os.path.exists(path):
            _report(PictureError(path, "a link that leads nowhere"), on_error)
    return pictures


def _suffix(path):
    return os.path.splitext(path)[1].lower()
