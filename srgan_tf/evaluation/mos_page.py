"""The page on which raters give their opinion scores: one HTML file, which loads nothing and sends nothing."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from srgan_tf.evaluation.external_results import load_external_result
from srgan_tf.evaluation.html import MAX_BYTES, fill, image_uri, json_in_script, read_template, showing_bytes
from srgan_tf.evaluation.memory import check_memory
from srgan_tf.evaluation.picture_sets import Image, PictureSet, load_pair
from srgan_tf.evaluation.records import HR
from srgan_tf.imaging import files
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file
from srgan_tf.system.errors import UserError

WORST = "nearest"
EXPECTED = {WORST: 1, HR: 5}  # of the calibration, as the paper has it for 20 pictures (section 3.3)


def all_versions(
    sets: Iterable[PictureSet],
    systems: Mapping[str, Callable[[Image], Image]],
    external: Sequence[Mapping[str, Mapping[str, Path]]],
    scale: int,
    on_progress: Callable[[], object],
    max_memory: int | None = None,
) -> Iterator[tuple[str, str, dict[str, Image]]]:
    """What a study shows: every system's version of every picture, and HR.

    Args:
        sets: The test sets.
        systems: Dict from name to a function of LR, see `benchmark.score_set`.
        external: For each set what `benchmark.score_set` takes.
        scale: Scale factor of all systems.
        on_progress: Called after each picture.
        max_memory: Bytes that the process may have at its peak. None: any.

    Yields:
        `(set, picture, layers)`, see `write_study`.

    Raises:
        UserError: A picture cannot be read or does not fit, or `max_memory` does not suffice.
    """
    for each, theirs in zip(sets, external):
        pixel_bytes = showing_bytes(len(systems) + len(theirs) + 1)  # and HR
        for pair in each.pairs:
            if max_memory is not None:
                check_memory(pair.hr, files.probe(pair.hr), pixel_bytes, max_memory, "show")
            hr, lr = load_pair(pair, scale)
            made = {name: system(lr) for name, system in systems.items()}
            if max_memory is not None:  # again, since networks keep what they took
                check_memory(pair.hr, (hr.shape[0], hr.shape[1]), pixel_bytes, max_memory, "show")
            made |= {name: load_external_result(paths[pair.name], pair, hr, scale) for name, paths in theirs.items()}
            yield each.name, pair.name, made | {HR: hr}
            on_progress()


def write_study(path: Path | str, title: str, shown: Iterable[tuple[str, str, Mapping[str, Image]]]) -> int:
    """Writes the page of a study.

    The first picture's nearest and HR are shown first, with the score that is asked for; then every system's version
    of every picture, without a name, in another random order for each rater.

    Args:
        path: Of the HTML file.
        title: Of the study, which raters see.
        shown: Iterable of `(set, picture, layers)`: two names, and a dict from system to uint8 RGB `(H, W, 3)`, with
            "nearest" and "HR" among them.

    Returns:
        How many pictures a rater sees.

    Raises:
        UserError: There is no picture, they exceed `html.MAX_BYTES`, or the file cannot be written.
    """
    template = read_template("srgan_tf.evaluation", "mos.html")
    items: list[dict] = []
    encoded, size = [], 0
    for set_name, picture, layers in shown:
        made = {system: image_uri(image) for system, image in layers.items()}
        if not items:
            for system, expected in EXPECTED.items():
                items.append({"set": set_name, "picture": picture, "system": system, "expected": expected})
                encoded.append(made[system])
        for system, text in made.items():
            items.append({"set": set_name, "picture": picture, "system": system})
            encoded.append(text)
            size += len(text)
        if size > MAX_BYTES:
            raise UserError(
                f"{path}: more than {MAX_BYTES / 1e6:g} MB of pictures by {set_name} {picture}; --per_set takes fewer"
            )
    if not items:
        raise UserError(f"{path}: no pictures to rate")
    digest = hashlib.sha256(json.dumps([title, items]).encode())
    for text in encoded:
        digest.update(text.encode())
    study = {"id": digest.hexdigest()[:16], "title": title, "calibration": len(EXPECTED), "items": items}
    values = {"title": escape(title), "study": json_in_script(study)}
    head, tail = (fill(part, values) for part in template.split("{{pictures}}"))
    with atomic_file(path) as partial, open(partial, "x", **LENIENT_UTF8) as file:
        file.write(head)
        for number, text in enumerate(encoded):
            file.write(f'<script type="text/plain" id="picture-{number}">{text}</script>\n')
        file.write(tail)
    return len(items)
