"""Writes the page on which raters give scores or compare pairs: one HTML file, which loads and sends nothing."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from srgan_tf.evaluation.external_results import load_external_result
from srgan_tf.evaluation.html import MAX_BYTES, fill, image_uri, json_in_script, read_template, showing_bytes
from srgan_tf.evaluation.memory import check_memory
from srgan_tf.evaluation.mos_design import pairs_of
from srgan_tf.evaluation.picture_sets import Image, PictureSet, load_pair
from srgan_tf.evaluation.records import HR
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file
from srgan_tf.system.errors import UserError

WORST = "nearest"
EXPECTED = {WORST: 1, HR: 5}  # in the calibration, which the paper has for 20 images (section 3.3)
SCORES_FORMAT, PAIRS_FORMAT = "srgan_tf mos 1", "srgan_tf pairs 1"  # of a rater's file


def all_versions(
    sets: Iterable[PictureSet],
    systems: Mapping[str, Callable[[Image], Image]],
    external: Sequence[Mapping[str, Mapping[str, Path]]],
    scale: int,
    max_memory: int | None = None,
) -> Iterator[tuple[str, str, dict[str, Image]]]:
    """Yields every system's version of every image, and HR, as `(set, picture, layers)`, see `write_study`.

    Args:
        sets: The test sets.
        systems: See `benchmark.score_set`.
        external: For each set, see `benchmark.score_set`.
        scale: Scale factor of all systems.
        max_memory: Bytes that the process may have at its peak. None: no limit.

    Raises:
        UserError: An image cannot be read or upscaled or does not fit, or `max_memory` does not suffice.
    """
    for each, theirs in zip(sets, external):
        pixel_bytes = showing_bytes(len(systems) + len(theirs) + 1)  # and HR
        for pair in each.pairs:
            check_memory(pair.hr, pixel_bytes, max_memory, "show")
            hr, lr = load_pair(pair, scale)
            with image_errors(pair.lr or pair.hr):
                made = {name: system(lr) for name, system in systems.items()}
            check_memory(pair.hr, pixel_bytes, max_memory, "show")  # again, since networks keep what they took
            made |= {name: load_external_result(paths[pair.name], pair, hr, scale) for name, paths in theirs.items()}
            yield each.name, pair.name, made | {HR: hr}


def write_study(
    path: Path | str, title: str, shown: Iterable[tuple[str, str, Mapping[str, Image]]], pictures: int | None = None
) -> int:
    """Writes the page of a study.

    It starts with a calibration: nearest and HR of the first image, with the score, or the one, to choose. Then a study
    of scores shows every system's version of every image; a study of pairs shows two versions of an image at a time,
    see `mos_design.pairs_of`, each on the left for half of the raters. Versions have no names, and each rater sees them
    in another random order.

    Args:
        path: The HTML file.
        title: The title of the study, which raters see.
        shown: Iterable of `(set, picture, layers)`: two names, and a dict from system to uint8 RGB `(H, W, 3)`, with
            "nearest" first and "HR" last.
        pictures: Length of `shown`, for a study of pairs. None: a study of scores.

    Returns:
        The number of images, or pairs of images, that a rater sees.

    Raises:
        UserError: There is no image, they exceed `html.MAX_BYTES`, or the file cannot be written.
    """
    template = read_template("srgan_tf.evaluation", "mos.html")
    ask = _ask_scores if pictures is None else _ask_pairs
    items: list[dict] = []
    images: list[list[int]] = []  # of each item, as indices in `encoded`
    encoded: list[str] = []
    size = 0
    for number, (set_name, picture, layers) in enumerate(shown):
        places = {system: len(encoded) + place for place, system in enumerate(layers)}
        for question, systems in ask(number, list(layers), pictures):
            items.append({"set": set_name, "picture": picture} | question)
            images.append([places[system] for system in systems])
        for image in layers.values():
            encoded.append(image_uri(image))
            size += len(encoded[-1])
        if size > MAX_BYTES:
            raise UserError(
                f"{path}: more than {MAX_BYTES / 1e6:g} MB of images by {set_name} {picture}; --per_set takes fewer"
            )
    if not items:
        raise UserError(f"{path}: no images to rate")
    digest = hashlib.sha256(json.dumps([title, items]).encode())
    for text in encoded:
        digest.update(text.encode())
    study = {
        "id": digest.hexdigest()[:16],
        "title": title,
        "format": SCORES_FORMAT if pictures is None else PAIRS_FORMAT,
        "calibration": sum("expected" in item for item in items),
        "items": items,
        "images": images,
    }
    values = {"title": escape(title), "kind": "scores" if pictures is None else "pairs", "study": json_in_script(study)}
    head, tail = (fill(part, values) for part in template.split("{{pictures}}"))
    with atomic_file(path) as partial, open(partial, "x", **LENIENT_UTF8) as file:
        file.write(head)
        for number, text in enumerate(encoded):
            file.write(f'<script type="text/plain" id="picture-{number}">{text}</script>\n')
        file.write(tail)
    return len(items)


def _ask_scores(number, systems, _):
    """Yields the questions about an image: the part of each in the rater's file, and the systems that it shows."""
    if number == 0:
        yield from (({"system": system, "expected": score}, [system]) for system, score in EXPECTED.items())
    yield from (({"system": system}, [system]) for system in systems)


def _ask_pairs(number, systems, pictures):
    if number == 0:
        yield {"systems": list(EXPECTED), "expected": HR}, list(EXPECTED)
    yield from (({"systems": pair}, pair) for pair in pairs_of(number, pictures, systems))
