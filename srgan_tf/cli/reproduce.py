"""`srgan reproduce`: the slides' tables, with the package's own figures beside them, as a page."""

import dataclasses
import math
from pathlib import Path

from tqdm import tqdm

from srgan_tf.cli.command_line import report_failures
from srgan_tf.cli.flags import setting, unless_auto
from srgan_tf.cli.shared import LPIPS_HELP, MODEL_HELP, Limits, load_lpips
from srgan_tf.data.downloads import find_set
from srgan_tf.evaluation import published
from srgan_tf.evaluation.benchmark import BASELINES, score_set, scoring_bytes
from srgan_tf.evaluation.facts import facts
from srgan_tf.evaluation.picture_sets import find_sets, fit_sets, sizes
from srgan_tf.evaluation.systems import SELFEX, load_systems
from srgan_tf.inference.precision import choose_precision
from srgan_tf.system.atomic import atomic_file, check_writable, keep_existing
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.system.terminal import say
from srgan_tf.weights import find_weights, general_names, read_manifest


@dataclasses.dataclass(frozen=True)
class Settings(Limits):
    """Score the package's networks on the paper's test sets, and write every row of the slides' tables with ours.

    srgan reproduce --lpips=fetch
    srgan reproduce reproduce.md --data=BENCHMARKS
    """

    output: str = setting("reproduce.md", "the page, in Markdown", positional="OUTPUT")
    data: str = setting("", "folder of the sets Set5, Set14 and BSD100, each with HR/ (empty: they are downloaded)")
    lpips: str = setting("", LPIPS_HELP)
    model: str = setting("", f"{MODEL_HELP}; also scored", choices=("", SELFEX))
    faces: str = setting("", "faces.json of `srgan faces`, for the slides' last table")
    overwrite: bool = setting(False, "replace a page that exists already")

    def checked(self):
        if Path(self.output).suffix.lower() != ".md":
            raise UsageError(f"--output={self.output}: the page's name must end in .md")
        return super().checked()


def run(settings):
    """Scores the networks and writes the page."""
    from srgan_tf.evaluation import reproduction, tables

    keep_existing(Path(settings.output), settings.overwrite)
    check_writable(settings.output)
    faces = reproduction.read_faces(settings.faces) if settings.faces else ()
    sets = _find_sets(settings.data)
    manifest = read_manifest()
    weights = {name: find_weights(name) for name in general_names()}
    lpips = load_lpips(settings.lpips)
    systems_count = len(weights) + bool(settings.model) + len(BASELINES)
    pixels = (math.prod(size) for each in sets for size in sizes(each.pairs))
    limits = settings.beside(pixels, scoring_bytes(systems_count, lpips=lpips is not None, rgb=False)).limits()
    systems, scale = load_systems(weights, settings.model, **limits)
    sets, _ = fit_sets(sets, scale)
    with tqdm(total=sum(len(each.pairs) for each in sets), unit="image", leave=False, disable=None) as bar:
        options = {"lpips": lpips, "max_memory": unless_auto(settings.max_memory)}
        scored = [score_set(each, systems, scale, None, lambda picture: bar.update(), **options) for each in sets]
    failures = [error for one in scored for error in one.failures]
    failures += [
        UserError(f"{one.set.name}: LR is not MATLAB's bicubic of HR, as published figures need; remove its LR/")
        for one in scored
        if not one.bicubic_lr
    ]
    if not failures:  # means of fewer images are not to be compared
        known = facts(
            weights, protocol=tables.protocol(lpips and lpips.net, False, choose_precision(settings.precision))
        )
        with atomic_file(settings.output) as partial:
            partial.write_text(reproduction.page(scored, manifest, known, faces), encoding="utf-8")
        say(settings.output)
    return report_failures(failures)


def _find_sets(data):
    """The paper's test sets, in its order and whole."""
    if data:
        found = {published.set_key(each.name): each for each in find_sets(data)}
    else:
        found = {name: find_sets(find_set(name))[0] for name in published.NAMES}
    for name in published.NAMES:
        if name not in found:
            raise UserError(f"{data}: has no set {name}; name the folder in which {', '.join(published.NAMES)} are")
        wanted, pairs = published.find(name).pictures, len(found[name].pairs)
        if pairs != wanted:
            raise UserError(f"{data or name}: {pairs} images in {name} instead of {wanted}; fetch the set again")
    return [found[name] for name in published.NAMES]
