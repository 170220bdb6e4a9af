"""Runs systems over a test set and scores what they make of it."""

import dataclasses
import time
from pathlib import Path

from srgan_tf.errors import UserError
from srgan_tf.evaluation import metrics
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import crop_to_multiple, downscale, upscale_bicubic, upscale_nearest

BASELINES = {"nearest": upscale_nearest, "bicubic": upscale_bicubic}
_SMALLEST = 2 * metrics.SHAVE + metrics.WINDOW  # side of an HR picture that can be scored, pixels
_WARM_UP = 16  # side of the LR crop that each system sees before its time is taken, pixels


@dataclasses.dataclass(frozen=True)
class Score:
    """What one system made of one picture.

    Attributes:
        system: Its name.
        picture: The picture's name.
        psnr: dB, see `metrics.psnr`.
        ssim: See `metrics.ssim`.
        seconds: Time of the upscaling alone, in memory.
    """

    system: str
    picture: str
    psnr: float
    ssim: float
    seconds: float


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
    if min(height, width) < _SMALLEST:
        raise UserError(f"{pair.hr}: {_size(original)} is too small to be scored; {_SMALLEST} pixels a side are needed")
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


def score(pairs, systems, scale=4, pictures_folder=None, on_progress=None):
    """Lets every system upscale every picture.

    A picture that cannot be read or upscaled is left out for all systems, so that their means stay comparable, and the
    others go on.

    Args:
        pairs: `data.folders.Pair`s.
        systems: Dict from name to a function of LR, uint8 `(H, W, 3)`, that returns uint8 `(scale H, scale W, 3)`.
        scale: Enlargement of all systems.
        pictures_folder: Where to write `SYSTEM/PICTURE.png`, or None.
        on_progress: Called with the picture's name after each, or None.

    Returns:
        `(scores, failures)`: a list of `Score`, picture by picture in the order of `systems`; and a list of the
        `UserError`s of the pictures left out.
    """
    scores, failures, warm = [], [], False
    for pair in pairs:
        try:
            hr, lr = load_pair(pair, scale)
            if not warm:  # a first call builds a graph
                for system in systems.values():
                    system(lr[:_WARM_UP, :_WARM_UP])
                warm = True
            scores += [_score(name, systems[name], pair.name, hr, lr, pictures_folder) for name in systems]
        except UserError as error:
            failures.append(error)
        except MemoryError as error:
            failures.append(UserError(f"{pair.lr or pair.hr}: {error}"))
        if on_progress:
            on_progress(pair.name)
    return scores, failures


def _score(name, system, picture, hr, lr, pictures_folder):
    start = time.perf_counter()
    sr = system(lr)
    seconds = time.perf_counter() - start
    if pictures_folder is not None:
        files.write(Path(pictures_folder, name, f"{picture}.png"), sr)
    return Score(name, picture, metrics.psnr(hr, sr), metrics.ssim(hr, sr), seconds)
