"""Runs systems over test sets and scores what they make of them."""

import concurrent.futures
import dataclasses
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from srgan_tf.data.folders import Pair, find_pairs, find_pictures, find_side, fit_lr
from srgan_tf.evaluation import metrics
from srgan_tf.evaluation.records import PictureScores
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, downscale, upscale_bicubic, upscale_nearest
from srgan_tf.system.errors import UserError

METRICS = ("psnr", "paper_ssim", "ssim", "rgb_psnr", "rgb_ssim", "lpips")  # fields of `Score`
BASELINES = {"nearest": upscale_nearest, "bicubic": upscale_bicubic}
_SMALLEST = 2 * metrics.SHAVE + metrics.WINDOW  # side from which the metrics have something to compare, pixels
_WARM_UP = 16  # side of the LR crop that each system sees before its time is taken, pixels
_BLOCK = 2  # pictures in memory at a time, for each worker


@dataclasses.dataclass(frozen=True)
class Score(PictureScores):
    """What one system made of one picture; a number that was not asked for, or cannot be had, is None.

    Attributes:
        set: The test set's name; may be empty.
        picture: The picture's name.
        system: The system's name.
        psnr: dB, see `metrics.psnr`.
        paper_ssim: See `metrics.paper_ssim`.
        ssim: See `metrics.ssim`.
        lpips: See `lpips.Lpips`.
        rgb_psnr: dB, over R, G and B.
        rgb_ssim: Mean of R, G and B.
        seconds: Time of the upscaling alone, in memory.
        pixels: Of what was made.
    """

    rgb_psnr: float | None = None
    rgb_ssim: float | None = None
    seconds: float | None = None
    pixels: int = 0


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
    """Where `score` writes what a system made of a picture."""
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
    if not folder.is_dir() or find_side(folder, "HR"):
        return []
    inside = [path for path in folder.iterdir() if not path.name.startswith(".") and find_side(path, "HR")]
    return sorted(inside, key=lambda path: [int(part) if part.isdigit() else part.lower() for part in _parts(path)])


def subset(picture_set, count):
    """The `PictureSet` with `count` of its pictures, evenly spread; all of them for 0."""
    pairs = picture_set.pairs
    if not 0 < count < len(pairs):
        return picture_set
    return PictureSet(picture_set.name, tuple(pairs[number * len(pairs) // count] for number in range(count)))


def fit_sets(sets, scale):
    """The sets, without the LR files of those that were made for another enlargement; see `data.folders.fit_lr`.

    Args:
        sets: `PictureSet`s.
        scale: Enlargement.

    Returns:
        `(sets, notes)`: a list of `PictureSet`, and a list of sentences, each about a set whose LR files are left out.
    """
    fitted, notes = [], []
    for each in sets:
        pairs, note = fit_lr(each.pairs, scale)
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


def score(
    pairs,
    systems,
    scale=4,
    pictures_folder=None,
    on_progress=None,
    *,
    set_name="",
    external=None,
    lpips=None,
    rgb=False,
    workers=None,
):
    """Lets every system upscale every picture.

    The systems run one after the other with nothing beside them, since they are timed; reading and scoring are spread
    over threads. A picture that cannot be read or upscaled is left out for all systems, so that their means stay
    comparable, and the others go on.

    Args:
        pairs: `data.folders.Pair`s.
        systems: Dict from name to a function of LR, uint8 `(H, W, 3)`, that returns uint8 `(scale H, scale W, 3)`.
        scale: Enlargement of all systems.
        pictures_folder: Where to write `SYSTEM/PICTURE.png`, or None.
        on_progress: Called with the picture's name after each, or None.
        set_name: The test set's name, for the scores.
        external: Dict from the name of a system that has run already to a dict from a picture's name to its file.
        lpips: A `lpips.Lpips`, or None.
        rgb: Whether to score RGB, too.
        workers: Threads; None for one for each core.

    Returns:
        `(scores, failures)`: a list of `Score`, picture by picture in the order of `systems` and then of `external`;
        and a list of the `UserError`s of the pictures left out.
    """
    external = external or {}
    workers = workers or os.cpu_count() or 1
    scores, failures, warm = [], [], False

    def load(item):
        item.hr, item.lr = load_pair(item.pair, scale)
        item.external = {
            system: load_external_result(paths[item.pair.name], item.pair, item.hr, scale)
            for system, paths in external.items()
        }

    def upscale(item):
        nonlocal warm
        if not warm:  # a first call builds a graph
            for system in systems.values():
                system(item.lr[:_WARM_UP, :_WARM_UP])
            warm = True
        item.upscaled = {system: _timed(function, item.lr) for system, function in systems.items()}

    def measure(item):
        made = item.upscaled | {system: (image, None) for system, image in item.external.items()}
        item.scores = [
            Score(
                set_name,
                item.pair.name,
                system,
                **_measure(item.hr, image, rgb),
                seconds=seconds,
                pixels=image.shape[0] * image.shape[1],
            )
            for system, (image, seconds) in made.items()
        ]
        if pictures_folder is not None:
            for system, (image, _) in item.upscaled.items():
                files.write(picture_path(pictures_folder, system, item.pair.name), image)

    def measure_lpips(item):
        if lpips is not None and min(item.hr.shape[:2]) >= lpips.smallest:
            images = [image for image, _ in item.upscaled.values()] + list(item.external.values())
            item.lpips = lpips(item.hr, images)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(pairs), _BLOCK * workers):
            items = [_Item(pair) for pair in pairs[start : start + _BLOCK * workers]]
            list(pool.map(_guarded(load), items))
            for item in items:
                _guarded(upscale)(item)
            measured = pool.map(_guarded(measure), items)
            for item in items:
                _guarded(measure_lpips)(item)
            list(measured)
            for item in items:
                if item.error is None:
                    distances = item.lpips or [None] * len(item.scores)
                    scores += [dataclasses.replace(one, lpips=own) for one, own in zip(item.scores, distances)]
                else:
                    failures.append(item.error)
                if on_progress:
                    on_progress(item.pair.name)
    return scores, failures


def score_set(picture_set, systems, scale=4, pictures_folder=None, on_progress=None, external=None, **options):
    """`score` over a test set.

    Args:
        picture_set: A `PictureSet`.
        systems: See `score`; as `scale`, `pictures_folder`, `on_progress`, `external` and the options.

    Returns:
        A `SetScores`.
    """
    external = external or {}
    scores, failures = score(
        picture_set.pairs,
        systems,
        scale,
        pictures_folder,
        on_progress,
        set_name=picture_set.name,
        external=external,
        **options,
    )
    return SetScores(picture_set, scale, tuple(systems), external, scores, failures, pictures_folder)


class _Item:
    """A picture on its way through `score`."""

    def __init__(self, pair):
        self.pair = pair
        self.hr = self.lr = self.error = None
        self.upscaled, self.external, self.scores, self.lpips = {}, {}, [], None


def _guarded(step):
    """The step of an item, done unless an earlier one failed; what goes wrong is kept as its `error`."""

    def guarded(item):
        if item.error is not None:
            return
        try:
            step(item)
        except UserError as error:
            item.error = error
        except MemoryError as error:
            item.error = UserError(f"{item.pair.lr or item.pair.hr}: {error}")

    return guarded


def _timed(system, lr):
    start = time.perf_counter()
    image = system(lr)
    return image, time.perf_counter() - start


def load_external_result(path, pair, hr, scale):
    """What another system made of a pair: uint8 RGB of HR's size; `UserError` if it cannot be read or does not fit."""
    image = files.read_rgb(path)
    if crop_to_multiple(image, scale).shape != hr.shape:
        raise UserError(f"{path}: {_size(image)} is not {_size(hr)}, what {pair.hr} has; replace one")
    return image[: hr.shape[0], : hr.shape[1]]


def _measure(hr, image, rgb):
    """The metrics by their names in `Score`."""
    y = metrics.compared(hr, image)
    values = {"psnr": metrics.psnr_of(*y), "paper_ssim": metrics.paper_ssim_of(*y), "ssim": metrics.ssim_of(*y)}
    if rgb:
        colors = metrics.compared(hr, image, channels="rgb")
        values |= {"rgb_psnr": metrics.psnr_of(*colors), "rgb_ssim": metrics.ssim_of(*colors)}
    return values
