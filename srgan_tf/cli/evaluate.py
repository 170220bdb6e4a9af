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
    ENSEMBLE_HELP,
    FAITHFUL_HELP,
    INVENTED_HELP,
    LPIPS_HELP,
    STRENGTH_HELP,
    TOWARD_HELP,
    WEIGHTS_HELP,
    Systems,
    TestSet,
    check_dial,
    check_invented,
    check_outside,
    find_results,
    load_lpips,
    load_mappers,
)
from srgan_tf.evaluation.benchmark import BASELINES, check_inputs_stay, score_set, scoring_bytes
from srgan_tf.evaluation.facts import INVENTED_TEXT, dial_text, facts
from srgan_tf.evaluation.picture_sets import find_cropped, fit_sets, load_pair, sizes
from srgan_tf.evaluation.records import HR, Pictures, dial_name
from srgan_tf.evaluation.systems import (
    NONE,
    find_scale,
    generators_precision,
    load_dial,
    load_upscalers,
    named_results,
    named_weights,
    with_baselines,
)
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.system.atomic import check_writable
from srgan_tf.system.errors import UsageError, UserError
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

    weights: str = setting(
        (AUTO,), f"{WEIGHTS_HELP} (auto: the package's for 4x, but srresnet-faces and srgan-photo)", many=True
    )
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
        "",
        "folder to write the upscaled images to, SYSTEM/IMAGE.png, in the place of older ones; of several sets"
        " SET/SYSTEM/...",
    )
    report: str = setting("", "folder to write a report to: tables, figures and a page to compare the images on")
    invented: str = setting((), INVENTED_HELP, many=True)
    overwrite: bool = setting(False, "replace a report that exists already")

    def limits(self):
        return super().limits() | {"faithful": self.faithful}

    def checked(self):
        if self.overwrite and not self.report:
            raise UsageError("--overwrite is about --report; leave it out")
        if self.invented and not self.report:
            raise UsageError("--invented is about --report; leave it out or give both")
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
        # In the folder of the data, the next run would take them for images of the test set.
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
        names = set(map(dial_name, strengths))
        if not all(0 <= strength <= 1 for strength in strengths) or len(names) < len(strengths):
            raise UsageError(f"--strength={self.strength}: must be different numbers from 0 to 1, such as 0,0.5,1")
        return sorted(strengths)

    def find(self):
        if self.strength:
            weights = named_weights(DIAL if self.weights == (AUTO,) else (*self.weights, self.toward))
            results = named_results(self.results, weights)
        else:
            weights, results = super().find()
        networks = [*self.networks(weights), *filter(None, [self.model])]
        systems = [*networks, *(f"{name}+" for name in networks if self.ensemble), *results]
        for name in systems:
            if systems.count(name) > 1:
                raise UsageError(f"two systems have the name {name}; give another one as NAME=FILE or NAME=FOLDER")
        return weights, results

    def networks(self, weights):
        """The names of the networks to score."""
        return [dial_name(strength) for strength in self.strengths()] if self.strength else list(weights)

    def upscalers(self, weights):
        """The `Upscaler`s by name, and the scale factor; see `evaluation.systems.load_upscalers`."""

        def load(**options):
            if self.strength:
                return load_dial(weights, self.strengths(), **options)
            return load_upscalers(weights, self.model, **options)

        upscalers, scale = load(**self.limits())
        if self.ensemble:
            upscalers |= {f"{name}+": each for name, each in load(ensemble=True, **self.limits())[0].items()}
        return upscalers, scale


def run(settings):
    """Prints a table for each test set; writes CSV, images and the report on request."""
    from srgan_tf.evaluation import tables

    weights, results = settings.find()
    check_invented(settings.invented, settings.networks(weights))
    _check_targets(settings)
    unreadable: list = []
    sets = settings.sets(unreadable.append, find_scale(weights))
    external = {each.name: find_results(results, each) for each in sets}
    lpips = load_lpips(settings.lpips, settings.lpips_net)
    counted = (len(settings.networks(weights)) + bool(settings.model)) * (1 + settings.ensemble)
    counted += len(results) + len(BASELINES)
    pixel_bytes = scoring_bytes(counted, lpips=lpips is not None, rgb=settings.rgb)
    pixels = (math.prod(size) for each in sets for size in sizes(each.pairs))
    upscalers, scale = settings.beside(pixels, pixel_bytes).upscalers(weights)
    systems = with_baselines(upscalers, scale)
    protocol = _protocol(settings, weights, upscalers)
    sets, notes = fit_sets(sets, scale)
    say(*(line for note in notes for line in (note, "")))
    for each in sets if settings.pictures else ():
        check_inputs_stay(each, systems, _pictures_folder(settings.pictures, each, sets), external[each.name])

    with contextlib.ExitStack() as cleanup:
        pictures = settings.pictures
        if settings.report and not pictures:
            pictures = cleanup.enter_context(tempfile.TemporaryDirectory())
        total = sum(len(each.pairs) for each in sets)
        bar = cleanup.enter_context(tqdm(total=total, unit="image", leave=False, disable=None))
        options = {"lpips": lpips, "rgb": settings.rgb, "max_memory": unless_auto(settings.max_memory)}
        options["on_progress"] = lambda picture: bar.update()
        scored = []
        for each in sets:
            if cropped := find_cropped(each.pairs, scale):
                note = f"{each.name}: HR cut at the right and bottom to multiples of {scale}: {', '.join(cropped)}"
                bar.write(printable(note) + "\n")
            folder = _pictures_folder(pictures, each, sets) if pictures else None
            scored.append(score_set(each, systems, scale, folder, external=external[each.name], **options))
            _show(scored[-1], settings, bar)
        bar.close()
        if any(one.scores for one in scored):
            print(tables.protocol_text(protocol))
        if settings.weights == (AUTO,):
            print(f"\n{HOW_TO_TRAIN}")
        failures = unreadable + [error for one in scored for error in one.failures]
        known = facts(weights, protocol=protocol)
        _write(scored, known, settings, {name: upscalers[name] for name in settings.invented}, failures)
    return report_failures(failures)


def _pictures_folder(folder, picture_set, sets):
    """The folder of the upscaled images of one of the test sets."""
    return Path(folder, picture_set.name if len(sets) > 1 else "")


def _check_targets(settings):
    """Checks, before anything is computed, whether the results can be written."""
    from srgan_tf.evaluation import report, tables

    if settings.report:
        report.check_target(settings.report, settings.overwrite)
    if settings.csv:
        tables.check_csv_target(settings.csv)
    if settings.pictures:
        check_writable(settings.pictures, folder=True)


def _protocol(settings, weights, upscalers):
    """How the numbers are measured; see `evaluation.tables.protocol`."""
    from srgan_tf.evaluation import tables

    net = settings.lpips_net if settings.lpips else None
    sentences = tables.protocol(net, settings.rgb, generators_precision(upscalers.values()), settings.faithful)
    if settings.strength:
        sentences["strength"] = dial_text(*weights, any(upscaler.blended for upscaler in upscalers.values()))
    if settings.ensemble:
        sentences["ensemble"] = f"NAME+: {ENSEMBLE_HELP}"
    if settings.invented:
        sentences["invented"] = INVENTED_TEXT
    return sentences


def _show(scored, settings, bar):
    """Prints the table of a test set above the bar."""
    from srgan_tf.evaluation import statistics, tables

    if scored.scores:
        bar.write(tables.table(scored, settings.verbose) + "\n")
        if settings.confidence:
            bar.write(tables.differences_text(statistics.differences(scored)) + "\n")


def _write(scored, known, settings, invented, failures):
    """Writes CSV and report if they are asked for and there are scores."""
    from srgan_tf.evaluation import report, tables

    scores = [entry for one in scored for entry in one.scores]
    if scores and settings.csv:
        tables.write_csv(scores, settings.csv)
    if scores and settings.report:
        rows = [row for one in scored for row in tables.rows(one)]
        threads = None if settings.max_memory == AUTO else 1
        total = sum(len(one.set.pairs) for one in scored)
        with tqdm(
            _pictures(scored, invented, failures), "report", total, unit="image", leave=False, disable=None
        ) as shown:
            notes = report.write_report(settings.report, rows, scores, shown, known, settings.overwrite, threads)
        say("", f"Report: {settings.report}", *notes)


def _pictures(scored, invented, failures):
    """Yields `Pictures` for the report: each scored image, HR first, with maps of the `Upscaler`s in `invented`."""
    mappers = load_mappers(invented)
    for one in scored:
        kept = {score.picture for score in one.scores}
        for pair in one.set.pairs:
            if pair.name in kept:
                made = {name: one.picture_file(name, pair.name) for name in (*one.systems, *one.external)}
                errors = _errors(mappers, pair, one.scale, failures)
                yield Pictures(one.set.name, pair.name, pair.lr, {HR: pair.hr, **made}, errors)


def _errors(mappers, pair, scale, failures):
    """The expected error of each network for an image; errors in computing it are added to `failures`."""
    try:
        _, lr = load_pair(pair, scale)
        with image_errors(pair.lr or pair.hr):
            return {name: mapper(lr) for name, mapper in mappers.items()}
    except UserError as error:
        failures.append(error)
    return {}
