"""The report of the faces' experiment: its tables, its ROC curves and its pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from srgan_tf.evaluation import verification
from srgan_tf.evaluation.faces import FALSE_ACCEPT_RATES, HR, SIZES, Faces, Method, Result, degraded
from srgan_tf.evaluation.lfw import SIDE
from srgan_tf.evaluation.report.figures import font, png
from srgan_tf.evaluation.tables import UNKNOWN, aligned
from srgan_tf.imaging.resize import imresize, upscale_nearest

# Of the slides: accuracy in % on all ten folds of LFW, with and without SRGAN.
SLIDES = {20: (93.5, 92.217), 30: (97.467, 97.867), 40: (98.7, 99.1), 50: (99.167, 99.45), 60: (99.517, 99.567)}
_LABEL, _GAP = 24, 4  # pixels


def tables(results: Sequence[Result]) -> str:
    """The accuracies beside the slides', TAR at FAR, and the tests against bicubic, as aligned lines."""
    by_place = {(each.size, each.method): each for each in results}
    methods = list(dict.fromkeys(each.method for each in results if each.method != HR))
    sizes = [size for size in dict.fromkeys(each.size for each in results) if (size, HR) not in by_place]
    whole = by_place[SIDE, HR]

    def line(size, cell):
        return [cell(by_place[size, method]) for method in methods] + [cell(whole) if size == sizes[0] else ""]

    def accuracy(each):
        return f"{100 * each.accuracy.mean:.2f} ± {100 * each.accuracy.standard_error:.2f}"

    slides = {size: [f"{value:.2f}" for value in SLIDES.get(size, ())] or [UNKNOWN] * 2 for size in sizes}
    heading = ("face", "slides: bicubic", "slides: SRGAN", *methods, f"{HR} {SIDE}x{SIDE}")
    parts = [
        "Accuracy, %, ± standard error over the folds",
        *aligned(heading, [(f"{size}x{size}", *slides[size], *line(size, accuracy)) for size in sizes], labels=1),
    ]
    for place, far in enumerate(FALSE_ACCEPT_RATES):
        cells = [
            (f"{size}x{size}", *line(size, lambda each, at=place: f"{100 * each.true_accept_rates[at]:.1f}"))
            for size in sizes
        ]
        parts += ["", f"TAR at FAR {far:g}, %", *aligned(("face", *methods, HR), cells, labels=1)]
    cells = []
    for each in results:
        if each.against_bicubic:
            gained, lost, p = each.against_bicubic
            verdict = "no difference shown" if p >= 0.05 else "better" if gained > lost else "worse"
            cells.append((f"{each.size}x{each.size}", each.method, verdict, str(gained), str(lost), f"{p:.2g}"))
    if cells:
        heading = ("face", "against bicubic", "", "pairs gained", "pairs lost", "McNemar's p")
        parts += ["", *aligned(heading, cells, labels=3)]
    return "\n".join(parts)


def curves(results: Sequence[Result], same: NDArray[np.bool_]) -> bytes:
    """ROC curves, a panel for each size; a PNG file. `same` says of each pair whether it shows one person, `(N,)`."""
    sizes = [size for size in dict.fromkeys(each.size for each in results) if size != SIDE]
    figure = Figure(figsize=(3.2 * len(sizes), 3.8), layout="constrained")
    lowest = 1 / max(1, (~same).sum())
    for axis, size in zip(figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0], sizes):
        for each in results:
            if each.size == size or each.method == HR:
                far, tar = verification.roc(each.distances, same)
                style = {"color": "gray", "linestyle": ":"} if each.method == HR else {}
                axis.step(np.maximum(far, lowest), tar, where="post", label=each.method, **style)
        axis.set(title=f"{size}x{size}", xlabel="FAR", xscale="log")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="lower right")
    figure.axes[0].set_ylabel("TAR")
    return png(figure)


def strip(faces: Faces, methods: Mapping[str, Method], sizes: Sequence[int] = SIZES) -> Image.Image:
    """Faces, uint8 `(N, 160, 160, 3)`, as each method restores them, a row for each face and side in pixels; RGB."""
    names = ["LR", *methods, HR]
    step = SIDE + _GAP
    sheet = Image.new("RGB", (len(names) * step, _LABEL + len(faces) * len(sizes) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * step + SIDE // 2, _LABEL // 2), name, "black", font(14, "bold"), "mm")
    for number, face in enumerate(faces):
        for row, size in enumerate(sizes):
            small = imresize(face, size, size)
            shown = [imresize(upscale_nearest(small, -(-SIDE // size)), SIDE, SIDE)]
            shown += [degraded(face[None], size, method.upscale)[0] for method in methods.values()] + [face]
            top = _LABEL + (number * len(sizes) + row) * step
            for column, picture in enumerate(shown):
                sheet.paste(Image.fromarray(picture), (column * step, top))
            draw.text((4, top + 4), f"{size}x{size}", "white", font(12), stroke_width=2, stroke_fill="black")
    return sheet
