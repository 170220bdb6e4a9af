"""The report's text, in Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from srgan_tf.evaluation.records import Score, by_set, used_columns


def report_text(
    title: str,
    page: str,
    rows: Sequence[Score],
    figure: str | None,
    strips: Iterable[tuple[str, str, Sequence[str]]],
    notes: Sequence[str],
    facts: Mapping,
) -> str:
    """The text of a report.

    Args:
        title: Title of the report.
        page: File name of the page.
        rows: Means over test sets.
        figure: File name of the figure of PSNR against LPIPS, or None.
        strips: `(title, file name, sentences)` of each strip; the sentences are shown below it.
        notes: Sentences on what is left out.
        facts: See `writer.write_report`.
    """
    parts = [f"# {title}", f"[Compare the images and sort the tables]({page})."]
    if rows:
        parts.append("## Scores")
        parts += [f"### {escaped(name or 'Scores')}\n\n{_table(own)}" for name, own in by_set(rows).items()]
    if figure:
        parts.append(f"![PSNR against LPIPS]({figure})")
    shown = [
        "\n\n".join([f"### {escaped(title)}", f"![{escaped(title)}]({quote(name)})", *map(escaped, sentences)])
        for title, name, sentences in strips
    ]
    if shown:
        parts.append("## Images")
        parts.append("Where the systems differ most, upscaled; a frame marks the place in the whole image.")
        parts += shown
    if notes:
        parts += ["## Notes", "\n".join(f"- {escaped(note)}" for note in notes)]
    if facts:
        parts += ["## How it was made", "\n".join(_list(facts))]
    return "\n\n".join(parts) + "\n"


def _table(rows):
    columns = used_columns(rows)
    cells = [[escaped(row.label), *(column.text(row.values) or "–" for column in columns)] for row in rows]
    return markdown_table(["system", *(column.heading for column in columns)], cells, labels=1)


def markdown_table(heading: Sequence[str], cells: Iterable[Sequence[str]], labels: int) -> str:
    """A Markdown table, `labels` columns aligned to the left, the others to the right; no newline at the end."""
    rule = ["---" if column < labels else "---:" for column in range(len(heading))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heading, rule, *cells))


def _list(facts, indent=""):
    """Yields the lines of a Markdown list, nested like the dict."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{indent}- {escaped(name)}"
            yield from _list(value, indent + "  ")
        else:
            values = value if isinstance(value, list | tuple) else [value]
            yield f"{indent}- {escaped(name)}: {', '.join(map(escaped, values))}"


def escaped(text: object) -> str:
    """Text escaped for Markdown, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>|#&~$])", r"\\\1", " ".join(str(text).split()))
