"""`srgan compare`: shows images without HR, upscaled by several systems, side by side."""

import contextlib
import dataclasses
import math
from pathlib import Path

from tqdm import tqdm

from srgan_tf.cli.command_line import report_failures
from srgan_tf.cli.flags import setting, unless_auto
from srgan_tf.cli.shared import INVENTED_HELP, Systems, check_invented, check_outside, load_mappers, precision_notes
from srgan_tf.data.folders import Pair, pictures_by_name
from srgan_tf.evaluation.external_results import find_external_results
from srgan_tf.evaluation.facts import INVENTED_TEXT, facts
from srgan_tf.evaluation.html import showing_bytes
from srgan_tf.evaluation.memory import check_memory
from srgan_tf.evaluation.picture_sets import is_readable
from srgan_tf.evaluation.records import Pictures
from srgan_tf.evaluation.systems import with_baselines
from srgan_tf.imaging import files
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import say


@dataclasses.dataclass(frozen=True)
class Settings(Systems):
    """Show your own images, upscaled by several systems, on one page.

    srgan compare photos report
    srgan compare photos report --weights=srgan --weights=runs/default/srgan/generator.weights.h5
    """

    input: str = setting("", "folder of the images", positional="INPUT", required=True)
    report: str = setting(
        "",
        "folder to write a report to: figures and a page to compare the images on",
        positional="REPORT",
        required=True,
    )
    invented: str = setting((), INVENTED_HELP, many=True)
    overwrite: bool = setting(False, "replace a report that exists already")

    def checked(self):
        check_outside("report", self.report, "input", self.input)
        return super().checked()


def run(settings):
    """Writes a report that shows images without HR, upscaled by every system, side by side."""
    from srgan_tf.evaluation import report

    weights, results = settings.find()
    check_invented(settings.invented, weights)
    report.check_target(settings.report, settings.overwrite)
    failures: list = []
    paths = pictures_by_name(Path(settings.input), failures.append)

    def is_left_out(name):
        return not is_readable(Pair(name, paths[name], None))

    external = {
        system: find_external_results(folder, system, paths, is_left_out=is_left_out)
        for system, folder in results.items()
    }
    upscalers, scale = settings.load(weights)
    systems = with_baselines(upscalers, scale)
    max_memory = unless_auto(settings.max_memory)
    pixel_bytes = showing_bytes(len(systems) + len(external) + 2 * len(settings.invented) + 1)  # and LR
    networks_memory = unless_auto(settings.beside(_pixels(paths, scale), pixel_bytes).max_memory)
    for upscaler in upscalers.values():
        upscaler.max_memory = networks_memory
    mappers = load_mappers({name: upscalers[name] for name in settings.invented})

    def shown():
        is_empty = True
        for name, path in paths.items():
            try:
                check_memory(path, pixel_bytes, max_memory, "show", scale)
                lr = files.read_rgb(path)
                with image_errors(path):
                    made = {system: upscale(lr) for system, upscale in systems.items()}
                    errors = {system: mapper(lr) for system, mapper in mappers.items()}
                check_memory(path, pixel_bytes, max_memory, "show", scale)  # again, since networks keep what they took
                made |= {system: own[name] for system, own in external.items()}
                yield Pictures("", name, path, made, errors)
                is_empty = False
            except UserError as error:
                failures.append(error)
        if is_empty:  # an older report must stay
            raise UserError(f"{settings.input}: no image can be shown; the first: {failures[0]}")

    known = facts(weights, scale_factor=f"{scale}x", **({"invented": INVENTED_TEXT} if mappers else {}))
    threads = None if max_memory is None else 1
    with tqdm(shown(), total=len(paths), unit="image", leave=False, disable=None) as images:
        notes = report.write_comparison(settings.report, images, known, settings.overwrite, threads)
    say(*precision_notes(upscalers.values()), f"Report: {settings.report}", *notes)
    return report_failures(failures)


def _pixels(paths, scale):
    """Yields the pixels of each result; an image that cannot be read is reported later."""
    for path in paths.values():
        with contextlib.suppress(UserError):
            yield math.prod(files.probe(path)) * scale**2
