"""`srgan faces`: whether super-resolution helps FaceNet to verify small faces."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.cli.shared import WEIGHTS_HELP, Limits, precision_notes
from srgan_tf.evaluation.facts import facts
from srgan_tf.evaluation.memory import require_memory
from srgan_tf.evaluation.systems import load_upscalers, named_weights
from srgan_tf.inference.memory_budget import bytes_left
from srgan_tf.inference.precision import FLOAT32
from srgan_tf.system import quiet
from srgan_tf.system.atomic import atomic_file, keep_existing
from srgan_tf.system.disk import sha256
from srgan_tf.system.terminal import say
from srgan_tf.weights import COMPARED_WEIGHTS

_FACES_SHOWN = 2
_WRITTEN = _STRIP, _CURVES, _SCORES = "faces.png", "roc.png", "faces.json"


@dataclasses.dataclass(frozen=True)
class Settings(Limits):
    """Measure how well FaceNet verifies small faces of LFW, upscaled by each system.

    srgan faces --lfw=lfw-deepfunneled --pairs=pairs.txt --facenet=20180402-114759.pb
    """

    lfw: str = setting("", "folder of LFW, deep-funneled: NAME/NAME_0001.jpg, 250x250", required=True)
    pairs: str = setting("", "its list of pairs, pairs.txt, with 10 folds or fewer", required=True)
    facenet: str = setting(
        "",
        "network that embeds a 160x160 face: a frozen graph, as 20180402-114759.pb of davidsandberg/facenet;"
        " a Keras model; or the folder of a SavedModel",
        required=True,
    )
    weights: str = setting(COMPARED_WEIGHTS, WEIGHTS_HELP, many=True)
    output: str = setting("faces", "folder for the figures, the scores, and the embeddings for the next run")
    standardisation: str = setting(
        AUTO,
        "standardisation of the faces: fixed is (x - 127.5) / 128, per-image subtracts a face's mean and divides by its"
        " standard deviation (auto: fixed, but per-image for davidsandberg's models of 2017)",
        choices=(AUTO, "fixed", "per-image"),
    )
    face_crop: int = setting(
        AUTO,
        "side of the central crop of an image that is scaled to 160x160, pixels (auto: of LFW's 250x250 the box that"
        " MTCNN finds, pip install 'srgan_tf[faces]'; all of an image of another size)",
        lower=1,
    )
    overwrite: bool = setting(False, "replace figures and scores that exist already; embeddings are kept in any case")


def run(settings):
    """Prints how well FaceNet verifies small faces of LFW, upscaled by each system; see `evaluation.faces`."""
    from srgan_tf.evaluation.face_boxes import DETECTOR_BYTES
    from srgan_tf.evaluation.faces import SIZES, EmbeddingCache, Method, bicubic, embed_faces, embeddings_bytes, verify
    from srgan_tf.evaluation.faces_report import tables
    from srgan_tf.evaluation.lfw import read_pairs

    folder = Path(settings.output)
    for name in _WRITTEN:
        keep_existing(folder / name, settings.overwrite)
    weights = named_weights(settings.weights)
    pairs = read_pairs(settings.pairs, settings.lfw)
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    quiet.import_tensorflow()
    from srgan_tf.evaluation.facenet import Embedder

    embedder = Embedder(settings.facenet, unless_auto(settings.standardisation), unless_auto(settings.max_memory))
    crop = unless_auto(settings.face_crop)
    kept = embeddings_bytes(len(paths), len(weights) + 1, embedder.length) + (0 if crop else DETECTOR_BYTES)
    if settings.max_memory != AUTO:
        purpose = f"for {'' if crop else 'MTCNN and '}the vectors of {len(paths):,} images"
        require_memory(settings.pairs, kept, bytes_left(settings.max_memory), purpose)
        settings = dataclasses.replace(settings, max_memory=settings.max_memory - kept - embedder.call_bytes)
    upscalers, scale = load_upscalers(weights, **settings.limits())
    known = facts(weights, facenet=f"{settings.facenet}, SHA-256 {embedder.digest}")
    methods = {"bicubic": bicubic(scale)}
    for name, upscaler in upscalers.items():
        digest = sha256(weights[name])
        identity = digest if upscaler.precision == FLOAT32 else f"{digest} {upscaler.precision}"
        methods[name] = Method(identity, upscaler.upscale_batch)
    known["protocol"] = _protocol(pairs, paths, crop, embedder)
    say(known["protocol"], *precision_notes(upscalers.values()), "")
    with contextlib.closing(EmbeddingCache(folder / "vectors.sqlite", 2 * embedder.length)) as cache:
        with tqdm(total=len(paths) * (len(SIZES) * len(methods) + 1), unit="face", leave=False, disable=None) as bar:
            made = embed_faces(paths, methods, embedder, cache, crop=crop, progress=bar.update)
    results = verify(pairs, paths, made)
    _write(folder, results, known, pairs, methods, paths, crop)
    print(tables(results))
    say("", f"{folder}: {', '.join(_WRITTEN)}, and the embeddings for the next run")
    return 0


def _protocol(pairs, paths, crop, embedder):
    """What was done, in a line."""
    folds = len({pair.fold for pair in pairs})
    return (
        f"{len(pairs):,} pairs in {folds} folds{'' if folds == 10 else ' (the official list has 10)'}, {len(paths):,}"
        f" images, {f'{crop}x{crop} of the middle' if crop else 'faces found by MTCNN in 250x250'};"
        f" {embedder.standardisation} standardisation, batch size {embedder.batch_size}; cosine of vectors of face and"
        " mirror image, less their mean"
    )


def _write(folder, results, known, pairs, methods, paths, crop):
    """Writes the scores, the ROC curves and a strip of faces."""
    from srgan_tf.evaluation.faces import as_json
    from srgan_tf.evaluation.faces_report import curves, strip
    from srgan_tf.evaluation.lfw import read_faces

    shown = strip(read_faces(paths[:_FACES_SHOWN], crop), methods)
    with atomic_file(folder / _SCORES) as partial:
        partial.write_text(as_json(results, known), encoding="utf-8")
    with atomic_file(folder / _CURVES) as partial:
        partial.write_bytes(curves(results, np.array([pair.same for pair in pairs])))
    with atomic_file(folder / _STRIP) as partial:
        shown.save(partial, format="png")
