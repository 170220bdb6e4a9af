"""Runs systems over test sets and scores what they make of them."""

import concurrent.futures
import dataclasses
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan_tf.data.folders import Pair, drop_mismatched_lr, find_pairs, find_pictures, find_subfolder
from srgan_tf.evaluation.lpips import Lpips
from srgan_tf.evaluation.metrics import METRICS, SECONDS, SHAVE, WINDOW, Comparison
from srgan_tf.evaluation.records import Score
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, downscale, upscale_bicubic, upscale_nearest
from srgan_tf.system.errors import UserError

Image = NDArray[np.uint8]  # RGB, (H, W, 3)
BASELINES = {"nearest": upscale_nearest, "bicubic": upscale_bicubic}
_SMALLEST = 2 * SHAVE + WINDOW  # side from which the metrics have something to compare, pixels
_WARM_UP = 16  # side of the LR crop that each system sees before its time is taken, pixels
_BLOCK = 2  # pictures in memory at a time, for each worker


@dataclasses.dataclass(frozen=True)
class PictureSet:
    """A test set: its name and `data.folders.Pair`s."""

    name: str
    pairs: tuple[Pair, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class SetScores:
    """All that is known about a test set after `score_set`.

    Attributes:
        set: The `PictureSet`.
        scale: Enlargement of all systems.
        systems: Names of the systems that upscaled, in order.
        external: Dict from the name of each other system to a dict from a picture's name to its file.
        scores: `Score`s, picture by picture, `systems` before `external`.
        failures: `UserError`s of the pictures left out.
        pictures_folder: Where `SYSTEM/PICTURE.png` of `systems` are, or None.
    """

    set: PictureSet
    scale: int
    systems: tuple[str, ...]
    external: Mapping[str, Mapping[str, Path]]
    scores: list[Score]
    failures: list[UserError]
    pictures_folder: Path | None

    def picture_file(self, system, picture):
        """The file of what a system made of a picture."""
        if system in self.external:
            return self.external[system][picture]
        return picture_path(self.pictures_folder, system, picture)


def picture_path(folder, system, picture):
    """Where `score_set` writes what a system made of a picture."""
    return Path(folder, system, f"{picture}.png")


def find_sets(folder):
    """The test sets of a folder.

    Args:
        folder: One set, as `data.folders.find_pairs` takes it; or a folder of sets, each a folder with `HR/` in it,
            in any case. Whatever else is there is left out; see `find_ignored`.

    Returns:
        A list of `PictureSet`, named after their folders; Set5 comes before Set14.

    Raises:
        UserError: See `find_pairs`.
    """
    found = _set_folders(folder) or [Path(folder).absolute()]
    return [PictureSet(path.name, tuple(find_pairs(path))) for path in found]


def find_ignored(folder):
    """What `find_sets` leaves out of a folder of sets: names in it, of pictures and of folders with some but no `HR/`.

    Args:
        folder: As of `find_sets`; there is nothing to tell of a single set.

    Returns:
        A sorted list.
    """
    sets = {path.name for path in _set_folders(folder)}
    return sorted({path.relative_to(folder).parts[0] for path in find_pictures(folder)} - sets) if sets else []


def _set_folders(folder):
    """The folders in a folder of sets, in order; none if it is a set itself."""
    folder = Path(folder)
    if not folder.is_dir() or find_subfolder(folder, "HR"):
        return []
    inside = [path for path in folder.iterdir() if not path.name.startswith(".") and find_subfolder(path, "HR")]
    return sorted(inside, key=lambda path: [int(part) if part.isdigit() else part.lower() for part in _parts(path)])


def subset(picture_set, count):
    """The `PictureSet` with `count` of its pictures, evenly spread; all of them for 0."""
    pairs = picture_set.pairs
    if not 0 < count < len(pairs):
        return picture_set
    return PictureSet(picture_set.name, tuple(pairs[number * len(pairs) // count] for number in range(count)))


def fit_sets(sets, scale):
    """The sets without the LR files of another enlargement, see `data.folders.drop_mismatched_lr`.

    Args:
        sets: `PictureSet`s.
        scale: Enlargement.

    Returns:
        `(sets, notes)`: a list of `PictureSet`, and a list of sentences, each about a set whose LR files are left out.
    """
    fitted, notes = [], []
    for each in sets:
        pairs, note = drop_mismatched_lr(each.pairs, scale)
        fitted.append(PictureSet(each.name, pairs))
        if note:
            notes.append(f"{each.name}: {note}")
    return fitted, notes


def _parts(path):
    return re.split(r"(\d+)", path.name)


def find_cropped(pairs, scale):
    """The HR pictures that are cut at the right and at the bottom, because a side is not a multiple of `scale`.

    Args:
        pairs: `data.folders.Pair`s.
        scale: Enlargement.

    Returns:
        A list of the names of pictures; one that cannot be read is not among them.
    """
    cut = []
    for pair in pairs:
        try:
            height, width = files.probe(pair.hr)
        except UserError:  # it is reported when it is scored
            continue
        if height % scale or width % scale:
            cut.append(pair.name)
    return cut


def smallest_side(scale):
    """The shortest side of an HR picture that can be scored, pixels: cut to a multiple of `scale`, enough is left."""
    return -(-_SMALLEST // scale) * scale


def too_small(height, width, scale):
    """The reason why an HR picture with a side below `smallest_side` is refused."""
    return f"{width}x{height} is too small to be scored; {smallest_side(scale)} pixels a side are needed"


def load_pair(pair, scale=4):
    """Reads HR and LR of a pair; LR is made by MATLAB's bicubic if the pair has no file of it.

    Args:
        pair: A `data.folders.Pair`.
        scale: Enlargement from LR to HR.

    Returns:
        `(hr, lr)`, uint8 RGB `(scale H, scale W, 3)` and `(H, W, 3)`; HR is cut to multiples of `scale`.

    Raises:
        UserError: A file cannot be read, HR is too small to be scored, or the two sizes do not fit.
    """
    original = files.read_rgb(pair.hr)
    hr = crop_to_multiple(original, scale)
    height, width = hr.shape[:2]
    if min(height, width) < smallest_side(scale):
        raise UserError(f"{pair.hr}: {too_small(*original.shape[:2], scale)}")
    if pair.lr is None:
        return hr, downscale(hr, scale)
    lr = files.read_rgb(pair.lr)
    if (lr.shape[0] * scale, lr.shape[1] * scale) != (height, width):
        raise UserError(
            f"{pair.lr}: {_size(lr)} is not {pair.hr}: {_size(original)} divided by {scale}; replace one, or remove LR/"
            " to have it made"
        )
    return hr, lr


def _size(image):
    return f"{image.shape[1]}x{image.shape[0]}"


def score_set(
    picture_set: PictureSet,
    systems: Mapping[str, Callable[[Image], Image]],
    scale: int = 4,
    pictures_folder: Path | None = None,
    on_progress: Callable[[str], object] | None = None,
    external: Mapping[str, Mapping[str, Path]] | None = None,
    *,
    lpips: Lpips | None = None,
    rgb: bool = False,
    workers: int | None = None,
) -> SetScores:
    """Lets every system upscale every picture of a test set, and scores what they make.

    The systems run one after the other with nothing beside them, since they are timed; reading and scoring are spread
    over threads. A picture that cannot be read or upscaled is left out for all systems, so that their means stay
    comparable, and the others go on.

    Args:
        picture_set: A `PictureSet`.
        systems: Dict from name to a function of LR, uint8 `(H, W, 3)`, that returns uint8 `(scale H, scale W, 3)`.
        scale: Enlargement of all systems.
        pictures_folder: Where to write `SYSTEM/PICTURE.png`, or None.
        on_progress: Called with the picture's name after each, or None.
        external: Dict from the name of a system that has run already to a dict from a picture's name to its file.
        lpips: A `lpips.Lpips`, or None.
        rgb: Whether to score RGB, too.
        workers: Threads; None for one for each core.

    Returns:
        A `SetScores`.
    """
    external = external or {}
    workers = workers or os.cpu_count() or 1
    timed = {name: _Timed(system) for name, system in systems.items()}
    wanted = [metric for metric in METRICS if metric.function and (rgb or metric.option != "rgb")]
    scores, failures = [], []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(picture_set.pairs), _BLOCK * workers):
            items = [_Item(pair) for pair in picture_set.pairs[start : start + _BLOCK * workers]]
            list(pool.map(lambda item: item.attempt(_load, scale, external), items))
            for item in items:
                item.attempt(_upscale, timed)
            measured = pool.map(lambda item: item.attempt(_measure, wanted, pictures_folder), items)
            if lpips is not None:
                for item in items:
                    item.attempt(_measure_lpips, lpips)
            list(measured)
            for item in items:
                if item.error is None:
                    scores += item.scores(picture_set.name)
                else:
                    failures.append(item.error)
                if on_progress:
                    on_progress(item.pair.name)
    return SetScores(picture_set, scale, tuple(systems), external, scores, failures, pictures_folder)


class _Timed:
    """A system that says how long it took, without its first call, which builds a graph."""

    def __init__(self, system):
        self._system = system
        self._is_warm = False

    def __call__(self, lr):
        if not self._is_warm:
            self._system(lr[:_WARM_UP, :_WARM_UP])
            self._is_warm = True
        start = time.perf_counter()
        image = self._system(lr)
        return image, time.perf_counter() - start


class _Item:
    """A picture on its way through `score_set`."""

    def __init__(self, pair):
        self.pair = pair
        self.hr = self.lr = self.error = None
        # By system: output, and dicts of the metrics' values; LPIPS apart, since it is measured at the same time.
        self.upscaled, self.external, self.values, self.lpips = {}, {}, {}, {}

    def attempt(self, step, *args):
        """Does a step unless an earlier one failed; what goes wrong is kept as `error`."""
        if self.error is not None:
            return
        try:
            step(self, *args)
        except UserError as error:
            self.error = error
        except MemoryError as error:
            self.error = UserError(f"{self.pair.lr or self.pair.hr}: {error}")

    @property
    def images(self):
        """All that is scored, by system."""
        return self.upscaled | self.external

    def scores(self, set_name):
        return [
            Score(
                set_name,
                self.pair.name,
                system,
                self.values[system] | self.lpips.get(system, {}),
                pixels=image.shape[0] * image.shape[1],
            )
            for system, image in self.images.items()
        ]


def _load(item, scale, external):
    item.hr, item.lr = load_pair(item.pair, scale)
    for system, paths in external.items():
        item.external[system] = load_external_result(paths[item.pair.name], item.pair, item.hr, scale)


def _upscale(item, systems):
    for name, system in systems.items():
        item.upscaled[name], seconds = system(item.lr)
        item.values[name] = {SECONDS.key: seconds}


def _measure(item, wanted, pictures_folder):
    for system, image in item.images.items():
        comparison = Comparison(item.hr, image)
        values = {metric.key: metric.function(comparison) for metric in wanted}
        item.values[system] = item.values.get(system, {}) | values
        if pictures_folder is not None and system in item.upscaled:
            files.write(picture_path(pictures_folder, system, item.pair.name), image)


def _measure_lpips(item, lpips):
    if min(item.hr.shape[:2]) >= lpips.smallest:
        distances = lpips(item.hr, list(item.images.values()))
        item.lpips = {system: {"lpips": distance} for system, distance in zip(item.images, distances)}


def load_external_result(path: Path, pair: Pair, hr: Image, scale: int) -> Image:
    """What another system made of a pair: uint8 RGB of HR's size; `UserError` if it cannot be read or does not fit."""
    image = files.read_rgb(path)
    if crop_to_multiple(image, scale).shape != hr.shape:
        raise UserError(f"{path}: {_size(image)} is not {_size(hr)}, what {pair.hr} has; replace one")
    return image[: hr.shape[0], : hr.shape[1]]
