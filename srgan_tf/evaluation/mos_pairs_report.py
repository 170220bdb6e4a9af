"""The report of a study of pairs: a table of the Bradley-Terry scores, and a figure of their intervals."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from srgan_tf.evaluation.mos_pairs import PairRater, Preference, agreement
from srgan_tf.evaluation.report.figures import literal, png
from srgan_tf.evaluation.tables import UNKNOWN, aligned
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import counted

_LEAST_P = 0.001  # smaller p-values are shown as below it


def text(raters: Sequence[PairRater], found: Sequence[Preference]) -> str:
    """The preferences, `found` by `mos_pairs.preferences`, and the agreement; without a newline at the end.

    Raises:
        UserError: There are no choices.
    """
    if not found:
        raise UserError(f"{raters[0].path}: no choices in it")
    given = sum(len(rater.choices) for rater in raters)
    if len(raters) > 1:
        lines = [f"{len(raters)} raters, {given:,} choices; 95 % intervals over the raters (Student's t)"]
    else:
        lines = [
            f"1 rater, {counted(given, 'choice')}; 95 % intervals as if they were independent, of this rater alone"
        ]
    lines += [
        "Bradley-Terry scores: of d more, a system is preferred in 1 / (1 + exp(-d)); d = 1: 73 %",
        "",
        table(found),
    ]
    if any(math.isinf(preference.score) for preference in found):
        lines += ["", "∞: always (-∞: never) chosen against systems with a finite score, so that it has none itself"]
    if any(math.isnan(preference.score) for preference in found):
        lines += [
            "",
            f"{UNKNOWN}: no score, since these choices do not contradict each other, or do not compare the system",
        ]
    if (u := agreement(raters)) is not None:
        lines += [
            "",
            f"agreement: two raters choose alike in {(1 + u) / 2:.0%} (Kendall's u {u:.3f}; 1 is perfect, 0 chance)",
        ]
    return "\n".join(lines)


def table(found: Sequence[Preference]) -> str:
    """The scores of all systems, the best first, set by set: aligned lines, without a newline at the end."""
    lines = []
    for preference in found:
        score = f"{preference.score:.2f}" + (f" ± {preference.margin:.2f}" if preference.margin is not None else "")
        if not math.isfinite(preference.score):
            score = UNKNOWN if math.isnan(preference.score) else "∞" if preference.score > 0 else "-∞"
        p = UNKNOWN if preference.p is None else f"{preference.p:.3f}" if preference.p >= _LEAST_P else f"< {_LEAST_P}"
        lines.append((preference.set, preference.system, score, f"{preference.chosen} of {preference.shown}", p))
    return "\n".join(aligned(("set", "system", "score", "chosen", "p, to the next"), lines, labels=2))


def intervals(found: Sequence[Preference]) -> bytes:
    """A PNG file of the finite scores with their intervals: a panel for each test set, a point for each system."""
    sets = list(dict.fromkeys(preference.set for preference in found))
    own = [[preference for preference in found if preference.set == set_name] for set_name in sets]
    figure = Figure(figsize=(2 + 4 * len(sets), 1.4 + 0.34 * max(map(len, own))), layout="constrained")
    for axes, set_name, rows in zip(np.atleast_1d(figure.subplots(1, len(sets))), sets, own):
        places = range(len(rows))
        scores = [row.score if math.isfinite(row.score) else math.nan for row in rows]
        axes.errorbar(scores, places, xerr=[row.margin or 0 for row in rows], fmt="o", color="#2166ac", capsize=3)
        axes.set_yticks(places, [literal(row.system) for row in rows])
        axes.set(title=literal(set_name), xlabel="Bradley-Terry score", ylim=(len(rows) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)
