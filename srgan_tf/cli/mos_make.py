"""`srgan mos make`: the page on which raters give their scores, or compare pairs."""

import dataclasses
import math
from pathlib import Path

from tqdm import tqdm

from srgan_tf.cli.flags import setting, unless_auto
from srgan_tf.cli.shared import Systems, TestSet, find_results, precision_notes
from srgan_tf.evaluation.benchmark import BASELINES
from srgan_tf.evaluation.html import showing_bytes
from srgan_tf.evaluation.picture_sets import fit_sets, sizes, subset
from srgan_tf.evaluation.systems import find_scale, with_baselines
from srgan_tf.system.atomic import check_writable, keep_existing
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.system.terminal import say


@dataclasses.dataclass(frozen=True)
class Settings(Systems, TestSet):
    """Write one page on which people rate every system's images and HR, or compare them; see `srgan mos score`.

    srgan mos make TESTSETS study.html
    srgan mos make TESTSETS study.html --kind=pairs
    """

    output: str = setting("study.html", "the page", positional="OUTPUT")
    kind: str = setting(
        "scores",
        "what raters do: score an image from 1 to 5, or choose the better of a pair of the same scene",
        choices=("scores", "pairs"),
    )
    per_set: int = setting(0, "images of each set on the page, spread over it (0: all)", lower=0)
    overwrite: bool = setting(False, "replace a page that exists already")

    def checked(self):
        if Path(self.output).suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--output={self.output}: the page's name must end in .html")
        return super().checked()


def run(settings):
    """Writes the page, and says how many raters it needs."""
    from srgan_tf.evaluation.mos_design import pairs_plan, scores_plan
    from srgan_tf.evaluation.mos_page import all_versions, write_study

    path = Path(settings.output)
    if path.is_dir():
        raise UserError(f"--output={path}: a folder; name a file for the page")
    keep_existing(path, settings.overwrite, "exists already, and raters may be at it")
    check_writable(path)
    weights, results = settings.find()
    sets = [subset(each, settings.per_set) for each in settings.sets(scale=find_scale(weights))]
    external = [find_results(results, each) for each in sets]
    versions = len(weights) + bool(settings.model) + len(results) + len(BASELINES) + 1  # and HR
    pixels = (math.prod(size) for each in sets for size in sizes(each.pairs))
    upscalers, scale = settings.beside(pixels, showing_bytes(versions)).load(weights)
    sets, notes = fit_sets(sets, scale)
    systems = with_baselines(upscalers, scale)
    say(*notes, *precision_notes(upscalers.values()))
    total = sum(len(each.pairs) for each in sets)
    versions_made = all_versions(sets, systems, external, scale, unless_auto(settings.max_memory))
    with tqdm(versions_made, total=total, unit="image", leave=False, disable=None) as shown:
        if settings.kind == "pairs":
            count = write_study(path, "Which image is better?", shown, total)
        else:
            count = write_study(path, "How good is each image?", shown)
    asked = "pairs of images to compare" if settings.kind == "pairs" else "images to rate"
    say(f"{path}: {count} {asked}, {path.stat().st_size / 1e6:.1f} MB; raters open it and save a file")
    pictures = {each.name: len(each.pairs) for each in sets}
    say(pairs_plan(pictures, versions) if settings.kind == "pairs" else scores_plan(pictures))
    return 0
