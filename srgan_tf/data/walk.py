"""Finds files in folders of photographs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from srgan_tf.imaging.errors import PictureError
from srgan_tf.imaging.formats import READABLE_SUFFIXES
from srgan_tf.system.errors import UserError, reason

OnError = Callable[[UserError], object]
# Suffixes of image formats that the reader refuses.
_OTHER_PICTURES = frozenset(
    ".heic .heif .hif .avif .jxl .jp2 .j2k .jpx .jxr .svg .svgz .psd .dng .gpr .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2"
    " .raf .orf .rw2 .rwl .pef .srw .x3f .3fr .fff .iiq .mos .mef .erf .dcr .kdc .mrw".split()
)
# Files and folders of other programs: thumbnails of network drives, macOS's archives, bins.
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


def why_no_folder(path: Path | str) -> str:
    """The reason why a path is not a folder."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "no such folder"
    except OSError as error:
        return f"cannot be read ({reason(error)})"
    return "not a folder"


def find_files(folder: Path | str, on_error: OnError | None = None) -> list[str]:
    """All files below a folder, except for what `is_leftover`. Links are followed, but no folder is entered twice.

    Args:
        folder: Searched with all its subfolders.
        on_error: Called with the error of each subfolder that cannot be read; None: it is raised.

    Returns:
        A list of strings, since `Path`s of a large folder would take seconds to sort; sorted by their POSIX path
        relative to `folder`. It contains broken links, but no pipes and the like.

    Raises:
        UserError: There is no such folder.
    """
    folder = os.fspath(folder)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: {why_no_folder(folder)}")
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
    """The sorted names of the folders in a folder, except for what `is_leftover`; none if it cannot be read."""
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
    """Whether an entry is a folder, or a file; False without permission to see it."""
    try:
        return kind(entry)
    except OSError:
        return False


def is_picture(path: str) -> bool:
    """Whether a file is an image by its suffix, also of a format that cannot be read here."""
    return _suffix(path) in READABLE_SUFFIXES or _suffix(path) in _OTHER_PICTURES


def find_pictures(folder: Path | str, on_error: OnError | None = None) -> list[Path]:
    """The image files below a folder, by their suffix; they are not opened.

    Hidden files and folders, and leftovers of other programs, are left out. Links are followed, but no folder is
    entered twice. A file of a format that cannot be read here, such as a camera's raw file, is left out if another
    image with its name is beside it.

    Args:
        folder: Searched with all its subfolders.
        on_error: Called with the error of each subfolder that cannot be read, and of each broken link without the
            suffix of an image; None: it is raised. Broken links with such a suffix are among the images.

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
