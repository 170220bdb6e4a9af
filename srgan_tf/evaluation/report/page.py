"""The report's page: one HTML file with sortable tables and images to compare, which loads nothing from elsewhere."""

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import TextIO

import numpy as np

from srgan_tf.evaluation.html import MAX_BYTES, data_uri, fill, image_uri, json_in_script, read_template
from srgan_tf.evaluation.records import HR, LR, Score, by_set, used_columns
from srgan_tf.inference.invention_map import HIGH, LOW, MOST, Invention, colored

_NAMES = {"picture": "image", "system": "system"}  # headings of a score's fields
_BASELINES = (HR, LR, "nearest", "bicubic")  # not shown first


def write_page(
    file: TextIO,
    title: str,
    rows: Sequence[Score],
    scores: Sequence[Score],
    shown: Iterable[tuple],
    facts: Mapping,
    figure: bytes | None = None,
    notes: Iterable[str] = (),
    threads: int | None = None,
) -> list[str]:
    """Writes the page.

    Args:
        file: Text file to write to.
        title: Title of the page.
        rows: Means over test sets.
        scores: Scores of single images.
        shown: Iterable of `(pictures, layers, place)`: a `Pictures`, the result of its `load`, and `figures.region`.
        facts: Dict of facts behind the scores: texts, numbers, lists, and dicts of them.
        figure: PNG of PSNR against LPIPS, or None.
        notes: Sentences on what is left out.
        threads: Threads that encode, each with 40 bytes for a pixel. None: by the number of processors.

    Returns:
        Titles of the images that the page has no room for, beyond `html.MAX_BYTES`.
    """
    template = read_template("srgan_tf.evaluation.report", "page.html")
    values = {
        "title": escape(title),
        "legend": _legend(),
        "tables": _tables(rows),
        "figure": _figure(figure),
        "notes": "".join(f'<p class="hint">{escape(note)}</p>' for note in notes),
        "details": _details(scores),
        "facts": _facts(facts),
    }
    head, tail = template.split("{{pictures}}")
    file.write(fill(head, values))
    captions = _captions(scores)
    index: list[dict] = []
    left_out, size = [], 0
    with ThreadPoolExecutor(threads) as pool:
        for pictures, layers, place in shown:
            encoded = list(pool.map(image_uri, (*layers.values(), *map(colored, pictures.errors.values()))))
            added = sum(map(len, encoded))
            if size + added > MAX_BYTES:
                left_out.append(pictures.title)
                continue
            size += added
            identities = [f"image-{len(index)}-{number}" for number in range(len(encoded))]
            for identity, uri in zip(identities, encoded):
                file.write(f'<script type="text/plain" id="{identity}">{uri}</script>\n')
            index.append(_index_entry(pictures, layers, place, identities, captions))
    listed = json_in_script({"pictures": index, "leftOut": left_out})
    file.write(f'<script type="application/json" id="index">{listed}</script>\n{tail}')
    return left_out


def _captions(scores):
    """Dict from `(set, image, system)` to the scores in one line."""
    columns = used_columns(scores)
    return {
        (score.set, score.picture, score.system): ", ".join(
            f"{column.heading} {text}" for column in columns if (text := column.text(score.values))
        )
        for score in scores
    }


def _index_entry(pictures, layers, place, identities, captions):
    """The entry of an image in the index that the page's script reads."""
    height, width = next(iter(layers.values())).shape[:2]
    top, left, side = place
    systems = [
        {"name": system, "image": identity, "scores": captions.get((pictures.set, pictures.picture, system), "")}
        for system, identity in zip(layers, identities)
    ]
    for (system, error), identity in zip(pictures.errors.items(), identities[len(layers) :]):
        shares = Invention.of(error).legend.replace(" %", "\N{NO-BREAK SPACE}%")
        systems.append({"name": f"{system}, invented", "image": identity, "scores": shares, "map": True})
    return {
        "set": pictures.set,
        "name": pictures.picture,
        "title": pictures.title,
        "size": [width, height],
        "region": [left, top, side],
        "systems": systems,
        "first": _first_pair(list(layers)),
    }


def _first_pair(names):
    """Indices of the two systems to compare first: bicubic, and the last system that is not a baseline."""
    left = next((names.index(name) for name in ("bicubic", "nearest", LR) if name in names), 0)
    others = [number for number, name in enumerate(names) if name not in _BASELINES and number != left]
    others = others or [number for number in range(len(names)) if number != left]
    return [left, others[-1] if others else left]


def _tables(rows):
    columns = used_columns(rows)
    return "".join(_table(name or "Scores", ("system",), columns, own) for name, own in by_set(rows).items())


def _details(scores):
    if not scores:
        return ""
    columns = used_columns(scores)
    tables = (
        _table(f"{name}, image by image" if name else "Image by image", ("picture", "system"), columns, own)
        for name, own in by_set(scores).items()
    )
    return f"<details><summary>Scores of every image</summary>{''.join(tables)}</details>"


def _table(caption, names, columns, scores):
    """A sortable table: the fields `names` of each score, and its numbers."""

    def heading(text, first, kind):
        return f'<th scope="col" data-first="{first}" class="{kind}"><button type="button">{escape(text)}</button></th>'

    headings = [heading(_NAMES[name], "ascending", "name") for name in names] + [
        heading(column.heading, "descending" if column.higher_is_better else "ascending", "number")
        for column in columns
    ]
    body = []
    for score in scores:
        cells = []
        for name in names:
            text = escape(getattr(score, name))
            tag = ' <span class="tag">published</span>' * (name == "system" and score.published)
            cells.append(f'<th scope="row" data-value="{text}">{text}{tag}</th>')
        for column in columns:
            text, value = column.text(score.values), score[column.key]
            known = f' data-value="{value if math.isfinite(value) else "Infinity"}"' if text else ""
            cells.append(f"<td{known}>{text or '–'}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{''.join(headings)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _figure(png):
    if png is None:
        return ""
    alt = "PSNR against LPIPS of every system; the numbers are in the tables"
    return f'<figure><img src="{data_uri(png, "png")}" alt="{alt}"></figure>'


def _legend():
    """The colors of the maps with labelled levels, which the page's script positions."""
    bar = image_uri(colored(np.linspace(0, MOST, 512, dtype=np.float32)[None]))
    levels = "".join(f'<span data-level="{level:g}">{level:g}</span>' for level in (0, LOW, HIGH))
    return (
        f"<p>Map of what is invented: expected error in levels of 255, low below {LOW:g}, high above {HIGH:g}</p>"
        f'<div class="bar"><img src="{bar}" alt="Colors from 0 to {MOST:g} levels">{levels}'
        f'<span data-level="{MOST:g}">{MOST:g} or more</span></div>'
    )


def _facts(facts):
    """A definition list, nested like the dict."""
    if isinstance(facts, Mapping):
        items = "".join(f"<dt>{escape(str(name))}</dt><dd>{_facts(value)}</dd>" for name, value in facts.items())
        return f"<dl>{items}</dl>" if items else ""
    if isinstance(facts, list | tuple):
        return "<br>".join(_facts(value) for value in facts)
    return escape(str(facts))
