"""Writes the report, a folder: what was measured and how, as text, as data, as figures and as a page to compare on."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from urllib.parse import quote

from srgan_tf.evaluation.records import Pictures, Score, by_set, used_columns
from srgan_tf.evaluation.report import figures
from srgan_tf.evaluation.report.page import write_page
from srgan_tf.evaluation.tables import write_csv
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_folder, check_writable, shortened
from srgan_tf.system.errors import UserError

__all__ = ["check_target", "write_comparison", "write_report"]

TEXT, PAGE, CSV, JSON = "report.md", "index.html", "scores.csv", "scores.json"
FIGURE, STRIPS, FACTS = "psnr-lpips.png", "strips", "facts.json"
_OWN = {TEXT, PAGE, CSV, JSON, FIGURE, STRIPS, FACTS}  # all that a report's folder can hold


def check_target(folder: Path | str, overwrite: bool = False) -> None:
    """Whether a report can be written there, to be asked before the scoring.

    Args:
        folder: Where the report is to be.
        overwrite: Whether a report that is there may be replaced.

    Raises:
        UserError: There is a report already, another file, or a folder with other files in it; or nothing can be
            written there.
    """
    folder = Path(folder)
    check_writable(folder.resolve())
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: a file; name a folder for the report")
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if name not in _OWN]
    if foreign:
        raise UserError(f"{folder}: holds {foreign[0]}, which is no part of a report; name a new folder for the report")
    if names and not overwrite:
        raise UserError(f"{folder}: holds a report already; --overwrite replaces it")


def write_report(
    folder: Path | str,
    rows: Iterable[Score],
    scores: Iterable[Score],
    pictures: Iterable[Pictures],
    facts: Mapping,
    overwrite: bool = False,
    on_progress: Callable[[str], object] | None = None,
) -> list[str]:
    """Writes the scores of systems: `report.md`, `scores.csv` (a line for each picture and system), `scores.json`
    (everything), `psnr-lpips.png`, `strips/`, and `index.html`, which needs none of the others.

    The folder is made beside its place and renamed, so that it is complete or not there.

    Args:
        folder: Where to.
        rows: Means over test sets, in the order of showing.
        scores: Those of single pictures.
        pictures: `Pictures`, each read when it is its turn.
        facts: Dict of the protocol, versions, SHA-256 of the weights, device: texts, numbers, lists, and dicts of them.
        overwrite: Whether a report that is there may be replaced.
        on_progress: Called with a picture's title after each, or None.

    Returns:
        Notes on what had to be left out, a list of sentences; they are in `report.md`, too.

    Raises:
        UserError: See `check_target`; or a picture cannot be read, or the folder cannot be written.
    """
    rows, scores = list(rows), list(scores)
    with _report_folder(folder, overwrite) as partial:
        figure, left_out = figures.psnr_lpips(rows)
        if figure:
            partial.joinpath(FIGURE).write_bytes(figure)
        notes = _notes_on_figure(figure, rows, left_out)
        title = "Super-resolution, scored"
        strips, more = _write_pictures(partial, title, rows, scores, pictures, facts, figure, notes, on_progress)
        notes += more
        write_csv(scores, partial / CSV)
        everything = {
            "facts": facts,
            "systems": [row.as_dict() for row in rows],
            "pictures": [score.as_dict() for score in scores],
            "notes": notes,
        }
        _write_json(partial / JSON, everything)
        tables = [f"### {_escaped(name or 'Scores')}\n\n{_table(own)}" for name, own in by_set(rows).items()]
        parts = ["## Scores", *tables] if tables else []
        if figure:
            parts.append(f"![PSNR against LPIPS]({FIGURE})")
        _write_text(partial / TEXT, title, [*parts, *_strip_section(strips)], facts, notes)
    return notes


def write_comparison(
    folder: Path | str,
    pictures: Iterable[Pictures],
    facts: Mapping,
    overwrite: bool = False,
    on_progress: Callable[[str], object] | None = None,
) -> list[str]:
    """Shows what systems make of pictures that have no original, and so no scores.

    Writes `report.md`, `facts.json`, `strips/` and `index.html`; otherwise as `write_report`, also what it returns.
    """
    with _report_folder(folder, overwrite) as partial:
        title = "Super-resolution, compared"
        strips, notes = _write_pictures(partial, title, [], [], pictures, facts, None, [], on_progress)
        _write_json(partial / FACTS, facts)
        _write_text(partial / TEXT, title, _strip_section(strips), facts, notes)
    return notes


@contextmanager
def _report_folder(folder, overwrite):
    """Yields a new folder, which takes the place of `folder` at the end, or is removed if that is not reached."""
    check_target(folder, overwrite)
    with atomic_folder(folder) as partial:
        yield partial
        check_target(folder, overwrite)  # the scoring or somebody else may have written there since


def _write_pictures(partial, title, rows, scores, pictures, facts, figure, notes, on_progress):
    """Writes strips and page, which share the reading of the pictures.

    Returns:
        `(strips, notes)`: pairs of a `Pictures` and its strip's name in the folder, and notes on what is left out.
    """
    own = {}
    for entry in scores:
        own.setdefault((entry.set, entry.picture), {})[entry.system] = entry
    strips, taken = [], set()

    def shown():
        for item in pictures:
            layers = item.load()
            place = figures.region(layers)
            name = f"{STRIPS}/{_file_name(item, taken)}.png"
            strip = figures.strip(layers, place, item.title, own.get((item.set, item.picture)))
            partial.joinpath(STRIPS).mkdir(exist_ok=True)
            strip.save(partial / name)
            strips.append((item, name))
            yield item, layers, place
            if on_progress:
                on_progress(item.title)

    with open(partial / PAGE, "x", newline="\n", **LENIENT_UTF8) as file:
        left_out = write_page(file, title, rows, scores, shown(), facts, figure, notes)
    return strips, [f"{PAGE} has no room for: {', '.join(left_out)}."] if left_out else []


def _file_name(item, taken):
    """A name for a file that any system can hold, and that is not yet taken."""
    plain = shortened(re.sub(r"[^\w.-]+", "_", "-".join(filter(None, (item.set, item.picture)))).strip("."))
    name, number = plain or "picture", 1
    while name.lower() in taken:
        number += 1
        name = f"{plain}-{number}"
    taken.add(name.lower())
    return name


def _notes_on_figure(figure, rows, left_out):
    if not rows:
        return []
    if figure is None:
        return ["There is no figure of PSNR against LPIPS, because no system has both."]
    names = [f"{row.system} ({row.set})" if row.set else row.system for row in left_out if not row.published]
    names += ["published systems"] * any(row.published for row in left_out)
    if not names:
        return []
    return [f"Not in the figure of PSNR against LPIPS, for want of an LPIPS or of a finite PSNR: {', '.join(names)}."]


def _write_json(path, data):
    text = json.dumps(_strict(data), ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", **LENIENT_UTF8)


def _strict(value):
    """What JSON can hold: infinite numbers as text, as Python's and NumPy's float() read it; NaN is not known: null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None if math.isnan(value) else str(float(value))
    return str(value)


def _write_text(path, title, parts, facts, notes):
    measured = ["## How it was made", "\n".join(_list(facts))] if facts else []
    noted = ["## Notes", "\n".join(f"- {_escaped(note)}" for note in notes)] if notes else []
    page = f"[Compare the pictures and sort the tables]({PAGE})."
    path.write_text("\n\n".join([f"# {title}", page, *parts, *noted, *measured]) + "\n", **LENIENT_UTF8)


def _table(rows):
    columns = used_columns(rows)
    lines = [["system", *(column.heading for column in columns)], ["---", *("---:" for _ in columns)]]
    lines += [[_escaped(row.label), *(column.text(row.values) or "–" for column in columns)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _strip_section(strips):
    if not strips:
        return []
    head = "Where the systems differ most, enlarged; a frame marks the place in the whole picture."
    shown = [f"### {_escaped(item.title)}\n\n![{_escaped(item.title)}]({quote(name)})" for item, name in strips]
    return ["## Pictures", head, *shown]


def _list(facts, indent=""):
    """Lines of a Markdown list, nested as the dict is."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}- {_escaped(name)}"
            yield from _list(value, indent + "  ")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            yield f"{indent}- {_escaped(name)}: {', '.join(map(_escaped, values))}"


def _escaped(text):
    """Any text as Markdown that shows it as it is, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#&~$])", r"\\\1", " ".join(str(text).split()))
