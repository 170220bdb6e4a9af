"""The report's page: one HTML file with tables to sort and pictures to compare, which loads nothing from elsewhere."""

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib import resources

import numpy as np
from PIL import Image

from srgan_tf.evaluation.records import HR, LR, by_set, used_columns

LARGEST = 200_000_000  # bytes of pictures, beyond which browsers take long to open the page
_WEBP_SIDE = 16383  # pixels, the longest that WebP can hold
_PLAIN = (HR, LR, "nearest", "bicubic")  # what the page does not choose as the system to look at first


def write_page(file, title, rows, scores, shown, facts, figure=None, notes=(), largest=LARGEST):
    """Writes the page.

    Args:
        file: Text file to write to.
        title: Of the page.
        rows: Means over test sets.
        scores: Those of single pictures.
        shown: Iterable of `(pictures, layers, place)`: a `Pictures`, what its `load` returned, and `figures.region`.
        facts: Dict of what is to be known about the scores: texts, numbers, lists, and dicts of them.
        figure: PNG of PSNR against LPIPS, or None.
        notes: Sentences on what is left out.
        largest: Bytes of pictures that the page holds at most.

    Returns:
        Titles of the pictures that the page has no room for.
    """
    template = resources.files("srgan_tf.evaluation.report").joinpath("page.html").read_text(encoding="utf-8")
    values = {
        "title": escape(title),
        "style_hash": policy_hash(template, "style"),
        "script_hash": policy_hash(template, "script"),
        "tables": _tables(rows),
        "figure": _figure(figure),
        "notes": "".join(f'<p class="hint">{escape(note)}</p>' for note in notes),
        "details": _details(scores),
        "facts": _facts(facts),
    }
    head, tail = template.split("{{pictures}}")
    # In a single pass, so that braces in a value stay what they are.
    file.write(re.sub(r"{{(\w+)}}", lambda match: values[match[1]], head))
    numbers = {(score.set, score.picture, score.system): score.values for score in scores}
    columns = used_columns(scores)
    index, left_out, size = [], [], 0
    with ThreadPoolExecutor() as pool:
        for pictures, layers, place in shown:
            encoded = list(pool.map(data_uri, layers.values()))
            if size + sum(map(len, encoded)) > largest:
                left_out.append(pictures.title)
                continue
            size += sum(map(len, encoded))
            systems = []
            for system, uri in zip(layers, encoded):
                identity = f"image-{len(index)}-{len(systems)}"
                file.write(f'<script type="text/plain" id="{identity}">{uri}</script>\n')
                values = numbers.get((pictures.set, pictures.picture, system), {})
                known = [f"{column.heading} {column.text(values)}" for column in columns if column.text(values)]
                systems.append({"name": system, "image": identity, "scores": ", ".join(known)})
            height, width = next(iter(layers.values())).shape[:2]
            index.append(
                {
                    "set": pictures.set,
                    "name": pictures.picture,
                    "title": pictures.title,
                    "size": [width, height],
                    "region": [place[1], place[0], place[2]],
                    "systems": systems,
                    "first": _first_pair(list(layers)),
                }
            )
    listed = json.dumps({"pictures": index, "leftOut": left_out}, ensure_ascii=False).replace("<", "\\u003c")
    file.write(f'<script type="application/json" id="index">{listed}</script>\n{tail}')
    return left_out


def policy_hash(template, tag):
    """The hash by which the page's policy knows its own style and script, and no other."""
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data_uri(image):
    """A picture, uint8 RGB `(H, W, 3)`, as an address that holds it without loss."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(image))
    if max(image.size) <= _WEBP_SIDE:
        # Two thirds of a PNG's bytes; higher methods take twice the time for one hundredth less.
        image.save(file, "WEBP", lossless=True, method=2)
        return _uri(file.getvalue(), "webp")
    image.save(file, "PNG")
    return _uri(file.getvalue(), "png")


def _uri(data, kind):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _first_pair(names):
    """Numbers of the two systems to compare first: bicubic, and the last one that is not as plain."""
    left = next((names.index(name) for name in ("bicubic", "nearest", LR) if name in names), 0)
    others = [number for number, name in enumerate(names) if name not in _PLAIN and number != left]
    others = others or [number for number in range(len(names)) if number != left]
    return [left, others[-1] if others else left]


def _tables(rows):
    columns = used_columns(rows)
    return "".join(
        _table(name or "Scores", ["system"], columns, [([(row.system, row.published)], row) for row in own])
        for name, own in by_set(rows).items()
    )


def _details(scores):
    if not scores:
        return ""
    columns = used_columns(scores)
    tables = "".join(
        _table(
            f"{name}, picture by picture" if name else "Picture by picture",
            ["picture", "system"],
            columns,
            [([(entry.picture, False), (entry.system, False)], entry) for entry in own],
        )
        for name, own in by_set(scores).items()
    )
    return f"<details><summary>Scores of every picture</summary>{tables}</details>"


def _table(caption, names, columns, lines):
    """A table with heads to sort by; `lines` are pairs of the names in a row, each maybe published, and its entry."""

    def head(text, first, kind):
        return f'<th scope="col" data-first="{first}" class="{kind}"><button type="button">{escape(text)}</button></th>'

    heads = [head(name, "ascending", "name") for name in names]
    heads += [
        head(column.heading, "descending" if column.higher_is_better else "ascending", "number") for column in columns
    ]
    body = []
    for words, entry in lines:
        cells = [
            f'<th scope="row" data-value="{escape(text)}">{escape(text)}'
            + ' <span class="tag">published</span>' * published
            + "</th>"
            for text, published in words
        ]
        for column in columns:
            text, value = column.text(entry.values), entry[column.key]
            known = f' data-value="{value if math.isfinite(value) else "Infinity"}"' if text else ""
            cells.append(f"<td{known}>{text or '–'}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{''.join(heads)}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _figure(png):
    if png is None:
        return ""
    alt = "PSNR against LPIPS of every system; the numbers are in the tables"
    return f'<figure><img src="{_uri(png, "png")}" alt="{alt}"></figure>'


def _facts(facts):
    """A definition list, nested as the dict is."""
    if isinstance(facts, Mapping):
        items = "".join(f"<dt>{escape(str(name))}</dt><dd>{_facts(value)}</dd>" for name, value in facts.items())
        return f"<dl>{items}</dl>" if items else ""
    if isinstance(facts, list | tuple):
        return "<br>".join(_facts(value) for value in facts)
    return escape(str(facts))
