"""`srgan degrade`: degraded images for tests, which others can make again."""

import dataclasses
import os
from pathlib import Path

from tqdm import tqdm

from srgan_tf.cli.command_line import report_failures
from srgan_tf.cli.flags import setting
from srgan_tf.cli.shared import PhotoDegradation, check_outside
from srgan_tf.data.downloads import SETS, find_set
from srgan_tf.data.folders import find_pairs
from srgan_tf.evaluation.systems import DEFAULT_SCALE
from srgan_tf.imaging.formats import kind_of
from srgan_tf.system.atomic import keep_existing
from srgan_tf.system.errors import UsageError
from srgan_tf.system.terminal import say


@dataclasses.dataclass(frozen=True)
class Settings(PhotoDegradation):
    """Degrade photographs at random: LR with blur, noise and JPEG artefacts, as `train --degradation=photo` makes it.

    srgan degrade photos degraded --seed=0           writes degraded/HR/, degraded/LR/ and degraded/degradations.json
    srgan degrade set14 degraded --seed=0
    srgan degrade photo.jpg small.png --seed=3       and small.json
    srgan evaluate degraded
    """

    input: str = setting(
        "",
        "what to degrade: an image; a folder, with its subfolders, or one with HR/; or the name of a set that is"
        f" downloaded: {', '.join(SETS)}",
        positional="INPUT",
        required=True,
    )
    output: str = setting(
        "",
        "where to: a folder, which is a test set then; for one image the file of LR. What was drawn for each image is"
        " in degradations.json there, or beside the file",
        positional="OUTPUT",
        required=True,
    )
    seed: int = setting(
        0, "random seed; with the name of an image it decides what is drawn for it", lower=0, upper=2**32 - 1
    )
    scale: int = setting(DEFAULT_SCALE, "factor by which LR is smaller: 2, 4 or 8", lower=2, upper=8)
    overwrite: bool = setting(False, "replace what exists already")

    def checked(self):
        if self.scale not in (2, 4, 8):
            raise UsageError(f"--scale={self.scale}: must be 2, 4 or 8")
        check_outside("output", self.output, "input", self.input)
        if os.path.exists(self.input):  # not the name of a set; what is replaced must not be what is read
            check_outside("input", self.input, "output", self.output)
        return super().checked()


def run(settings):
    """Writes LR of an image, or a test set of many, and what was drawn."""
    from srgan_tf.data import degraded

    output, degradation = Path(settings.output), settings.photo_degradation(settings.scale, settings.seed)
    if os.path.isfile(settings.input):
        kind_of(output)
        for path in (output, output.with_suffix(".json")):
            keep_existing(path, settings.overwrite)
        degraded.write_picture(Path(settings.input), output, degradation)
        say(f"degraded to {output}; what was drawn is in {output.with_suffix('.json')}")
        return 0
    unreadable: list = []
    pairs = find_pairs(find_set(settings.input), on_error=unreadable.append)
    degraded.check_set_target(output, settings.overwrite)
    with tqdm(pairs, unit="image", leave=False, disable=None) as shown:
        failures = degraded.write_set(shown, output, degradation)
    weights = "" if settings.scale == DEFAULT_SCALE else f" --weights=NETWORK_FOR_{settings.scale}X"
    say(f"{len(pairs) - len(failures)} degraded; `srgan evaluate {output}{weights}` scores networks on them")
    return report_failures(unreadable + failures)
