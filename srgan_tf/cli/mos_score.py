"""`srgan mos score`: what raters think, from the files that they saved."""

import dataclasses
from pathlib import Path

from srgan_tf.cli.flags import setting
from srgan_tf.system.atomic import atomic_file, keep_existing
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import say


@dataclasses.dataclass(frozen=True)
class Settings:
    """Print the mean opinion scores, or the preferences, of the files that raters saved; see `srgan mos make`.

    srgan mos score mos-*.json
    """

    files: str = setting(
        (), "files that the raters saved, any number", many=True, positional="FILE", only_word=True, required=True
    )
    output: str = setting(".", "folder for the figure, mos.png")
    exclude_failed: bool = setting(False, "leave out the raters who fail the calibration")
    overwrite: bool = setting(False, "replace a figure that exists already")


def run(settings):
    """Prints the table of what raters saved; see `evaluation.mos` and `evaluation.mos_pairs`."""
    from srgan_tf.evaluation import mos_pairs_report, mos_report
    from srgan_tf.evaluation.mos import opinions, read_raters
    from srgan_tf.evaluation.mos_pairs import PairRater, preferences

    figure = Path(settings.output, "mos.png")
    keep_existing(figure, settings.overwrite)
    raters = read_raters(settings.files)
    failed = [rater for rater in raters if rater.fault()]
    for rater in failed:
        say(f"{rater.name} ({rater.path}) fails the calibration: {rater.fault()}")
    if settings.exclude_failed:
        raters = [rater for rater in raters if rater not in failed]
        if not raters:
            raise UserError("--exclude_failed leaves no rater; see the reasons above")
    silent = [rater for rater in raters if not (rater.choices if isinstance(rater, PairRater) else rater.ratings)]
    if len(silent) < len(raters):
        for rater in silent:
            say(f"{rater.name} ({rater.path}) has rated nothing and does not count")
            raters.remove(rater)
    if isinstance(raters[0], PairRater):
        found = preferences(raters)
        text, draw, shown = mos_pairs_report.text(raters, found), mos_pairs_report.intervals, "the scores' intervals"
    else:
        found = opinions(raters)
        text, draw, shown = mos_report.text(raters, found), mos_report.distributions, "how often each score was given"
    print(text)
    with atomic_file(figure) as partial:
        partial.write_bytes(draw(found))
    say("", f"{figure}: {shown}")
    return 0
