"""Writes the report, complete or not at all."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

from srgan_tf.evaluation.records import Pictures, Score
from srgan_tf.evaluation.report import figures
from srgan_tf.evaluation.report.markdown import report_text
from srgan_tf.evaluation.report.page import write_page
from srgan_tf.evaluation.tables import write_csv
from srgan_tf.inference.invention_map import Invention
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_folder, check_folder_target, shortened

TEXT, PAGE, CSV, JSON = "report.md", "index.html", "scores.csv", "scores.json"
FIGURE, STRIPS, FACTS = "psnr-lpips.png", "strips", "facts.json"
_FILES = {TEXT, PAGE, CSV, JSON, FIGURE, STRIPS, FACTS}  # all names in a report's folder


def check_target(folder: Path | str, overwrite: bool = False) -> None:
    """Checks whether a report can be written there, see `atomic.check_folder_target`."""
    check_folder_target(folder, _FILES, "a report", overwrite, mark=TEXT)


def write_report(
    folder: Path | str,
    rows: Iterable[Score],
    scores: Iterable[Score],
    pictures: Iterable[Pictures],
    facts: Mapping,
    overwrite: bool = False,
    threads: int | None = None,
) -> list[str]:
    """Writes a report of scores: `report.md`, `scores.csv` (a line for each image and system), `scores.json`
    (everything), `psnr-lpips.png`, `strips/`, and `index.html`, which needs none of the others.

    The folder is written completely or not at all.

    Args:
        folder: The folder of the report.
        rows: Means over test sets, in the order of display.
        scores: Scores of single images.
        pictures: `Pictures`, read one at a time.
        facts: Dict of protocol, versions, SHA-256 of the weights, device: texts, numbers, lists, and dicts of them.
        overwrite: Whether an existing report may be replaced.
        threads: See `page.write_page`.

    Returns:
        A list of sentences on what had to be left out, which are also in `report.md`.

    Raises:
        UserError: See `check_target`; or an image cannot be read, or the folder cannot be written.
    """
    rows, scores = list(rows), list(scores)
    with _report_folder(folder, overwrite) as partial:
        figure, left_out = figures.psnr_lpips(rows)
        if figure:
            partial.joinpath(FIGURE).write_bytes(figure)
        notes = _notes_on_figure(figure, rows, left_out)
        title = "Super-resolution, scored"
        notes += _write_page_and_text(partial, title, pictures, facts, rows, scores, figure, notes, threads=threads)
        write_csv(scores, partial / CSV)
        everything = {
            "facts": facts,
            "systems": [row.as_dict() for row in rows],
            "pictures": [score.as_dict() for score in scores],
            "notes": notes,
        }
        _write_json(partial / JSON, everything)
    return notes


def write_comparison(
    folder: Path | str,
    pictures: Iterable[Pictures],
    facts: Mapping,
    overwrite: bool = False,
    threads: int | None = None,
) -> list[str]:
    """Writes a report of images without HR, and so without scores: `report.md`, `facts.json`, `strips/` and
    `index.html`. For the rest see `write_report`."""
    with _report_folder(folder, overwrite) as partial:
        notes = _write_page_and_text(partial, "Super-resolution, compared", pictures, facts, threads=threads)
        _write_json(partial / FACTS, facts)
    return notes


@contextmanager
def _report_folder(folder, overwrite):
    """Yields a new folder that replaces `folder` at the end, or is removed after an error."""
    check_target(folder, overwrite)
    with atomic_folder(folder) as partial:
        yield partial
        check_target(folder, overwrite)  # again, since something may have been written there meanwhile


def _with_strips(folder, pictures, scores, strips):
    """Reads the images one at a time, writes their strips, and appends the arguments of `markdown.report_text` to
    `strips`; yields `(pictures, layers, place)`, see `page.write_page`."""
    by_picture = {}
    for score in scores:
        by_picture.setdefault((score.set, score.picture), {})[score.system] = score
    taken = set()
    for item in pictures:
        layers = item.load()
        place = figures.region(layers)
        strip = figures.strip(layers, place, item.title, by_picture.get((item.set, item.picture)))
        name = f"{STRIPS}/{_file_name(item, taken)}.png"
        folder.joinpath(STRIPS).mkdir(exist_ok=True)
        strip.save(folder / name)
        strips.append((item.title, name, _inventions(item)))
        yield item, layers, place


def _inventions(item):
    """A sentence on each map of an image."""
    return [f"{system}, invented: {Invention.of(error)}" for system, error in item.errors.items()]


def _file_name(item, taken):
    """A portable file name that is not yet taken."""
    base = shortened(re.sub(r"[^\w.-]+", "_", "-".join(filter(None, (item.set, item.picture)))).strip("."))
    name, number = base or "picture", 1
    while name.lower() in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name.lower())
    return name


def _write_page_and_text(folder, title, pictures, facts, rows=(), scores=(), figure=None, notes=(), threads=None):
    """Writes strips, page and text; returns notes on images that the page has no room for."""
    strips = []
    shown = _with_strips(folder, pictures, scores, strips)
    with open(folder / PAGE, "x", newline="\n", **LENIENT_UTF8) as file:
        left_out = write_page(file, title, rows, scores, shown, facts, figure, notes, threads)
    without_room = [f"{PAGE} has no room for: {', '.join(left_out)}."] if left_out else []
    text = report_text(title, PAGE, rows, FIGURE if figure else None, strips, [*notes, *without_room], facts)
    folder.joinpath(TEXT).write_text(text, **LENIENT_UTF8)
    return without_room


def _notes_on_figure(figure, rows, left_out):
    if not rows:
        return []
    if figure is None:
        return ["There is no figure of PSNR against LPIPS, because no system has both."]
    names = [f"{row.system} ({row.set})" if row.set else row.system for row in left_out if not row.published]
    names += ["published systems"] * any(row.published for row in left_out)
    if not names:
        return []
    return [f"Not in the figure of PSNR against LPIPS, without an LPIPS or a finite PSNR: {', '.join(names)}."]


def _write_json(path, data):
    text = json.dumps(_strict(data), ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", **LENIENT_UTF8)


def _strict(value):
    """Converts to what JSON can hold: infinite numbers become text that Python's float() can read, NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None if math.isnan(value) else str(float(value))
    return str(value)
