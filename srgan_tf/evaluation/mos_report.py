"""The report of a study of mean opinion scores: the slides' table, and a figure of the distributions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from srgan_tf.evaluation import published
from srgan_tf.evaluation.metrics import MOS
from srgan_tf.evaluation.mos import SCORES, Opinion, Rater, agreement
from srgan_tf.evaluation.report.figures import literal, png
from srgan_tf.evaluation.tables import UNKNOWN, aligned
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import counted

_COLORS = ("#b2182b", "#ef8a62", "#d9d9d9", "#67a9cf", "#2166ac")


def text(raters: Sequence[Rater], found: Sequence[Opinion]) -> str:
    """The opinions, `found` by `mos.opinions`, and the agreement; without a newline at the end.

    Raises:
        UserError: There are no ratings.
    """
    if not found:
        raise UserError(f"{raters[0].path}: no ratings in it")
    given = sum(len(rater.ratings) for rater in raters)
    people, ratings = counted(len(raters), "rater"), counted(given, "rating")
    lines = [f"{people}, {ratings}; means with 95 % intervals over the raters (Student's t)", "", table(found)]
    try:
        alpha = agreement(raters)
    except UserError as error:  # the table does without the package
        lines += ["", f"agreement: not known; {error}"]
    else:
        if alpha is not None:
            lines += ["", f"agreement: Krippendorff's alpha {alpha:.3f} (ordinal scores; 1 is perfect, 0 is chance)"]
    return "\n".join(lines)


def table(found: Sequence[Opinion]) -> str:
    """The mean opinion scores of all systems, and the published ones beside them, as aligned lines."""
    sets = list(dict.fromkeys(opinion.set for opinion in found))
    by_place = {(opinion.system, opinion.set): opinion for opinion in found}
    systems = dict.fromkeys(opinion.system for opinion in found)

    def cell(system, set_name):
        opinion = by_place.get((system, set_name))
        if opinion is None:
            return UNKNOWN
        return f"{opinion.mean:.2f}" + (f" ± {opinion.margin:.2f}" if opinion.margin is not None else "")

    lines = [(system, *(cell(system, set_name) for set_name in sets)) for system in systems]
    known: dict[str, dict[str, str]] = {}
    for set_name in sets:
        table = published.find(set_name)
        for row in table.rows if table else ():
            known.setdefault(row.label, {})[set_name] = MOS.text(row.values)
    lines += [(label, *(own.get(set_name, UNKNOWN) for set_name in sets)) for label, own in known.items()]
    return "\n".join(aligned(("mean opinion score", *sets), lines, labels=1))


def distributions(found: Sequence[Opinion]) -> bytes:
    """A PNG file of the shares of each score as bars: a panel for each test set, a bar for each system."""
    sets = list(dict.fromkeys(opinion.set for opinion in found))
    own = [[opinion for opinion in found if opinion.set == set_name] for set_name in sets]
    longest = max(map(len, own))
    figure = Figure(figsize=(2 + 4 * len(sets), 1.4 + 0.34 * longest), layout="constrained")
    for axes, set_name, rows in zip(np.atleast_1d(figure.subplots(1, len(sets))), sets, own):
        names = [literal(f"{opinion.system}  {opinion.mean:.2f}") for opinion in rows]
        shares = np.array([opinion.counts for opinion in rows], float)
        shares *= 100 / shares.sum(1, keepdims=True)
        left = np.zeros(len(rows))
        for score, share, color in zip(SCORES, shares.T, _COLORS):
            axes.barh(names, share, left=left, color=color, label=str(score))
            left += share
        axes.invert_yaxis()
        axes.set(title=literal(set_name), xlabel="ratings, %", xlim=(0, 100))
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), fontsize=8, frameon=False)
    return png(figure)
