"""Pairs to train on: HR photographs, and LR of them that was made elsewhere, by another camera or scanner say."""

import dataclasses
from pathlib import Path

from srgan_tf.data import folders, layouts, packed
from srgan_tf.data.folders import PictureFile, Scan
from srgan_tf.data.store import PhotographStore, Store
from srgan_tf.data.walk import folder_names, is_picture
from srgan_tf.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Pictures to train on.

    Attributes:
        folder: That they are in, packed or not; "" if they are in none.
        pictures: Of its `data.folders.Scan`.
    """

    folder: Path | str
    pictures: tuple[PictureFile, ...]

    @property
    def is_packed(self) -> bool:
        return packed.is_packed(self.folder)

    def store(self, scale: int, cache_bytes: int) -> Store:
        """Where their crops come from; see `Store` and `PhotographStore`."""
        if self.is_packed:
            return packed.PackedStore(self.folder, self.pictures, scale)
        return PhotographStore(self.pictures, scale, cache_bytes)


@dataclasses.dataclass(frozen=True)
class PairScan:
    """What a folder of pairs holds.

    Attributes:
        hr: `data.folders.Scan` of the usable pairs' HR pictures; `skipped` has the others of either side.
        lr: Their LR pictures, in the same order.
    """

    hr: Scan
    lr: tuple[PictureFile, ...]


def find_sides(folder: Path | str, scale: int = 4) -> tuple[Path, Path] | None:
    """The folders of HR and LR in a folder, in one of the layouts of `data.layouts`; None if it is one of HR alone.

    Args:
        folder: With `HR/` and `LR/`, say.
        scale: Factor between them, by which LR is chosen where there are several.

    Raises:
        UserError: There is only LR, there are several sets, or only names tell HR and LR apart.
    """
    folder = Path(folder)
    sides = layouts.find_sides(folder, scale)
    if not sides and (lr := [name for name in folder_names(folder) if layouts.is_lr(name)]):
        raise UserError(f"{folder}: has {lr[0]}/ but no HR/; put the originals into HR/")
    if not sides or sides[0].lr is None:
        return None
    if len(sides) > 1 or sides[0].lr == sides[0].hr:
        raise UserError(f"{folder}: holds several sets, or HR and LR in one folder; put one set into HR/ and LR/")
    return sides[0].hr, sides[0].lr


def scan_photographs(folder: Path | str, min_side: int = 1) -> Scan:
    """`data.folders.scan` of a folder of photographs, or `data.packed.scan` of a packed one."""
    return (packed.scan if packed.is_packed(folder) else folders.scan)(folder, min_side)


def scan_pairs(hr: Path, lr: Path, scale: int, min_side: int) -> PairScan:
    """Finds the usable pairs: by their names, as `data.folders.find_pairs` does, and by their sizes.

    Args:
        hr: Folder of HR pictures, packed or not.
        lr: Folder of LR pictures, packed or not.
        scale: Factor between them: LR has the size of HR divided by it, rounded down.
        min_side: HR pictures with a shorter side, in pixels, are skipped.

    Raises:
        UserError: A picture has no partner, two have one name, or no pair is usable.
    """
    scans = scan_photographs(hr, min_side), scan_photographs(lr)
    partners = match_scans((hr, lr), scans)
    hr_files, lr_files = map(_entries, scans)
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
            f"{hr.parent}: no usable pair, {len(skipped)} skipped; the first: {skipped[0][0]}: {skipped[0][1]}"
        )
    return PairScan(Scan(tuple(pictures), tuple(skipped)), tuple(small_pictures))


def match_scans(sides: tuple[Path, Path], scans: tuple[Scan, Scan]) -> dict[Path, Path]:
    """The LR file of each HR file, of the skipped ones too; see `data.folders.match`.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    hr, lr = (folders.named(_entries(scan), folder) for folder, scan in zip(sides, scans))
    return folders.match(hr, lr, sides[0].parent)


def _entries(scan: Scan) -> dict[Path, PictureFile | str]:
    """What each picture of a scan is, or why it is skipped."""
    found: dict[Path, PictureFile | str] = {path: why for path, why in scan.skipped if is_picture(str(path))}
    return found | {picture.path: picture for picture in scan.pictures}
