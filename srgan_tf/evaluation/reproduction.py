"""The page of `srgan reproduce`: every row of the slides' tables beside ours, and where ours comes from."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from srgan_tf.evaluation import published
from srgan_tf.evaluation.benchmark import SetScores
from srgan_tf.evaluation.faces_report import SLIDES
from srgan_tf.evaluation.metrics import METRICS, MOS
from srgan_tf.evaluation.records import HR
from srgan_tf.evaluation.report.markdown import escaped, markdown_table
from srgan_tf.evaluation.tables import UNKNOWN, rows
from srgan_tf.system.json_files import read_json

_NOT_TRAINED = "No weights of it come with the package."
_SHOWN = [metric for metric in METRICS if metric.key in ("psnr", "paper_ssim", "lpips")]


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """Our system beside a published one.

    Attributes:
        system: Its name; empty if there is none.
        command: The command that scores it, with `SET` for the test set; or that would train it.
        why: A sentence on why the two differ, with `{steps}` and `{data}` of the manifest's entry.
    """

    system: str
    command: str
    why: str


_TRAINED = "{steps} steps on {data}; that of the paper"
COUNTERPARTS = {
    "nearest": Counterpart("nearest", "srgan evaluate SET --weights=none", "The same, within 0.02 dB."),
    "bicubic": Counterpart("bicubic", "srgan evaluate SET --weights=none", "The same, within 0.02 dB."),
    "SRCNN": Counterpart(
        "srcnn", "srgan evaluate SET --weights=srcnn", _TRAINED + ", by Dong et al., had the 91 images of T91."
    ),
    "SelfExSR": Counterpart(
        "selfex",
        "srgan evaluate SET --weights=none --model=selfex",
        "Needs no training; ours averages the patches nearby where the paper seeks one that is transformed.",
    ),
    "DRCN": Counterpart("", "srgan train --model=drcn --train_dir=PHOTOS", _NOT_TRAINED),
    "ESPCN": Counterpart(
        "espcn", "srgan evaluate SET --weights=espcn", _TRAINED + ", by Shi et al., had 50,000 images of ImageNet."
    ),
    "SRResNet-MSE": Counterpart(
        "srresnet",
        "srgan evaluate SET --weights=srresnet",
        _TRAINED + " had 1,000,000 steps of 16 crops on 350,000 images of ImageNet.",
    ),
    "SRResNet-VGG22": Counterpart(
        "", "srgan train --mode=srresnet --content_loss=vgg22 --train_dir=PHOTOS", _NOT_TRAINED
    ),
    "SRGAN-MSE": Counterpart("", "srgan train --mode=srgan --content_loss=mse --train_dir=PHOTOS", _NOT_TRAINED),
    "SRGAN-VGG22": Counterpart("", "srgan train --mode=srgan --content_loss=vgg22 --train_dir=PHOTOS", _NOT_TRAINED),
    "SRGAN-VGG54": Counterpart(
        "srgan",
        "srgan evaluate SET --weights=srgan",
        _TRAINED + " had 200,000 steps on 350,000 images of ImageNet; ours keeps closer to the MSE.",
    ),
}


def page(
    scored: Iterable[SetScores],
    manifest: Mapping[str, Mapping],
    facts: Mapping[str, object],
    faces: Sequence["FaceResult"] = (),
) -> str:
    """The page, in Markdown.

    Args:
        scored: The scores on the paper's test sets.
        manifest: The manifest of the pretrained weights, see `weights.read_manifest`.
        facts: The facts behind the scores, texts and dicts of texts.
        faces: The results of `read_faces`.
    """
    parts = [
        "# Reproduction",
        "Every row of the slides' tables as published (Ledig et al. 2017), and ours. Written by `srgan reproduce`,"
        " which scores the weights of the package; LPIPS was not published.",
    ]
    parts += [f"## {escaped(one.set.name)}\n\n{_scores(one)}" for one in scored]
    parts.append(f"## Where ours come from\n\n{_origins(manifest)}")
    parts.append(
        "SSIM is that of daala, as in the paper. Opinion scores (MOS) need raters: `srgan mos make` writes the page"
        " that they rate on, and no such study has been made with these weights."
    )
    if faces:
        parts.append(f"## Faces\n\nAccuracy of FaceNet on LFW, %.\n\n{_faces(faces)}")
    parts.append("## Made with\n\n" + "\n".join(f"- {escaped(name)}: {_text(value)}" for name, value in facts.items()))
    return "\n\n".join(parts) + "\n"


def _scores(scored):
    known = published.find(scored.set.name)
    ours = {row.system: row for row in rows(scored) if not row.published}
    heading = ["published as"]
    for metric in _SHOWN:
        heading += [f"{metric.heading}, published", f"{metric.heading}, ours"]
    lines = []
    for row in known.rows:
        if row.system in COUNTERPARTS:
            own = ours.get(COUNTERPARTS[row.system].system)
            cells = [row.system]
            for metric in _SHOWN:
                cells += [metric.text(row.values) or UNKNOWN, metric.text(own.values if own else {}) or UNKNOWN]
            lines.append([*cells, MOS.text(row.values)])
    heading.append(f"{MOS.heading}, published")
    used = [column for column in range(len(heading)) if any(line[column] != UNKNOWN for line in lines)]
    heading, *lines = ([line[column] for column in used] for line in (heading, *lines))
    return markdown_table(heading, lines, labels=1)


def _origins(manifest):
    lines = []
    for name, each in COUNTERPARTS.items():
        entry = manifest.get(each.system)
        why = each.why.format(steps=f"{entry['steps']:,}", data=entry["data"]) if entry else each.why
        digest = f"`{entry['sha256'][:16]}`" if entry else UNKNOWN
        lines.append([name, each.system or UNKNOWN, digest, f"`{each.command}`", escaped(why)])
    heading = ("published as", "ours", "SHA-256 begins with", "command", "why they differ")
    return markdown_table(heading, lines, labels=len(heading))


def _faces(faces):
    systems = list(dict.fromkeys(each["method"] for each in faces if each["method"] != HR))
    accuracy = {(each["size"], each["method"]): f"{100 * each['accuracy']:.2f}" for each in faces}
    lines = [
        [
            f"{size}x{size}",
            *(f"{value:.2f}" for value in slides),
            *(accuracy.get((size, name), UNKNOWN) for name in systems),
        ]
        for size, slides in SLIDES.items()
    ]
    return markdown_table(
        ["face", "bicubic, slides", "SRGAN, slides", *(f"{name}, ours" for name in systems)], lines, 1
    )


def _text(value):
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(each)}" for name, each in value.items())
    return escaped(value)


class FaceResult(TypedDict):
    """A row of the `faces.json` that `srgan faces` writes."""

    size: int
    method: str
    accuracy: float


class _FacesFile(TypedDict):
    rows: list[FaceResult]


def read_faces(path: Path | str) -> list[FaceResult]:
    """The results of the faces' experiment, from the `faces.json` that `srgan faces` wrote.

    Raises:
        UserError: It cannot be read, or is another file.
    """
    content = read_json(path, _FacesFile, "not what `srgan faces` writes", "name its faces.json")
    return content["rows"]
