"""Shows scores: as a table for the terminal and as CSV."""

import csv
import os
import secrets
from pathlib import Path
from statistics import fmean

from srgan_tf.errors import UserError
from srgan_tf.evaluation.metrics import SHAVE

PROTOCOL = (
    f"PSNR and SSIM on Y of BT.601, {SHAVE} pixels cut at each border, 8-bit pictures; SSIM of Wang et al. 2004 (higher"
    " is better)"
)


def table(scores, verbose=False):
    """An aligned table of each system's means, and below it how they were computed.

    Args:
        scores: `benchmark.Score`s.
        verbose: Put a row for each picture and system before it.

    Returns:
        The text, without a newline at its end.
    """
    lines = []
    if verbose:
        rows = [(score.picture, score.system, _db(score.psnr), _similarity(score.ssim)) for score in scores]
        lines += _aligned(("picture", "system", "PSNR dB", "SSIM"), rows, words=2) + [""]
    systems = dict.fromkeys(score.system for score in scores)
    rows = []
    for system in systems:
        own = [score for score in scores if score.system == system]
        psnr, ssim = fmean(score.psnr for score in own), fmean(score.ssim for score in own)
        rows.append((system, _db(psnr), _similarity(ssim), str(len(own))))
    lines += _aligned(("system", "PSNR dB", "SSIM", "pictures"), rows, words=1)
    return "\n".join([*lines, "", PROTOCOL])


def _db(value):
    return f"{value:.2f}"


def _similarity(value):
    return f"{value:.4f}"


def _aligned(head, rows, words):
    """Lines of columns: the first `words` of them to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        )
        for row in (head, rule, *rows)
    ]


def write_csv(scores, path):
    """Writes one row for each system and picture: `system,picture,psnr_db,ssim,seconds`; complete or not at all.

    Args:
        scores: `benchmark.Score`s.
        path: The file; its folder is made if need be.

    Raises:
        UserError: The file cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "x", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("system", "picture", "psnr_db", "ssim", "seconds"))
                for score in scores:
                    numbers = f"{score.psnr:.4f}", f"{score.ssim:.6f}", f"{score.seconds:.4f}"
                    writer.writerow((score.system, score.picture, *numbers))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
