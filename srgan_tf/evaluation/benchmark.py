"""Runs systems on test sets and scores their results."""

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from srgan_tf.evaluation.external_results import load_external_result
from srgan_tf.evaluation.lpips import Lpips
from srgan_tf.evaluation.memory import check_memory
from srgan_tf.evaluation.metrics import METRICS, SECONDS, Comparison
from srgan_tf.evaluation.picture_sets import Image, PictureSet, load_pair, luma_channel
from srgan_tf.evaluation.records import Score
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale, upscale_bicubic, upscale_nearest
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.system.atomic import file_id
from srgan_tf.system.errors import UserError

BASELINES = {"nearest": upscale_nearest, "bicubic": upscale_bicubic}
_WARM_UP = 16  # side of the LR crop that each system upscales before it is timed, pixels
# Peak memory for each pixel of HR, besides the images themselves: measured on 12 megapixels.
_METRICS_BYTES, _RGB_BYTES, _LPIPS_BYTES = 110, 45, 260
_BLOCK = 2  # images in memory at a time, for each worker
_BICUBIC_LEVELS = 0.5  # largest mean difference of an LR file from MATLAB's bicubic that rounding explains


@dataclasses.dataclass(frozen=True, eq=False)
class SetScores:
    """The result of `score_set`.

    Attributes:
        set: The `PictureSet`.
        scale: Scale factor of all systems.
        systems: Names of the systems that were run, in order.
        external: Dict from the name of each external system to a dict from an image's name to its file.
        scores: `Score`s, image by image, `systems` before `external`.
        failures: `UserError`s of the images left out.
        pictures_folder: The folder with `SYSTEM/IMAGE.png` of `systems`, or None.
        bicubic_lr: Whether all LR images are MATLAB's bicubic of HR, as in published tables.
    """

    set: PictureSet
    scale: int
    systems: tuple[str, ...]
    external: Mapping[str, Mapping[str, Path]]
    scores: list[Score]
    failures: list[UserError]
    pictures_folder: Path | None
    bicubic_lr: bool = True

    def picture_file(self, system: str, picture: str) -> Path:
        """The file of a system's result for an image."""
        if system in self.external:
            return self.external[system][picture]
        if self.pictures_folder is None:
            raise ValueError(f"No image of {system} was written; score_set was given no pictures_folder")
        return picture_path(self.pictures_folder, system, picture)


def picture_path(folder: Path | str, system: str, picture: str) -> Path:
    """The file to which `score_set` writes a system's result for an image."""
    return Path(folder, system, f"{picture}.png")


def check_inputs_stay(
    picture_set: PictureSet, systems: Iterable[str], folder: Path | str, external: Mapping[str, Mapping[str, Path]]
) -> None:
    """Checks, before anything is scored, that what `score_set` writes to `folder` replaces nothing that it reads.

    Raises:
        UserError: It would replace an image of the test set, or one of `external`.
    """
    read = [path for pair in picture_set.pairs for path in (pair.hr, pair.lr) if path]
    read += [path for paths in external.values() for path in paths.values()]
    inputs = {file_id(path): path for path in read}
    for pair in picture_set.pairs:
        for target in (picture_path(folder, system, pair.name) for system in systems):
            if (existing := file_id(target)) and existing in inputs:
                raise UserError(f"{target}: would replace the input {inputs[existing]}; give another --pictures")


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
    max_memory: int | None = None,
) -> SetScores:
    """Upscales every image of a test set by every system, and scores the results.

    The systems run one after the other and alone, since they are timed; threads share the reading and the scoring. An
    image that cannot be read or upscaled is left out for all systems, so that their means stay comparable.

    Args:
        picture_set: A `PictureSet`.
        systems: Dict from name to a function of LR, uint8 `(H, W, 3)`, that returns uint8 `(scale H, scale W, 3)`.
        scale: Scale factor of all systems.
        pictures_folder: The folder to write `SYSTEM/IMAGE.png` to, or None.
        on_progress: Called with the name of each image after it, or None.
        external: Dict from the name of an external system to a dict from an image's name to its file.
        lpips: A `lpips.Lpips`, or None.
        rgb: Whether to score RGB, too.
        max_memory: Bytes that the process may have at its peak. Images are then scored one after the other, and one
            that needs more is a failure. None: no limit.

    Returns:
        A `SetScores`.
    """
    external = external or {}
    workers = os.cpu_count() or 1
    block = _BLOCK * workers if max_memory is None else 1
    pixel_bytes = scoring_bytes(len(systems) + len(external), lpips=lpips is not None, rgb=rgb)
    timed = {name: _Timed(system) for name, system in systems.items()}
    wanted = [metric for metric in METRICS if metric.function and (rgb or metric.option != "rgb")]
    scores, failures, bicubic_lr = [], [], True
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(picture_set.pairs), block):
            items = [_Item(pair) for pair in picture_set.pairs[start : start + block]]
            for item in items:
                item.attempt(_check_memory, pixel_bytes, max_memory)
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
                    bicubic_lr &= item.bicubic_lr
                else:
                    failures.append(item.error)
                if on_progress:
                    on_progress(item.pair.name)
    return SetScores(picture_set, scale, tuple(systems), external, scores, failures, pictures_folder, bicubic_lr)


def scoring_bytes(systems: int, *, lpips: bool, rgb: bool) -> int:
    """Memory for scoring one image, bytes for each pixel of HR: HR, LR, the systems' results, and the metrics."""
    return 3 * (systems + 2) + _METRICS_BYTES + _RGB_BYTES * rgb + _LPIPS_BYTES * lpips


class _Timed:
    """A system that also returns its time; a first call, which builds a graph, is not timed."""

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
    """An image during `score_set`."""

    def __init__(self, pair):
        self.pair = pair
        self.hr = self.lr = self.luma_channel = self.bicubic_lr = self.error = None
        # By system: outputs, and dicts of the metrics' values. LPIPS is separate, since another thread measures it.
        self.upscaled, self.external, self.values, self.lpips = {}, {}, {}, {}

    def attempt(self, step, *args):
        """Runs a step unless an earlier one failed; stores a failure as `error`."""
        if self.error is not None:
            return
        try:
            step(self, *args)
        except UserError as error:
            self.error = error
        except MemoryError as error:
            self.error = UserError(f"{self.pair.hr}: {str(error) or 'out of memory'}")

    @property
    def images(self):
        """All images to score, by system."""
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


def _check_memory(item, pixel_bytes, max_memory):
    check_memory(item.pair.hr, pixel_bytes, max_memory, "score")


def _load(item, scale, external):
    item.hr, item.lr = load_pair(item.pair, scale)
    item.bicubic_lr = item.pair.lr is None or _is_bicubic(item.lr, item.hr, scale)
    item.luma_channel = luma_channel(item.pair)
    for system, paths in external.items():
        item.external[system] = load_external_result(paths[item.pair.name], item.pair, item.hr, scale)


def _is_bicubic(lr, hr, scale):
    return np.abs(downscale(hr, scale).astype(int) - lr).mean() <= _BICUBIC_LEVELS


def _upscale(item, systems):
    for name, system in systems.items():
        with image_errors(f"{item.pair.lr or item.pair.hr}: {name}"):
            item.upscaled[name], seconds = system(item.lr)
        item.values[name] = {SECONDS.key: seconds}


def _measure(item, wanted, pictures_folder):
    for system, image in item.images.items():
        comparison = Comparison(item.hr, image, item.luma_channel)
        values = {metric.key: metric.function(comparison) for metric in wanted}
        item.values[system] = item.values.get(system, {}) | values
        if pictures_folder is not None and system in item.upscaled:
            files.write(picture_path(pictures_folder, system, item.pair.name), image)


def _measure_lpips(item, lpips):
    if min(item.hr.shape[:2]) >= lpips.min_side:
        distances = lpips(item.hr, list(item.images.values()))
        item.lpips = {system: {"lpips": distance} for system, distance in zip(item.images, distances)}
