"""Downloads known test and training sets by name into a cache folder, checks and unpacks them."""

import dataclasses
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import time
import zipfile
from pathlib import Path, PureWindowsPath
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from srgan_tf.data.walk import why_no_folder
from srgan_tf.imaging import files
from srgan_tf.imaging.errors import PictureError
from srgan_tf.system.disk import cache_folder, require_free_bytes, sha256
from srgan_tf.system.errors import DAMAGE, UserError, reason, user_errors
from srgan_tf.system.lock import exclusive
from srgan_tf.system.terminal import printable

_RETRY_DELAYS = (1, 2, 4)  # seconds before each retry
_TIMEOUT = (10, 30)  # seconds, to connect and between two chunks
_CHUNK_BYTES = 1 << 14  # the most that is lost when a connection breaks
_MAX_EXPANSION = 4  # of the unpacked size to the size of an archive; ZIP hardly compresses PNG files
_NO_ROOM = "make room or set SRGAN_CACHE to another folder"


@dataclasses.dataclass(frozen=True)
class Archive:
    """A ZIP file on a server: its name in the cache folder, and its URL, size in bytes and hexadecimal SHA-256, which
    are None if not known beforehand."""

    file: str
    url: str
    size: int | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class NamedSet:
    """A set of images in an archive.

    Attributes:
        archive: The `Archive`.
        member: Pattern of their names in it, with the groups `stem` and, if there are LR files, `role`: HR or LR.
        count: Number of HR images.
        pixels: `pixels_digest` of the published images; None if unknown.
    """

    archive: Archive
    member: str
    count: int
    pixels: str | None = None


# GitHub regenerates the archive of a branch, so it has no stable SHA-256: its pixels are checked instead.
_SELFEXSR = Archive("SelfExSR-master.zip", "https://github.com/jbhuang0604/SelfExSR/archive/refs/heads/master.zip")
_ETH = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_DIV2K_TRAIN = Archive(
    "DIV2K_train_HR.zip",
    _ETH + "DIV2K_train_HR.zip",
    3_530_603_713,
    "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
)
_DIV2K_VALID = Archive(
    "DIV2K_valid_HR.zip",
    _ETH + "DIV2K_valid_HR.zip",
    448_993_893,
    "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
)


_PIXELS = {
    "set5": "0e5528e58aa8b34bb213d22240b4cdfb7f717ce119222a57686cdb4c53fa656e",
    "set14": "3693a6ee9f7a9c4fc97c6d2d08bb46ffb233c170db445da6f6b584b41e408f0b",
    "bsd100": "50922284da6a499f4f1e2e3379337fb501c179a0f305d3ba27cbba20dfa6beed",
}


def _selfexsr(folder):
    return rf"[^/]+/data/{folder}/image_SRF_4/(?P<stem>img_\d+)_SRF_4_(?P<role>HR|LR)\.png"


SETS = {
    "set5": NamedSet(_SELFEXSR, _selfexsr("Set5"), 5, _PIXELS["set5"]),
    "set14": NamedSet(_SELFEXSR, _selfexsr("Set14"), 14, _PIXELS["set14"]),
    "bsd100": NamedSet(_SELFEXSR, _selfexsr("BSD100"), 100, _PIXELS["bsd100"]),
    "urban100": NamedSet(_SELFEXSR, _selfexsr("Urban100"), 100),
    "div2k-train": NamedSet(_DIV2K_TRAIN, r"DIV2K_train_HR/(?P<stem>\d+)\.png", 800),
    "div2k-valid": NamedSet(_DIV2K_VALID, r"DIV2K_valid_HR/(?P<stem>\d+)\.png", 100),
}


class _TransientError(Exception):
    """A fault of the connection or the server; a retry may succeed."""


def _report(line):
    tqdm.write(printable(line), file=sys.stderr)


def _part(path):
    return path.with_name(f"{path.name}.part")


def _manual_advice(path):
    return f"get it by other means, put it at {path} and run again"


def _not_as_published(archive, path, what):
    return UserError(f"{archive.url}: the server sent {what}, not the published file; {_manual_advice(path)}")


def _download_rest(archive, path):
    """Downloads what is missing in `_part(path)`, over one connection."""
    part = _part(path)
    # Only a known SHA-256 can prove that all parts of a resumed download are of the same file.
    have = part.stat().st_size if archive.sha256 and part.exists() else 0
    if have and have == archive.size:
        return
    if archive.size and have > archive.size:
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(archive.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        status = response.status_code
        resumed = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if status == 416 or (status == 206 and not resumed):
            part.unlink(missing_ok=True)
            raise _TransientError("the server cannot resume the download")
        if status >= 500 or status == 429:
            raise _TransientError(f"the server answers {status}")
        if status not in (200, 206):
            raise UserError(f"{archive.url}: the server answers {status}; {_manual_advice(path)}")
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else archive.size
        if archive.size not in (None, total):
            raise _not_as_published(archive, path, f"{total:,} bytes instead of {archive.size:,}")
        require_free_bytes(part.parent, 2 * total - have if total else 0, _NO_ROOM)  # unpacking takes as much again
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total, initial=have, desc=archive.file, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for chunk in response.iter_content(_CHUNK_BYTES):
                have += len(chunk)
                if total and have > total:
                    raise _not_as_published(archive, path, f"more than {total:,} bytes")
                file.write(chunk)
                bar.update(len(chunk))
    if total and have < total:
        raise _TransientError(f"the connection broke off after {have:,} of {total:,} bytes")


def _fetch(archive, path):
    """Downloads the archive to `path`, unless it is there already."""
    if path.exists() and _is_published(archive, path):
        return
    _report(f"Fetching {archive.url} into {path.parent}")
    for delay in (*_RETRY_DELAYS, None):
        try:
            _download_rest(archive, path)
            break
        except _TransientError as error:
            reason = str(error)
        except requests.RequestException as error:  # its own message is too technical
            lost = isinstance(error, (requests.ConnectionError, requests.Timeout))
            host = urlsplit(archive.url).netloc
            reason = f"no connection to {host}" if lost else f"the connection to {host} broke off"
            reason += f" ({type(error).__name__})"
        if delay is None:
            raise UserError(f"{archive.url}: {reason}; check the network, or {_manual_advice(path)}")
        _report(f"{reason}; trying again")
        time.sleep(delay)
    part = _part(path)
    is_zip = zipfile.is_zipfile(part)
    if not is_zip or not _is_published(archive, part):
        part.unlink()
        what = "a file with another SHA-256" if is_zip else "something that is not a ZIP file"
        raise _not_as_published(archive, path, what)
    os.replace(part, path)


def _is_published(archive, path):
    """Whether a file is the archive, as far as its SHA-256 is known."""
    return archive.sha256 is None or sha256(path) == archive.sha256


def _members(archive, named):
    """A dict from `("HR" or "LR", stem)` to the members of an open archive; refuses unsafe or incomplete archives."""
    found = {}
    for info in archive.infolist():
        name = PureWindowsPath(info.filename)  # it knows both kinds of slashes, and drives
        if name.anchor or ".." in name.parts or stat.S_ISLNK(info.external_attr >> 16):
            raise zipfile.BadZipFile(f"unsafe, it leads out of its folder: {info.filename!r}")
        if match := re.fullmatch(named.member, info.filename):
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"packed in an unusual way: {info.filename!r}")
            key = (match.groupdict().get("role", "HR"), match["stem"])
            if key in found:
                raise zipfile.BadZipFile(f"two files of one name: {info.filename!r}")
            found[key] = info
    hr = {stem for role, stem in found if role == "HR"}
    lr = {stem for role, stem in found if role == "LR"}
    if len(hr) != named.count or lr not in (set(), hr):
        raise zipfile.BadZipFile(f"{len(hr)} HR and {len(lr)} LR images instead of {named.count}")
    return found


def pixels_digest(folder: Path | str) -> str:
    """A hash of the pixels of a set, independent of names and encoding of its PNG files in `HR/` and `LR/`.

    Returns:
        The SHA-256 of the sorted SHA-256 of every image's role, height, width and 8-bit RGB values; hexadecimal.

    Raises:
        UserError: A picture cannot be read.
    """
    digests = []
    for path in Path(folder).glob("[HL]R/*.png"):
        pixels = files.read_rgb(path)
        height, width, _ = pixels.shape
        digests.append(hashlib.sha256(f"{path.parent.name} {height} {width} ".encode() + pixels.tobytes()).hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _unpack(path, named, target):
    """Unpacks a set under a temporary name, checks it and renames it to `target`."""
    partial = target.with_name(f".{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, named)
            size = sum(info.file_size for info in members.values())
            if size > _MAX_EXPANSION * path.stat().st_size:
                raise zipfile.BadZipFile(f"it would expand to {size:,} bytes")
            require_free_bytes(path.parent, size, _NO_ROOM)
            for role, _ in members:
                (partial / role).mkdir(parents=True, exist_ok=True)
            for (role, stem), info in tqdm(members.items(), desc=target.name, unit="image", disable=None):
                with archive.open(info) as source, open(partial / role / f"{stem}.png", "wb") as output:
                    shutil.copyfileobj(source, output)
        if named.archive.sha256 is None:
            digest = pixels_digest(partial)  # this also checks that every image can be read
            if named.pixels not in (None, digest):
                raise zipfile.BadZipFile("other pixels than the published images")
        os.replace(partial, target)
    except (PictureError, OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: an offset before the file's start
            raise
        what = f"{error.path.name}: {error.reason}" if isinstance(error, PictureError) else reason(error)
        advice = "remove it to fetch it again, or unpack it yourself into HR/ and LR/ and name the folder of these"
        raise UserError(f"{path}: not {target.name} as published: {what}; {advice}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def find_set(text: str | Path) -> Path:
    """The folder of a set, which is downloaded if need be.

    Progress is shown on a terminal, and an interrupted download is resumed, if the server can. A set that has been
    downloaded needs no network. An archive is removed once all its sets are unpacked. Processes that need the same
    archive wait for each other. Each set has a folder of its name in `system.disk.cache_folder`.

    Args:
        text: An existing folder, or the name of a set in `SETS`, in any case. A folder is preferred.

    Returns:
        The folder as a `Path`; that of a set holds `HR/` and, if the archive has MATLAB's 4x LR files, `LR/`.

    Raises:
        UserError: It is neither a folder nor a known set; or the set cannot be downloaded, is not the published one, or
            the disk is too full.
    """
    if os.path.isdir(text):
        return Path(text)
    name = str(text).lower()
    if name == "div2k":
        raise UserError(f"{text}: name its part, div2k-train (800 images, 3.5 GB) or div2k-valid (100, 0.4 GB)")
    if name not in SETS:
        raise UserError(f"{text}: {why_no_folder(text)}, and none of the known sets: {', '.join(SETS)}")
    cache, named = cache_folder(), SETS[name]
    target = cache / name
    if target.is_dir():
        return target
    path = cache / named.archive.file
    with user_errors(cache, "cannot be used", advice="set SRGAN_CACHE to a folder that can be written to"):
        cache.mkdir(parents=True, exist_ok=True)
        waiting = "Another process is fetching the same archive; waiting for it"
        with exclusive(cache / f".{path.name}.lock", lambda: _report(waiting)):
            if not target.is_dir():
                _fetch(named.archive, path)
                _unpack(path, named, target)
                if all((cache / other).is_dir() for other, its in SETS.items() if its.archive == named.archive):
                    path.unlink()
    return target
