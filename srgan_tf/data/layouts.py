"""The layouts of published test sets: which folders, or which names, are HR and LR.

HR/ with LR/, or GT/ with LQ/; HR/ with LR_bicubic/X4/ or X4/ (EDSR); DIV2K_valid_HR/ with DIV2K_valid_LR_bicubic/X4/
(DIV2K); GTmod12/ with LRbicx4/ (BasicSR); image_SRF_4/ with names in _HR and _LR (SelfExSR), or in _HR and _LR4
(RealSR).
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from srgan_tf.data.walk import folder_names, is_picture
from srgan_tf.imaging import files
from srgan_tf.system.errors import UserError

_PREFIX, _SUB = r"((?P<set>.+)[_-])?", r"(?P<sub>_sub)?"
_HR = re.compile(rf"{_PREFIX}(HR|HQ|GT(mod\d+)?){_SUB}", re.IGNORECASE)
_LR = re.compile(
    rf"{_PREFIX}L[RQ][_-]?(?P<kind>bic(ubic)?|unknown|mild|difficult|wild)?([_-]?x?(?P<scale>\d+))?{_SUB}",
    re.IGNORECASE,
)
_SCALED = re.compile(rf"x(?P<scale>[2-48]){_SUB}", re.IGNORECASE)
_SELFEXSR = re.compile(r"image_SRF_(?P<scale>[2-48])", re.IGNORECASE)
_KINDS = ("", "bic", "bicubic")  # kinds of LR by preference, before any other
_NAMED_HR = re.compile(r"[_-]H[RQ]([_-]?x?\d)?$", re.IGNORECASE)
_NAMED_LR = re.compile(r"[_-]L[RQ][_-]?(bicubic)?([_-]?x?\d)?$", re.IGNORECASE)
_NAMED_SCALE = re.compile(r"[_-]?x\d$", re.IGNORECASE)
_NAMED_LR_OR_SCALE = re.compile(f"{_NAMED_LR.pattern}|{_NAMED_SCALE.pattern}", re.IGNORECASE)
_LONGEST = len("_LR_bicubic_x4")  # the longest match of these
# Endings of names, which are removed to find pairs.
ROLE = re.compile(r"([_-]([HL][RQ]\d?|bicubic|SRF[_-]?\d)|[_-]?x\d)+$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Sides:
    """The two folders of a test set.

    Attributes:
        name: The name of the set.
        hr: The folder of HR.
        lr: The folder of LR; None without LR; `hr` if both are in one folder and told apart by their names.
    """

    name: str
    hr: Path
    lr: Path | None


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """A folder of LR, with the scale and the kind in its name."""

    path: Path
    scale: int | None
    kind: str


def find_sides(folder: Path | str, scale: int) -> list[Sides]:
    """The test sets whose two folders lie directly in a folder: the folder itself, or sets named before `_HR`; none if
    it is a plain folder. If there are several LR, that of the scale factor is chosen.

    Raises:
        UserError: Two folders could be HR, or LR.
    """
    folder = Path(folder)
    names = folder_names(folder)
    if selfexsr := _by_scale([_candidate(folder, found) for found in map(_SELFEXSR.fullmatch, names) if found], scale):
        return [Sides(_name_of(folder), selfexsr[0].path, selfexsr[0].path)]
    hr: dict[str, list[Path]] = {}
    lr: dict[str, list[_Candidate]] = {}
    for name in names:
        if found := _HR.fullmatch(name):
            hr.setdefault(_set_of(found), []).append(folder / name)
        elif found := _LR.fullmatch(name) or _SCALED.fullmatch(name):
            lr.setdefault(_set_of(found), []).extend(_candidates(folder, found))
    sides = []
    for name, paths in hr.items():
        own = lr.get(name, [])
        if own or any(path.name.upper() == "HR" for path in paths):
            sides.append(Sides(name or _name_of(folder), _only(folder, paths), _choose(folder, own, scale)))
    whole = [each for each in sides if each.name == _name_of(folder)]
    return whole or sides


def find_set(folder: Path | str, scale: int) -> Sides:
    """The single test set in a folder; of a plain folder, both sides are the folder itself.

    Raises:
        UserError: There are several sets, or see `find_sides`.
    """
    folder = Path(folder)
    sides = find_sides(folder, scale)
    if len(sides) > 1:
        names = ", ".join(each.name for each in sides)
        raise UserError(f"{folder}: holds several test sets: {names}; put each into a folder of its own")
    return sides[0] if sides else Sides("", folder, folder)


def _name_of(folder):
    return folder.absolute().name


def _set_of(found):
    groups = found.groupdict()
    return (groups.get("set") or "") + (groups["sub"] or "")


def _candidate(folder, found):
    groups = found.groupdict()
    return _Candidate(folder / found[0], int(groups["scale"]) if groups["scale"] else None, groups.get("kind") or "")


def _candidates(folder, found):
    """The folder itself as LR, or the folders for each scale in it."""
    own = _candidate(folder, found)
    inside = [_candidate(own.path, each) for each in map(_SCALED.fullmatch, folder_names(own.path)) if each]
    if own.scale is not None or not inside:
        return [own]
    return [dataclasses.replace(each, kind=own.kind) for each in inside]


def _by_scale(candidates, scale):
    """The candidates of the scale factor; else those of the smallest other, which are left out later with a note."""
    fitting = [each for each in candidates if each.scale in (None, scale)]
    others = sorted(candidates, key=lambda each: each.scale or 0)
    return fitting or [each for each in others if each.scale == others[0].scale]


def _choose(folder, candidates, scale):
    if not candidates:
        return None

    def rank(candidate):
        kind = candidate.kind.lower()
        return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)

    fitting = _by_scale(candidates, scale)
    return _only(folder, [each.path for each in fitting if rank(each) == min(map(rank, fitting))])


def _only(folder, paths):
    if len(paths) > 1:
        one, other = (path.relative_to(folder) for path in paths[:2])
        raise UserError(f"{folder}: has {one}/ and {other}/; remove or rename one")
    return paths[0]


def refuse_lr(folder: Path | str, paths: Iterable[Path]) -> None:
    """Refuses a plain folder of HR that is named as LR, or contains such a folder, which would be scored as HR. `paths`
    are those of the images below it.

    Raises:
        UserError: Names the folder.
    """
    folder = Path(folder)
    advice = "name the folder that HR/ and LR/ are in"
    if is_lr(_name_of(folder)):
        raise UserError(f"{folder}: named as a folder of LR; {advice}")
    for path in paths:
        first, *others = path.relative_to(folder).parts
        if others and is_lr(first):
            if hr := next(filter(_HR.fullmatch, folder_names(folder)), None):
                raise UserError(
                    f"{folder}: {first}/ is not LR of {hr}/ by its name; rename it, or name {folder / hr} alone"
                )
            raise UserError(f"{folder}: has {first}/ but no HR/; put the originals into HR/")
        if found := [part for part in others[:-1] if is_lr(part)]:
            raise UserError(f"{folder}: has no HR/, but {path} is in {found[0]}/, a folder of LR; {advice}")


def is_lr(name: str) -> bool:
    """Whether the name of a folder says LR."""
    return _LR.fullmatch(name) is not None or _SCALED.fullmatch(name) is not None


def without_role(name: str) -> str:
    """The name of an image without the endings of `ROLE`."""
    folder, slash, stem = name.rpartition("/")
    return folder + slash + (ROLE.sub("", stem) or stem)


def find_lr(folder: Path | str, found: Mapping[str, tuple[int, int] | str | None]) -> set[str]:
    """The LR files, see `divide_by_names`, in a plain folder of photographs to train on; `found` is the result of
    `data.folders.sizes`.

    A few names may look like LR by chance: if some files are named neither as LR nor as HR, and none that is named as
    LR has a partner, there is no LR.

    Raises:
        UserError: See `refuse_lr` and `divide_by_names`.
    """
    if not _may_hold_lr(folder, found):
        return set()
    pictures = {path: size for path, size in found.items() if size is not None and is_picture(path)}
    firsts: dict[str, str] = {}  # of each folder
    for path in pictures:
        firsts.setdefault(os.path.dirname(path), path)
    refuse_lr(folder, map(Path, firsts.values()))
    stems = [os.path.splitext(path)[0] for path in pictures]
    named_lr = {stem for stem in filter(_NAMED_LR_OR_SCALE.search, stems) if not _NAMED_HR.search(stem)}
    if not named_lr:
        return set()
    others = [stem for stem in stems if stem not in named_lr]
    alone = {*map(without_role, named_lr)}.isdisjoint(map(without_role, others))
    if alone and not all(map(_NAMED_HR.search, others)):
        return set()
    sizes = {Path(path): size for path, size in pictures.items()}

    def size(path):
        if isinstance(sizes[path], str):
            raise UserError(f"{path}: {sizes[path]}")
        return sizes[path]

    _, lr = divide_by_names(folder, dict(zip(stems, sizes)), size)
    return {path for path, stem in zip(pictures, stems) if stem in lr}


def _may_hold_lr(folder, paths):
    """Whether anything is named as LR; a fast check, 0.2 s for 350,000 paths."""
    folders = {path.rpartition(os.sep)[0] for path in paths}
    names = {_name_of(Path(folder))}.union(*(each.split(os.sep) for each in folders))
    if any(map(is_lr, names)):
        return True
    ends = ((path, path.rfind(".")) for path in paths)
    return any(_NAMED_LR_OR_SCALE.search(path, end - _LONGEST, end) for path, end in ends)


def divide_by_names(
    folder: Path | str, named: Mapping[str, Path], size: Callable[[Path], tuple[int, int]] = files.probe
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Divides the images of one folder into HR and LR by their names: `_HR` and `_LR`, or `x4` for LR.

    An image whose name ends in x4 is LR if there is a larger one of the same name without x4. `size` returns the
    `(height, width)` of a file, or raises `UserError`.

    Returns:
        `(hr, lr)`: two dicts from name to path; the second is empty if there is no LR.

    Raises:
        UserError: All are named as LR; or besides those named as HR and LR there are others.
    """
    lr = {name: path for name, path in named.items() if _NAMED_LR.search(name)}
    hr = {name: path for name, path in named.items() if _NAMED_HR.search(name)}
    rest = {name: path for name, path in named.items() if name not in lr and name not in hr}
    if lr and hr and rest:
        path = next(iter(rest.values()))
        raise UserError(f"{path}: is neither named _HR nor _LR, as the others are; rename it, or put it elsewhere")
    if not lr:
        # If there are several and all are named x4, all are LR; a single one may be named so by chance.
        all_scaled = len(named) > 1 and all(map(_NAMED_SCALE.search, named))
        lr = {name: path for name, path in named.items() if all_scaled or _is_downscaled(name, named, size)}
        hr, rest = {name: path for name, path in named.items() if name not in lr}, {}
    if lr and not (hr or rest):
        path = next(iter(lr.values()))
        raise UserError(f"{folder}: all images are named as LR, {path.name} say; put the originals into HR/")
    return hr or rest, lr


def _is_downscaled(name, named, size):
    """Whether an image is LR of another one: by its name, and because it is smaller."""
    path, original = named[name], named.get(_NAMED_SCALE.sub("", name))
    if original in (None, path):
        return False
    try:
        return max(size(path)) < max(size(original))
    except UserError:  # it is reported when it is scored
        return True
