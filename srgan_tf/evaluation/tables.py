"""Shows scores: as tables for the terminal and as CSV."""

import csv
from pathlib import Path
from statistics import fmean

from srgan_tf.evaluation import published
from srgan_tf.evaluation.benchmark import METRICS
from srgan_tf.evaluation.lpips import HOW_TO_GET
from srgan_tf.evaluation.metrics import SHAVE
from srgan_tf.evaluation.records import COLUMNS, Row, used_columns
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file, check_writable
from srgan_tf.system.errors import UserError

UNKNOWN = "–"
_SOURCE = "Ledig et al. 2017, tables 1 and 2"
_CSV = ("set", "picture", "system", *METRICS, "seconds")
_DIGITS = {"psnr": 2, "rgb_psnr": 2}  # of a difference; others have four


def protocol(lpips_net=None, rgb=False):
    """How the figures come about.

    Args:
        lpips_net: The net of LPIPS if it is measured, one of `lpips.NETS`.
        rgb: Whether RGB is measured.

    Returns:
        A dict from a column's name, or several, to a sentence.
    """
    cut = f"8-bit pictures, {SHAVE} pixels cut at each border"
    said = {
        "PSNR, SSIM": f"on Y of BT.601, 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded; {cut}; peak 255",
        "SSIM (paper)": "dump_ssim of Xiph's daala: Gaussian windows, sigma 1.5 height / 256, cut at the border",
        "SSIM (usual)": "Wang et al. 2004: Gaussian window 11x11, sigma 1.5, inside the picture",
    }
    if rgb:
        said["PSNR RGB, SSIM RGB"] = f"over R, G and B; the usual SSIM, their mean; {cut}"
    said["LPIPS"] = (
        f"Zhang et al. 2018, version 0.1, {lpips_net}; whole RGB pictures; lower is better"
        if lpips_net
        else f"needs its weights, --lpips=FILE: {HOW_TO_GET}"
    )
    said["seconds, megapixels/s"] = "of the upscaling alone, in memory, on this machine"
    return said


def rows(scored):
    """The rows of a test set's table: every system's means, then the published figures if the paper has the set.

    Args:
        scored: A `benchmark.SetScores`.

    Returns:
        A list of `contents.Row`.
    """
    measured = [_mean_row(scored, system) for system in (*scored.systems, *scored.external)]
    known = published.find(scored.set.name) if scored.scale == published.SCALE else None
    return [row for row in measured if row] + [
        Row(scored.set.name, row.system, published=True, psnr=row.psnr, paper_ssim=row.paper_ssim, mos=row.mos)
        for row in (known.rows if known else ())
    ]


def _mean_row(scored, system):
    own = [score for score in scored.scores if score.system == system]
    if not own:
        return None
    means = {}
    for metric in (*METRICS, "seconds"):
        values = [getattr(score, metric) for score in own]
        means[metric] = None if None in values else fmean(values)
    speed = sum(score.pixels for score in own) / 1e6 / sum(score.seconds for score in own) if means["seconds"] else None
    return Row(scored.set.name, system, megapixels_per_s=speed, **means)


def table(scored, verbose=False):
    """A test set's table, under its name.

    Args:
        scored: A `benchmark.SetScores`.
        verbose: Put a row for each picture and system before it.

    Returns:
        The text, without a newline at its end.
    """
    lines = []
    if verbose:
        columns = _columns(scored.scores)
        cells = [(score.picture, score.system, *_cells(score, columns)) for score in scored.scores]
        lines += aligned(("picture", "system", *(column.head for column in columns)), cells, words=2) + [""]
    entries = rows(scored)
    columns = _columns(entries)
    cells = [(row.system + " (published)" * row.published, *_cells(row, columns)) for row in entries]
    count = len({score.picture for score in scored.scores})
    lines.append(f"{scored.set.name}: {count} {'picture' if count == 1 else 'pictures'}, {scored.scale}x")
    known = published.find(scored.set.name) if scored.scale == published.SCALE else None
    if known:
        lines[-1] += f"; published: {_SOURCE}"
        if known.pictures != count:
            lines[-1] += f", of {known.pictures} pictures: not to be compared"
    return "\n".join(lines + aligned(("system", *(column.head for column in columns)), cells, words=1))


def _columns(entries):
    """Those that have a number; and LPIPS, so that the protocol can say how to get it."""
    used = used_columns(entries)
    return [column for column in COLUMNS if column in used or column.field == "lpips"]


def _cells(entry, columns):
    return [column.text(entry) or UNKNOWN for column in columns]


def protocol_text(lpips_net=None, rgb=False):
    """`protocol` as aligned lines."""
    said = protocol(lpips_net, rgb)
    width = max(map(len, said))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in said.items())


def differences_text(differences):
    """An aligned table of differences with their intervals.

    Args:
        differences: `statistics.Difference`s of one test set.

    Returns:
        The text, without a newline at its end.
    """
    metrics = dict.fromkeys(entry.metric for entry in differences)
    heads = {column.field: column.head for column in COLUMNS}
    lines = {}
    for entry in differences:
        digits = _DIGITS.get(entry.metric, 4)
        interval = f"[{entry.low:+.{digits}f}, {entry.high:+.{digits}f}]" if entry.low == entry.low else f"[{UNKNOWN}]"
        line = lines.setdefault((entry.system, entry.baseline), dict.fromkeys(metrics, UNKNOWN))
        line[entry.metric] = f"{entry.mean:+.{digits}f} {interval}"
    cells = [(f"{system} - {baseline}", *line.values()) for (system, baseline), line in lines.items()]
    return "\n".join(aligned(("difference [95 %]", *(heads[metric] for metric in metrics)), cells, words=1))


def aligned(head, cells, words):
    """Lines of columns: the first `words` of them to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        for line in (head, rule, *cells)
    ]


def check_csv_target(path):
    """Refuses a place where `write_csv` could not write, so that it is known before anything is scored.

    Args:
        path: The file.

    Raises:
        UserError: It is a folder, or a file that is no table of `write_csv`; or the folder that it is to lie in cannot
            be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file for the scores, {path / 'scores.csv'} say")
    if path.exists() and not (path.is_file() and _is_own_csv(path)):  # a pipe would wait for ever
        raise UserError(f"{path}: exists already and is no table of scores; name another file")
    check_writable(path)


def _is_own_csv(path):
    """Whether a file begins as `write_csv` begins one."""
    head = ",".join(_CSV).encode()
    try:
        with open(path, "rb") as file:
            return file.readline(len(head) + 2).rstrip(b"\r\n") == head
    except OSError:
        return False


def write_csv(scores, path):
    """Writes one row for each picture and system; complete or not at all.

    Its columns are `set`, `picture`, `system`, the metrics by their names in `benchmark.Score`, and `seconds`; a number
    that is not known is empty.

    Args:
        scores: `benchmark.Score`s.
        path: The file; its folder is made if need be.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_file(path) as beside, open(beside, "x", newline="", **LENIENT_UTF8) as file:
        writer = csv.writer(file)
        writer.writerow(_CSV)
        for score in scores:
            values = (getattr(score, field) for field in _CSV)
            writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in values])
