"""`srgan evaluate`: scores systems on test sets."""

import contextlib
import dataclasses
import math
import tempfile
from pathlib import Path

from tqdm import tqdm

from srgan_tf.cli.command_line import report_failures
from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.cli.shared import (
    BLENDED_NOTE,
    ENSEMBLE_HELP,
    FAITHFUL_HELP,
    LPIPS_HELP,
    STRENGTH_HELP,
    TOWARD_HELP,
    WEIGHTS_HELP,
    Systems,
    TestSet,
    check_dial,
    check_outside,
    find_results,
    load_lpips,
)
from srgan_tf.evaluation.benchmark import BASELINES, score_set, scoring_bytes
from srgan_tf.evaluation.facts import facts
from srgan_tf.evaluation.picture_sets import find_cropped, fit_sets, sizes
from srgan_tf.evaluation.records import HR, Pictures
from srgan_tf.evaluation.systems import (
    NONE,
    find_scale,
    load_dial,
    load_upscalers,
    named_results,
    named_weights,
    with_baselines,
)
from srgan_tf.system.atomic import check_writable
from srgan_tf.system.errors import UsageError
from srgan_tf.system.terminal import printable, say
from srgan_tf.weights import DIAL

HOW_TO_TRAIN = (
    "No --weights given: the package's own. `srgan train --train_dir=PHOTOS` trains yours, and"
    " --weights=runs/default/srresnet/generator.weights.h5 scores them."
)


@dataclasses.dataclass(frozen=True)
class Settings(Systems, TestSet):
    """Score networks, nearest neighbour and bicubic on a test set: PSNR, SSIM, LPIPS and speed.

    srgan evaluate                                     the package's networks on a few photographs
    srgan evaluate set5 --lpips=fetch
    srgan evaluate set5 --strength=0,0.25,0.5,0.75,1 --lpips=fetch --report=report
    srgan evaluate Set5 --weights=ours=runs/default/srgan/generator.weights.h5 --report=report
    """

    weights: str = setting((AUTO,), f"{WEIGHTS_HELP} (auto: all of the package's)", many=True)
    lpips: str = setting("", LPIPS_HELP)
    lpips_net: str = setting("alexnet", "net of LPIPS; most publications have alexnet", choices=("alexnet", "vgg16"))
    faithful: bool = setting(False, FAITHFUL_HELP)
    strength: str = setting(
        "", f"a row for each number, such as 0,0.25,0.5,0.75,1, instead of the weights: {STRENGTH_HELP}", once=True
    )
    toward: str = setting("", TOWARD_HELP, once=True)
    ensemble: bool = setting(False, f"besides each network a row NAME+: {ENSEMBLE_HELP}")
    rgb: bool = setting(False, "also PSNR and SSIM of RGB")
    confidence: bool = setting(False, "differences with 95 % intervals, bootstrap over images")
    verbose: bool = setting(False, "also a row for each image")
    csv: str = setting("", "file for the scores of each image; older scores are replaced")
    pictures: str = setting(
        "", "folder to write the upscaled images to, SYSTEM/IMAGE.png; of several sets SET/SYSTEM/..."
    )
    report: str = setting("", "folder to write a report to: tables, figures and a page to compare the images on")
    overwrite: bool = setting(False, "replace a report that exists already")

    def limits(self):
        return super().limits() | {"faithful": self.faithful}

    def checked(self):
        if self.overwrite and not self.report:
            raise UsageError("--overwrite is about --report; leave it out")
        if self.lpips_net != Settings.lpips_net and not self.lpips:
            raise UsageError("--lpips_net cannot be given without --lpips; leave it out or give LPIPS' weights")
        given = () if self.weights == (AUTO,) else self.weights
        check_dial(self, given, self.strength or None)
        if self.strength and len(given) > 1:
            raise UsageError("--strength is between two networks; give one --weights and --toward")
        if self.strength and self.model:
            raise UsageError(f"--strength is between networks, and --model={self.model} is none; leave one out")
        if self.ensemble and self.weights == (NONE,) and not self.model:
            raise UsageError("--ensemble is about networks, and --weights=none; leave one out")
        self.strengths()
        # The next run would read pictures in the folder of the data as part of the test set.
        check_outside("csv", self.csv, "report", self.report)
        check_outside("pictures", self.pictures, "report", self.report)
        check_outside("report", self.report, "data", self.data)
        check_outside("pictures", self.pictures, "data", self.data)
        return super().checked()

    def strengths(self):
        """The numbers of `--strength`, sorted."""
        try:
            strengths = [float(text) for text in self.strength.split(",")] if self.strength else []
        except ValueError:
            strengths = [-1]
        if not all(0 <= strength <= 1 for strength in strengths) or len(set(strengths)) < len(strengths):
            raise UsageError(f"--strength={self.strength}: must be different numbers from 0 to 1, such as 0,0.5,1")
        return sorted(strengths)

    def find(self):
        if not self.strength:
            return super().find()
        given = DIAL if self.weights == (AUTO,) else (*self.weights, self.toward)
        weights = named_weights(given)
        return weights, named_results(self.results, weights)

    def load(self, weights):
        def load(**options):
            if self.strength:
                return load_dial(weights, self.strengths(), **options)
            return load_upscalers(weights, self.model, **options)

        upscalers, scale = load(**self.limits())
        if self.ensemble:
            upscalers |= {f"{name}+": each for name, each in load(ensemble=True, **self.limits())[0].items()}
        if any(upscaler.blended for upscaler in upscalers.values()):
            print(f"{BLENDED_NOTE}\n")
        return with_baselines(upscalers, scale), scale


def run(settings):
    """Prints a table for each test set; writes CSV, images and the report on request."""
    from srgan_tf.evaluation import tables

    weights, results = settings.find()
    _check_targets(settings)
    unreadable: list = []
    sets = settings.sets(unreadable.append, find_scale(weights))
    external = {each.name: find_results(results, each) for each in sets}
    lpips = load_lpips(settings.lpips, settings.lpips_net)
    counted = len(weights) + len(results) + len(BASELINES)
    pixel_bytes = scoring_bytes(counted, lpips=lpips is not None, rgb=settings.rgb)
    pixels = (math.prod(size) for each in sets for size in sizes(each.pairs))
    systems, scale = settings.beside(pixels, pixel_bytes).load(weights)
    precision = settings.precision_chosen() if weights else None
    sets, notes = fit_sets(sets, scale)
    say(*(line for note in notes for line in (note, "")))

    with contextlib.ExitStack() as cleanup:
        pictures = settings.pictures
        if settings.report and not pictures:
            pictures = cleanup.enter_context(tempfile.TemporaryDirectory())
        total = sum(len(each.pairs) for each in sets)
        bar = cleanup.enter_context(tqdm(total=total, unit="image", leave=False, disable=None))
        scored = []
        for each in sets:
            if cropped := find_cropped(each.pairs, scale):
                names = ", ".join(cropped)
                bar.write(
                    printable(f"{each.name}: HR cut at the right and bottom to multiples of {scale}: {names}") + "\n"
                )
            scored.append(
                score_set(
                    each,
                    systems,
                    scale,
                    Path(pictures, *([each.name] if len(sets) > 1 else [])) if pictures else None,
                    lambda picture: bar.update(),
                    external[each.name],
                    lpips=lpips,
                    rgb=settings.rgb,
                    max_memory=unless_auto(settings.max_memory),
                )
            )
            _show(scored[-1], settings, bar)
        bar.close()
        if any(one.scores for one in scored):
            print(tables.protocol_text(lpips and lpips.net, settings.rgb, precision, settings.faithful))
        if settings.weights == (AUTO,):
            print(f"\n{HOW_TO_TRAIN}")
        _write(scored, weights, settings, precision)
    return report_failures(unreadable + [error for one in scored for error in one.failures])


def _check_targets(settings):
    """Refuses, before anything is computed, places that cannot be written to."""
    from srgan_tf.evaluation import report, tables

    if settings.report:
        report.check_target(settings.report, settings.overwrite)
    if settings.csv:
        tables.check_csv_target(settings.csv)
    if settings.pictures:
        check_writable(settings.pictures, folder=True)


def _show(scored, settings, bar):
    """Prints the table of a test set above the bar."""
    from srgan_tf.evaluation import statistics, tables

    if scored.scores:
        bar.write(tables.table(scored, settings.verbose) + "\n")
        if settings.confidence:
            bar.write(tables.differences_text(statistics.differences(scored)) + "\n")


def _write(scored, weights, settings, precision):
    """Writes CSV and report, as far as they are asked for and there are scores."""
    from srgan_tf.evaluation import report, tables

    scores = [entry for one in scored for entry in one.scores]
    if scores and settings.csv:
        tables.write_csv(scores, settings.csv)
    if scores and settings.report:
        rows = [row for one in scored for row in tables.rows(one)]
        shown = (item for one in scored for item in _pictures(one))
        net = settings.lpips_net if settings.lpips else None
        known = facts(weights, protocol=tables.protocol(net, settings.rgb, precision, settings.faithful))
        threads = None if settings.max_memory == AUTO else 1
        notes = report.write_report(settings.report, rows, scores, shown, known, settings.overwrite, threads)
        say("", f"Report: {settings.report}", *notes)


def _pictures(scored):
    """What the report shows of a test set: each image that was scored, HR first."""
    kept = {score.picture for score in scored.scores}
    for pair in scored.set.pairs:
        if pair.name in kept:
            made = {name: scored.picture_file(name, pair.name) for name in (*scored.systems, *scored.external)}
            yield Pictures(scored.set.name, pair.name, pair.lr, {HR: pair.hr, **made})
