"""The slides' last experiment: does super-resolution help FaceNet to verify the small faces of LFW?

A face is cropped at 160x160, downscaled by MATLAB's bicubic to 20x20 ... 60x60, rounded to 8 bits, upscaled four times
by each method (one is bicubic), and resized to 160x160 by MATLAB's bicubic, if it has another size. It is verified as
by `validate_on_lfw.py --distance_metric 1 --use_flipped_images --subtract_mean` of davidsandberg/facenet.
"""

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan_tf.evaluation import verification
from srgan_tf.evaluation.lfw import SIDE, FacePair, read_faces
from srgan_tf.imaging.resize import imresize, upscale_bicubic
from srgan_tf.inference.image_errors import image_errors
from srgan_tf.system.disk import sha256
from srgan_tf.system.errors import file_errors, user_errors

SIZES = (20, 30, 40, 50, 60)  # sides of the downscaled faces, pixels
HR = "HR"
FALSE_ACCEPT_RATES = (1e-2, 1e-3)
_PROTOCOL = "2"  # part of each cache key; raise it with any change that changes embeddings
_CHUNK = 16  # faces at a time
Faces = NDArray[np.uint8]  # RGB, (N, H, W, 3)
Embeddings = dict[tuple[int, str], NDArray[np.float32]]  # by size and method


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to upscale faces, from uint8 `(N, side, side, 3)` to `(N, 4 side, 4 side, 3)`; `identity` is its part of
    the cache key."""

    identity: str
    upscale: Callable[[Faces], Faces]


def bicubic(scale: int) -> Method:
    """Bicubic upscaling, the baseline of the other methods."""
    return Method(f"bicubic {scale}", lambda lr: np.stack([upscale_bicubic(face, scale) for face in lr]))


class EmbeddingCache:
    """A cache of embeddings with `length` numbers, in an SQLite database.

    Raises:
        UserError: The file cannot be opened, or is something else.
    """

    def __init__(self, path: Path | str, length: int):
        self._path, self._length = Path(path), length
        with self._user_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path)
            self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def close(self) -> None:
        self._file.close()

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The embedding of a key, `(length,)`; None if there is none, or it is damaged."""
        with self._user_errors():
            found = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if not found or not isinstance(found[0], bytes) or len(found[0]) != 4 * self._length:
            return None
        vector = np.frombuffer(found[0], np.float32)
        return vector if np.isfinite(vector).all() else None

    def put(self, embeddings: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Adds embeddings by key, all or none of them."""
        rows = [(key, embedding.astype(np.float32).tobytes()) for key, embedding in embeddings.items()]
        with self._user_errors(), self._file:
            self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _user_errors(self):
        return file_errors(self._path, "cannot be used", advice="give another --output, or remove it if it is damaged")


def embed_faces(
    paths: Sequence[Path],
    methods: Mapping[str, Method],
    embedder,
    cache: EmbeddingCache,
    *,
    crop: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Embeddings:
    """Computes the embeddings of all faces at all `SIZES` by all methods, and of the original faces.

    Args:
        paths: The images.
        methods: The methods by name.
        embedder: A `facenet.Embedder`.
        cache: The cache of earlier embeddings.
        crop: See `lfw.read_faces`.
        progress: Called with the number of embeddings that were found or computed.

    Returns:
        A dict from `(size, method's name)`, and `(160, HR)`, to float32 `(len(paths), 2 D)`: of the face, then of its
        mirror image.

    Raises:
        UserError: An image cannot be read or upscaled; embeddings until then are in the cache.
    """
    original = Method(HR, lambda faces: faces)
    wanted = {(SIDE, HR): original} | {(size, name): method for size in SIZES for name, method in methods.items()}
    embeddings: dict[tuple[int, str], list] = {each: [] for each in wanted}
    for start in range(0, len(paths), _CHUNK):
        chunk = paths[start : start + _CHUNK]
        digests = [_digest(path) for path in chunk]
        faces = None
        for (size, name), method in wanted.items():
            about = (_PROTOCOL, embedder.digest, embedder.standardisation, crop, method.identity, size)
            keys = [hashlib.sha256(repr((*about, digest)).encode()).digest() for digest in digests]
            found = [cache.get(key) for key in keys]
            missing = [place for place, embedding in enumerate(found) if embedding is None]
            if missing:
                if faces is None:
                    faces = read_faces(chunk, crop)
                with image_errors(f"{chunk[0]} and the next, {name} at {size}x{size}"):
                    shown = degraded(faces[missing], size, method.upscale)
                both = np.concatenate([embedder(shown), embedder(shown[:, :, ::-1])], axis=1)
                new = dict(zip(missing, both))
                cache.put({keys[place]: embedding for place, embedding in new.items()})
                found = [new.get(place, embedding) for place, embedding in enumerate(found)]
            embeddings[size, name] += found
            if progress is not None:
                progress(len(chunk))
    return {each: np.stack(rows) for each, rows in embeddings.items()}


def embeddings_bytes(images: int, methods: int, length: int) -> int:
    """Memory of the result of `embed_faces`, which is held twice at the end."""
    return 2 * 4 * 2 * length * images * (methods * len(SIZES) + 1)


def degraded(faces: Faces, size: int, upscale: Callable[[Faces], Faces]) -> Faces:
    """Downscales faces, uint8 `(N, 160, 160, 3)`, to `size`, and restores them by a method, see `Method`."""
    large = upscale(np.stack([_resized(face, size) for face in faces]))
    return np.stack([_resized(face, SIDE) for face in large])


def _resized(face, side):
    return face if len(face) == side else imresize(face, side, side)


def _digest(path):
    with user_errors(path, "cannot be read"):
        return sha256(path)


@dataclasses.dataclass(frozen=True)
class Result:
    """The verification of the pairs by a method at a size.

    Attributes:
        size: Side of the downscaled faces, pixels.
        method: Name of the method.
        accuracy: See `verification.accuracy`.
        true_accept_rates: At each of `FALSE_ACCEPT_RATES`.
        distances: Of the pairs, each as in its own fold; see `verification.centred_distances`.
        against_bicubic: See `verification.mcnemar`; None for bicubic and for the original faces.
    """

    size: int
    method: str
    accuracy: verification.Accuracy
    true_accept_rates: tuple[float, ...]
    distances: np.ndarray
    against_bicubic: tuple[int, int, float] | None


def verify(pairs: Sequence[FacePair], paths: Sequence[Path], embeddings: Embeddings) -> list[Result]:
    """Verifies all pairs by the embeddings that `embed_faces` computed for `paths`, which hold the pairs' images."""
    places = {path: place for place, path in enumerate(paths)}
    first = [places[pair.first] for pair in pairs]
    second = [places[pair.second] for pair in pairs]
    same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    measured = {
        each: verification.centred_distances(own[first], own[second], folds) for each, own in embeddings.items()
    }
    own_rows = np.searchsorted(np.unique(folds), folds), np.arange(len(folds))
    distances = {each: rows[own_rows] for each, rows in measured.items()}
    accuracies = {each: verification.accuracy(own, same, folds) for each, own in measured.items()}
    results = []
    for (size, method), accuracy in accuracies.items():
        own = distances[size, method]
        bicubic = accuracies.get((size, "bicubic")) if method != "bicubic" else None
        test = verification.mcnemar(accuracy.correct, bicubic.correct) if bicubic else None
        rates = tuple(verification.tar_at_far(own, same, far) for far in FALSE_ACCEPT_RATES)
        results.append(Result(size, method, accuracy, rates, own, test))
    return results


def as_json(results: Iterable[Result], facts: Mapping) -> str:
    """The results as JSON text."""
    rows = [
        {
            "size": each.size,
            "method": each.method,
            "accuracy": each.accuracy.mean,
            "standard_error": each.accuracy.standard_error,
            "tar": {str(far): tar for far, tar in zip(FALSE_ACCEPT_RATES, each.true_accept_rates)},
            "against_bicubic": each.against_bicubic and dict(zip(("gained", "lost", "p"), each.against_bicubic)),
        }
        for each in results
    ]
    return json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n"
