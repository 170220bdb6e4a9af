"""The slides' last experiment: does super-resolution help FaceNet to tell the small faces of LFW apart?

A face is cut out at 160x160, reduced by MATLAB's bicubic to 20x20 ... 60x60, rounded to 8 bits, enlarged four times by
each system, bicubic among them, and brought to 160x160 by MATLAB's bicubic, which at 40x40 has nothing to do.
"""

import contextlib
import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np

from srgan_tf.evaluation import verification
from srgan_tf.evaluation.lfw import SIDE, read_face
from srgan_tf.imaging.resize import imresize, upscale_bicubic
from srgan_tf.system.disk import sha256
from srgan_tf.system.errors import UserError, user_errors

SIZES = (20, 30, 40, 50, 60)  # sides of the reduced faces, pixels
HR = "HR"
FALSE_ACCEPT_RATES = (1e-2, 1e-3)
_PROTOCOL = "1"  # part of each key: to be raised with any change of what a vector is made of
_CHUNK = 16  # faces taken up at a time


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to enlarge faces: uint8 `(N, side, side, 3)` to uint8 `(N, 4 side, 4 side, 3)`; and what identifies it."""

    identity: str
    enlarge: Callable


def bicubic(scale):
    """The method that all others stand beside."""
    return Method(f"bicubic {scale}", lambda lr: np.stack([upscale_bicubic(face, scale) for face in lr]))


class EmbeddingCache:
    """The vectors that were made before, in a file; what is asked for again is not computed again.

    Args:
        path: Of an SQLite data base; made if there is none.

    Raises:
        UserError: The file cannot be opened, or is something else.
    """

    def __init__(self, path):
        self._path = Path(path)
        with self._plain_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path)
            self._file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def close(self):
        self._file.close()

    def get(self, key):
        """The vector of a key, float32 `(D,)`, or None."""
        with self._plain_errors():
            found = self._file.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return np.frombuffer(found[0], np.float32) if found else None

    def put(self, vectors):
        """Adds vectors, a dict by key, all or none of them."""
        rows = [(key, vector.astype(np.float32).tobytes()) for key, vector in vectors.items()]
        with self._plain_errors(), self._file:
            self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _plain_errors(self):
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{self._path}: cannot be used ({error}); remove it, or give another --output") from None


def embed_faces(paths, methods, embedder, vectors, *, crop=None, sizes=SIZES, progress=None):
    """Makes the vectors of all faces, at all sizes, by all methods, and of the faces themselves.

    Args:
        paths: Pictures.
        methods: `Method`s by their names.
        embedder: A `facenet.Embedder`.
        vectors: A `EmbeddingCache`.
        crop: See `lfw.read_face`.
        sizes: Sides of the reduced faces, pixels.
        progress: Called with the number of vectors that were found or made.

    Returns:
        A dict from `(size, method's name)`, and `(160, HR)`, to float32 `(len(paths), D)`.

    Raises:
        UserError: A picture cannot be read; what was made until then is kept.
    """
    wanted = [(SIDE, HR), *((size, name) for size in sizes for name in methods)]
    made = {each: [] for each in wanted}
    for start in range(0, len(paths), _CHUNK):
        some = paths[start : start + _CHUNK]
        contents = [_content(path) for path in some]
        keys, found = {}, {}
        for size, name in wanted:
            identity = HR if name == HR else methods[name].identity
            for place, content in enumerate(contents):
                about = (_PROTOCOL, embedder.digest, embedder.standardisation, crop, identity, size, content)
                key = keys[size, name, place] = hashlib.sha256(repr(about).encode()).digest()
                found[size, name, place] = vectors.get(key)
        if any(vector is None for vector in found.values()):
            faces = [read_face(path, crop) for path in some]
        for size, name in wanted:
            missing = [place for place in range(len(some)) if found[size, name, place] is None]
            if missing:
                chosen = np.stack([faces[place] for place in missing])
                seen = chosen if name == HR else degraded(chosen, size, methods[name].enlarge)
                new = {(size, name, place): vector for place, vector in zip(missing, embedder(seen))}
                vectors.put({keys[each]: vector for each, vector in new.items()})
                found |= new
            made[size, name] += [found[size, name, place] for place in range(len(some))]
            if progress is not None:
                progress(len(some))
    return {each: np.stack(rows) for each, rows in made.items()}


def degraded(faces, size, enlarge):
    """Faces as a system shows them that saw them at `size` pixels.

    Args:
        faces: uint8 `(N, 160, 160, 3)`.
        size: Side, pixels.
        enlarge: See `Method`.

    Returns:
        uint8 `(N, 160, 160, 3)`.
    """
    large = enlarge(np.stack([imresize(face, size, size) for face in faces]))
    return np.stack([face if len(face) == SIDE else imresize(face, SIDE, SIDE) for face in large])


def _content(path):
    with user_errors(path, "cannot be read"):
        return sha256(path)


@dataclasses.dataclass(frozen=True)
class Result:
    """How a method verifies the pairs at a size, see `verification`; `against` is its McNemar test against bicubic."""

    size: int
    method: str
    accuracy: verification.Accuracy
    tars: tuple[float, ...]
    distances: np.ndarray
    against: tuple[int, int, float] | None


def verify(pairs, paths, made, against="bicubic"):
    """Verifies all pairs by the embeddings of each method and size.

    Args:
        pairs: `lfw.FacePair`s.
        paths: The pictures that `made` is of.
        made: What `embed_faces` returned.
        against: The method that others are tested against at the same size.

    Returns:
        A list of `Result`.
    """
    places = {path: place for place, path in enumerate(paths)}
    first, second = ([places[getattr(pair, which)] for pair in pairs] for which in ("first", "second"))
    same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    measured = {}
    for each, vectors in made.items():
        distances = ((vectors[first] - vectors[second]) ** 2).sum(axis=1)
        measured[each] = distances, verification.accuracy(distances, same, folds)
    results = []
    for (size, method), (distances, found) in measured.items():
        base = measured.get((size, against)) if method != against else None
        test = verification.mcnemar(found.right, base[1].right) if base else None
        tars = tuple(verification.tar_at_far(distances, same, far) for far in FALSE_ACCEPT_RATES)
        results.append(Result(size, method, found, tars, distances, test))
    return results


def as_json(results, facts):
    """The figures as text, JSON."""
    rows = [
        {
            "size": each.size,
            "method": each.method,
            "accuracy": each.accuracy.mean,
            "standard_error": each.accuracy.standard_error,
            "tar": {str(far): tar for far, tar in zip(FALSE_ACCEPT_RATES, each.tars)},
            "against_bicubic": each.against and dict(zip(("gained", "lost", "p"), each.against)),
        }
        for each in results
    ]
    return json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n"
