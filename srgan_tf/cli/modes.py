"""Which flags belong to which mode of `evaluate.py`, and what a mode cannot do without."""

import dataclasses
from pathlib import Path

from srgan_tf.cli.flags import AUTO
from srgan_tf.system.errors import UserError

PICTURE_FORMATS = ("png", "jpeg", "webp", "tiff", "bmp")
EXPORT_FORMATS = ("savedmodel", "onnx", "litert", "tensorlayerx")
NEEDED_BY = {
    "evaluate": (),
    "compare": ("input", "report"),
    "upscale": ("input", "output"),
    "export": ("weights", "output"),
    "faces": ("lfw", "pairs", "facenet"),
    "import": (),
    "mos": (),
}
ONE_WEIGHTS = ("upscale", "export")
FORMATS = {"upscale": PICTURE_FORMATS, "export": EXPORT_FORMATS}
OF_SCORE, OF_BOTH = ("score", "exclude_failed"), ("mode", "output")  # in mode mos; all else is of --make
SELFEX = "selfex"  # the value of --model
SMALLEST_TILE = 16  # side, LR pixels; a smaller tile is hardly more than margin, and a picture takes for ever


def check_modes(settings):
    """Refuses flags that the mode does not use, and a mode without what it needs."""
    mode = settings.mode
    for field in dataclasses.fields(settings):
        given = _given(settings, field)
        if given and mode not in (field.metadata["modes"] or [mode]):
            raise UserError(f"--{field.name} has no use with --mode={mode}; leave it out")
        if not given and field.name in NEEDED_BY[mode]:
            raise UserError(f"--mode={mode} needs --{field.name}")
    if mode == "mos":
        _check_mos(settings)
    if settings.tile != AUTO and 0 < settings.tile < SMALLEST_TILE:
        raise UserError(f"--tile={settings.tile}: must be {SMALLEST_TILE} or more, or 0 for whole pictures")
    if settings.format not in (AUTO, *FORMATS.get(mode, ())):
        raise UserError(f"--format={settings.format} is not for --mode={mode}; take one of {', '.join(FORMATS[mode])}")
    if settings.outscale != AUTO and settings.outscale <= 0:
        raise UserError(f"--outscale={settings.outscale:g}: must be above 0")
    if mode == "evaluate" and settings.overwrite and not settings.report:
        raise UserError("--overwrite is about --report with --mode=evaluate; leave it out")
    if settings.lpips_net != type(settings).lpips_net and not settings.lpips:
        raise UserError("--lpips_net has no use without --lpips; leave it out or give LPIPS' weights")
    for name in ("csv", "pictures"):
        path = getattr(settings, name)
        if _lies_in(path, settings.report):
            raise UserError(f"--{name}={path}: lies in the report's folder; give a place outside of {settings.report}")
    read = "input" if mode == "compare" else "data"
    for name in ("report", "pictures"):  # whose pictures the next run would take for some of its own
        path, folder = getattr(settings, name), getattr(settings, read)
        if _lies_in(path, folder):
            raise UserError(f"--{name}={path}: lies in the folder of --{read}; give a place outside of {folder}")
    if mode == "upscale" and settings.model and settings.weights:
        raise UserError(f"--mode=upscale takes --model={settings.model} or --weights, not both")
    if mode in ONE_WEIGHTS and len(settings.weights) > 1:
        raise UserError(f"--mode={mode} takes one --weights, not {len(settings.weights)}")


def _lies_in(path, folder):
    """Whether a place is in a folder or is that folder; both must have been given."""
    return bool(path and folder) and Path(path).resolve().is_relative_to(Path(folder).resolve())


def _given(settings, field):
    return getattr(settings, field.name) != field.default


def _check_mos(settings):
    if settings.make == bool(settings.score):
        raise UserError("--mode=mos needs either --make, to write the page, or --score, the files that raters saved")
    task = "make" if settings.make else "score"
    for field in dataclasses.fields(settings):
        if field.name not in OF_BOTH and (field.name in OF_SCORE) == settings.make and _given(settings, field):
            raise UserError(f"--{field.name} has no use with --{task}; leave it out")
