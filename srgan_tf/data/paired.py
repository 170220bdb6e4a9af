"""Pairs to train on: HR photographs and given LR, for example by another camera or scanner."""

import dataclasses
from pathlib import Path

from srgan_tf.data import folders, layouts, packed
from srgan_tf.data.folders import PictureFile, Scan
from srgan_tf.data.store import PhotographStore, Store
from srgan_tf.data.walk import is_picture
from srgan_tf.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Photographs:
    """The images of a `data.folders.Scan` to train on, and their folder, packed or not; "" without one."""

    folder: Path | str
    pictures: tuple[PictureFile, ...]

    @property
    def is_packed(self) -> bool:
        return packed.is_packed(self.folder)

    def store(self, scale: int, cache_bytes: int) -> Store:
        """The store of their crops; see `Store` and `PhotographStore`."""
        if self.is_packed:
            return packed.PackedStore(self.folder, self.pictures, scale)
        return PhotographStore(self.pictures, scale, cache_bytes)


@dataclasses.dataclass(frozen=True)
class PairScan:
    """The pairs of a folder: the usable HR images, with skipped files of both sides, and their LR images in the same
    order."""

    hr: Scan
    lr: tuple[PictureFile, ...]


@folders.without_gc()
def scan_sides(folder: Path | str, scale: int = 4, min_side: int = 1) -> list[tuple[Path, Scan]]:
    """Finds the photographs of a folder or, if `data.folders.find_pairs` finds pairs in it, HR and LR.

    Args:
        folder: Packed or not; in one of the layouts of `data.layouts`, or plain. A few names that look like LR by
            chance do not count; see `data.layouts.find_lr`.
        scale: Factor between HR and LR, by which LR is chosen if there are several.
        min_side: See `data.folders.scan`; it does not apply to LR.

    Returns:
        One `(folder, scan)`; or two, of HR and of LR, which may be of the same folder.

    Raises:
        UserError: There is only LR, there are several sets, or nothing usable.
    """
    found_set = layouts.find_set(folder, scale)
    hr, lr = (found_set.hr, found_set.lr) if found_set.lr else (Path(folder), Path(folder))
    if hr != lr:
        return [(hr, _reader(hr).scan(hr, min_side)), (lr, _reader(lr).scan(lr))]
    found = _reader(hr).sizes(hr)
    of_lr = layouts.find_lr(hr, found)
    if not of_lr:
        return [(hr, folders.select(found.items(), min_side, hr))]
    hr_files = [(path, size) for path, size in found.items() if path not in of_lr]
    lr_files = [(path, size) for path, size in found.items() if path in of_lr]
    return [(hr, folders.select(hr_files, min_side, hr)), (hr, folders.select(lr_files, 1, hr))]


def _reader(folder):
    return packed if packed.is_packed(folder) else folders


def match_sides(sides: list[tuple[Path, Scan]]) -> dict[Path, Path]:
    """The LR file of each HR file, including skipped ones, of the two `sides` of `scan_sides`; see
    `data.folders.match`.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    hr, lr = (folders.named(_entries(scan), folder) for folder, scan in sides)
    return folders.match(hr, lr, _set_folder(sides))


def _set_folder(sides):
    (hr, _), (lr, _) = sides
    return hr if hr == lr else hr.parent


def fit_pairs(sides: list[tuple[Path, Scan]], scale: int) -> PairScan:
    """The usable pairs of the two `sides` of `scan_sides`: matched by name as in `data.folders.find_pairs`, and LR must
    have the size of HR divided by the scale factor, rounded down.

    Raises:
        UserError: A picture has no partner, two have one name, or no pair is usable.
    """
    partners = match_sides(sides)
    (hr, large_scan), (_, small_scan) = sides
    hr_files, lr_files = _entries(large_scan), _entries(small_scan)
    pictures, small_pictures, skipped = [], [], []
    for path, large in sorted(hr_files.items(), key=lambda item: item[0].relative_to(hr).as_posix()):
        small = lr_files[partners[path]]
        if isinstance(large, str):
            skipped.append((path, large))
        elif isinstance(small, str):
            skipped.append((partners[path], small))
        elif (small.height, small.width) != (large.height // scale, large.width // scale):
            sizes = f"{small.width}x{small.height} is not {path}: {large.width}x{large.height}"
            skipped.append((small.path, f"{sizes} divided by {scale}"))
        else:
            pictures.append(large)
            small_pictures.append(small)
    if not pictures:
        raise UserError(
            f"{_set_folder(sides)}: no usable pair, {len(skipped)} skipped; the first: {skipped[0][0]}: {skipped[0][1]}"
        )
    return PairScan(Scan(tuple(pictures), tuple(skipped)), tuple(small_pictures))


def _entries(scan: Scan) -> dict[Path, PictureFile | str]:
    """The images of a scan by path; for skipped ones the reason."""
    found: dict[Path, PictureFile | str] = {path: why for path, why in scan.skipped if is_picture(str(path))}
    return found | {picture.path: picture for picture in scan.pictures}
