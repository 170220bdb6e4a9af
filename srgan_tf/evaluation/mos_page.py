"""The page on which raters give their opinion scores: one HTML file, which loads nothing and sends nothing."""

import hashlib
import json
import re
from html import escape
from importlib import resources

from srgan_tf.evaluation.benchmark import load_external_result, load_pair
from srgan_tf.evaluation.records import HR
from srgan_tf.evaluation.report.page import LARGEST, data_uri, policy_hash
from srgan_tf.system.atomic import LENIENT_UTF8, atomic_file
from srgan_tf.system.errors import UserError

WORST = "nearest"
EXPECTED = {WORST: 1, HR: 5}  # of the calibration, as the paper has it for 20 pictures (section 3.3)


def all_versions(sets, systems, external, scale, progress):
    """What a study shows: every system's version of every picture, and HR.

    Args:
        sets: `benchmark.PictureSet`s.
        systems: Dict from name to a function of LR, see `benchmark.score`.
        external: For each set what `benchmark.score` takes.
        scale: Enlargement of all systems.
        progress: Called after each picture.

    Yields:
        `(set, picture, layers)`, see `write_study`.

    Raises:
        UserError: A picture cannot be read or does not fit.
    """
    for each, theirs in zip(sets, external):
        for pair in each.pairs:
            hr, lr = load_pair(pair, scale)
            made = {name: system(lr) for name, system in systems.items()}
            made |= {name: load_external_result(paths[pair.name], pair, hr, scale) for name, paths in theirs.items()}
            yield each.name, pair.name, made | {HR: hr}
            progress()


def write_study(path, title, shown, largest=LARGEST):
    """Writes the page of a study.

    The first picture's nearest and HR are shown first, with the score that they shall have; then every system's version
    of every picture, without a name, in an order of each rater's own.

    Args:
        path: Of the HTML file.
        title: Of the study, which raters see.
        shown: Iterable of `(set, picture, layers)`: two names, and a dict from system to uint8 RGB `(H, W, 3)`, with
            "nearest" and "HR" among them.
        largest: Bytes of pictures at most, beyond which browsers take long to open the page.

    Returns:
        How many pictures a rater sees.

    Raises:
        UserError: There is no picture, they are too many, or the file cannot be written.
    """
    template = resources.files("srgan_tf.evaluation").joinpath("mos.html").read_text(encoding="utf-8")
    items, encoded, size = [], [], 0
    for set_name, picture, layers in shown:
        made = {system: data_uri(image) for system, image in layers.items()}
        if not items:
            for system, expected in EXPECTED.items():
                items.append({"set": set_name, "picture": picture, "system": system, "expected": expected})
                encoded.append(made[system])
        for system, text in made.items():
            items.append({"set": set_name, "picture": picture, "system": system})
            encoded.append(text)
            size += len(text)
        if size > largest:
            raise UserError(
                f"{path}: more than {largest / 1e6:g} MB of pictures by {set_name} {picture}; --per_set takes fewer"
            )
    if not items:
        raise UserError(f"{path}: no pictures to rate")
    digest = hashlib.sha256(json.dumps([title, items]).encode())
    for text in encoded:
        digest.update(text.encode())
    study = {"id": digest.hexdigest()[:16], "title": title, "calibration": len(EXPECTED), "items": items}
    values = {
        "title": escape(title),
        "style_hash": policy_hash(template, "style"),
        "script_hash": policy_hash(template, "script"),
        "study": json.dumps(study, ensure_ascii=False).replace("<", "\\u003c"),
        "pictures": "\n".join(
            f'<script type="text/plain" id="picture-{number}">{text}</script>' for number, text in enumerate(encoded)
        ),
    }
    page = re.sub(r"{{(\w+)}}", lambda match: values[match[1]], template)
    with atomic_file(path) as beside:
        beside.write_text(page, **LENIENT_UTF8)
    return len(items)
