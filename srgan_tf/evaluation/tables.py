"""Formats scores as tables for the terminal and as CSV."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from srgan_tf.evaluation import published
from srgan_tf.evaluation.benchmark import SetScores
from srgan_tf.evaluation.metrics import COLUMNS, METRICS, SECONDS, SPEED
from srgan_tf.evaluation.records import Score, used_columns
from srgan_tf.evaluation.statistics import Difference
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file, check_writable
from srgan_tf.system.errors import UserError
from srgan_tf.system.terminal import counted, printable

UNKNOWN = "–"
_SOURCE = "Ledig et al. 2017, tables 1 and 2"
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # start a formula in a spreadsheet
_CSV = ("set", "picture", "system", *(metric.key for metric in (*METRICS, SECONDS)))


def protocol(
    lpips_net: str | None = None, rgb: bool = False, precision: str | None = None, faithful: bool = False
) -> dict[str, str]:
    """How the numbers are measured.

    Args:
        lpips_net: The net of LPIPS if it is measured, one of `lpips.NETS`.
        rgb: Whether RGB is measured.
        precision: Number format in which the generators were computed, if there were any.
        faithful: Whether networks' results were made faithful to LR.

    Returns:
        A dict from a column's heading, "precision" or "faithful", to a sentence.
    """
    options = {None: True, "rgb": rgb, "lpips": lpips_net is not None}
    texts = {
        column.heading: column.protocol.format(net=lpips_net) if options[column.option] else column.missing
        for column in COLUMNS
    }
    if precision:
        texts["precision"] = f"SRGAN and SRResNet computed in {precision}"
    if faithful:
        texts["faithful"] = "what networks made was changed so that its bicubic reduction, MATLAB's, is LR"
    return {heading: text for heading, text in texts.items() if text}


def rows(scored: SetScores) -> list[Score]:
    """The rows of a test set's table: every system's means, then the published scores, if the paper has the set and LR
    is MATLAB's bicubic as there."""
    systems = {score.system for score in scored.scores}
    measured = [_means(scored, system) for system in (*scored.systems, *scored.external) if system in systems]
    known = _published(scored)
    return measured + list(known.rows if known else ())


def _means(scored, system):
    own = [score for score in scored.scores if score.system == system]
    means = {}
    for metric in (*METRICS, SECONDS):
        values = [score[metric.key] for score in own]
        means[metric.key] = None if None in values else fmean(values)
    if means[SECONDS.key]:
        pixels, seconds = sum(score.pixels for score in own), sum(score[SECONDS.key] for score in own)
        means[SPEED.key] = pixels / 1e6 / seconds
    return Score(scored.set.name, None, system, means)


def _published(scored):
    return published.find(scored.set.name) if scored.scale == published.SCALE and scored.bicubic_lr else None


def table(scored: SetScores, verbose: bool = False) -> str:
    """A test set's table under its name; if `verbose`, after a table with a row for each image and system. No newline
    at the end."""
    lines = []
    if verbose:
        columns = _columns(scored.scores)
        cells = [(score.picture, score.system, *_cells(score, columns)) for score in scored.scores]
        lines += aligned(("image", "system", *(column.heading for column in columns)), cells, labels=2) + [""]
    means = rows(scored)
    columns = _columns(means)
    cells = [(row.label, *_cells(row, columns)) for row in means]
    count = len({score.picture for score in scored.scores})
    lines.append(f"{printable(scored.set.name)}: {counted(count, 'image')}, {scored.scale}x")
    known = _published(scored)
    if known:
        lines[-1] += f"; published: {_SOURCE}"
        if known.pictures != count:
            lines[-1] += f", of {known.pictures} images: not to be compared"
    elif not scored.bicubic_lr:
        lines[-1] += "; LR is not MATLAB's bicubic of HR: not to be compared with published figures"
    return "\n".join(lines + aligned(("system", *(column.heading for column in columns)), cells, labels=1))


def _columns(scores):
    """The columns with a number, and those of which the protocol says how to get one."""
    used = used_columns(scores)
    return [column for column in COLUMNS if column in used or column.missing]


def _cells(score, columns):
    return [column.text(score.values) or UNKNOWN for column in columns]


def protocol_text(sentences: Mapping[str, str]) -> str:
    """The result of `protocol` as aligned lines."""
    width = max(map(len, sentences))
    return "\n".join(f"{heading.ljust(width)}  {text}" for heading, text in sentences.items())


def differences_text(differences: Iterable[Difference]) -> str:
    """An aligned table of the differences of one test set, with their intervals; no newline at its end."""
    differences = list(differences)
    columns = [metric for metric in METRICS if any(entry.metric == metric for entry in differences)]
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for entry in differences:
        digits = entry.metric.digits
        interval = f"[{entry.low:+.{digits}f}, {entry.high:+.{digits}f}]" if entry.low == entry.low else f"[{UNKNOWN}]"
        line = lines.setdefault((entry.system, entry.baseline), {column.key: UNKNOWN for column in columns})
        line[entry.metric.key] = f"{entry.mean:+.{digits}f} {interval}"
    cells = [(f"{system} - {baseline}", *line.values()) for (system, baseline), line in lines.items()]
    return "\n".join(aligned(("difference [95 %]", *(column.heading for column in columns)), cells, labels=1))


def aligned(heading: Sequence[str], cells: Iterable[Sequence[str]], labels: int) -> list[str]:
    """Lines of a table: the first `labels` columns aligned to the left, the others to the right."""
    heading, *cells = ([*map(printable, line)] for line in (heading, *cells))
    widths = [max(map(len, column)) for column in zip(heading, *cells)]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(
            cell.ljust(width) if column < labels else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        for line in (heading, rule, *cells)
    ]


def check_csv_target(path: Path | str) -> None:
    """Checks, before anything is scored, whether `write_csv` can write a file.

    Raises:
        UserError: It is a folder, or exists and is not a file of `write_csv`; or its folder cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file for the scores, {path / 'scores.csv'} say")
    if path.exists() and not (path.is_file() and _is_own_csv(path)):  # a pipe would block
        raise UserError(f"{path}: exists already and is no table of scores; name another file")
    check_writable(path)


def _is_own_csv(path):
    """Whether a file starts like those of `write_csv`."""
    heading = ",".join(_CSV).encode()
    try:
        with open(path, "rb") as file:
            return file.readline(len(heading) + 2).rstrip(b"\r\n") == heading
    except OSError:
        return False


def write_csv(scores: Iterable[Score], path: Path | str) -> None:
    """Writes one row for each image and system; complete or not at all.

    The columns are `set`, `picture`, `system`, the keys of `metrics.METRICS`, and `seconds`; unknown numbers are empty.
    A name that a spreadsheet would take for a formula gets an apostrophe before it. The folder is made if need be.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_file(path) as partial, open(partial, "x", newline="", **LENIENT_UTF8) as file:
        writer = csv.writer(file)
        writer.writerow(_CSV)
        for score in scores:
            values = (score[key] for key in _CSV[3:])
            numbers = ("" if value is None else f"{value:.6f}" for value in values)
            names = map(_without_formula, (score.set, score.picture, score.system))
            writer.writerow([*names, *numbers])


def _without_formula(text):
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
