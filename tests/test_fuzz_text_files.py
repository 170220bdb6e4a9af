"""Mutants of the files that a user gives, but for pictures and networks: each is read, or refused in one line."""

import copy
import io
import json
import pickle
import random
import shutil
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from srgan_tf.cli.flags import parse
from srgan_tf.cli.train import Settings
from srgan_tf.data import downloads, listing, packed
from srgan_tf.evaluation import faces, lfw, lpips, mos, mos_pairs, mos_pairs_report, mos_report
from srgan_tf.system.errors import UserError

STRANGE = (None, True, [], {}, [[]], "", "a\x1b[2J\nb", "\0", "\ud800", -1, 1.5, 1e400, 10**30, 10**4999, "9" * 5_000)
LISTED = 3  # pictures of the folder whose sizes are cached


def mutants(rng, content, count):
    """Bytes that differ from `content` in a few places, or are cut."""
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at, length = rng.randrange(len(changed) + 1), rng.choice((1, 1, 4, 40))
            match rng.randrange(4):
                case 0:
                    del changed[at : at + length]
                case 1:
                    changed[at : at + length] = rng.randbytes(length)
                case 2:
                    changed[at:at] = rng.choice((b"9" * 5_000, b"\xff", b"\0", b"\r\n", b"[" * 5_000, b"-", b"{}"))
                case 3:
                    changed[at : at + 1] = bytes([changed[at] ^ 1 << rng.randrange(8)]) if at < len(changed) else b""
        yield bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.1 else changed)


def json_mutants(rng, content, count):
    """JSON with another value in one place, or one key more or less."""
    for _ in range(count):
        changed = {"": copy.deepcopy(content)}
        inside, key = changed, ""
        while isinstance(inside[key], dict | list) and inside[key] and rng.random() < 0.85:
            inside = inside[key]
            key = rng.choice([*inside]) if isinstance(inside, dict) else rng.randrange(len(inside))
        if rng.random() < 0.2:
            del inside[key]
        else:
            inside[key] = rng.choice(STRANGE)
        yield _dumped(changed.get("", None))


def _dumped(content):
    """JSON; the long number by hand, which Python writes no more."""
    digits = f"1{'0' * 4999}"

    def marked(value):
        if isinstance(value, dict):
            return {name: marked(each) for name, each in value.items()}
        if isinstance(value, list):
            return [marked(each) for each in value]
        return "a long number" if type(value) is int and value > 10**4000 else value

    return json.dumps(marked(content)).replace('"a long number"', digits).encode()


def settings_file(tmp_path):
    from srgan_tf.training import run_folder

    run_folder.write_settings(
        tmp_path, {"steps": 3, "seed": 1, "schedule": "cosine", "learning_rate": 1e-4}, {"vgg_loss_weight": 0.5}
    )
    return tmp_path / "settings.json", lambda: run_folder.read_settings(tmp_path, Settings, required=True)


def metrics_file(tmp_path):
    from srgan_tf.training import monitoring

    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step, "g_loss": 0.1}) + "\n" for step in range(5)))
    return path, lambda: monitoring._drop_after(path, 3)


def pairs_file(tmp_path):
    for name in ("Ann", "Bob"):
        (tmp_path / name).mkdir(exist_ok=True)
        for number in (1, 2):
            (tmp_path / name / f"{name}_{number:04d}.jpg").touch()
    (tmp_path / "pairs.txt").write_text("2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nBob\t2\tAnn\t2\n")
    return tmp_path / "pairs.txt", lambda: lfw.read_pairs(tmp_path / "pairs.txt", tmp_path)


def manifest_file(tmp_path):
    size = 1_000
    pictures = (("a.png", 4, 5, 20), ("b.png", 6, 7, 200))
    shard = packed.Shard(packed.shard_name(0), pictures, size, (("c.png", "truncated"),), "ab" * 32)
    (tmp_path / shard.file).write_bytes(bytes(size))
    (tmp_path / packed.MANIFEST).write_text(packed.Manifest("source", (shard,)).text())

    def read():
        pictures = packed.scan(tmp_path).pictures
        packed.PackedStore(tmp_path, pictures, 2).crops(0, np.zeros((1, 2), int), 2)

    return tmp_path / packed.MANIFEST, read


def study_file(tmp_path):
    ratings = [
        {"set": "Set5", "picture": picture, "system": system, "score": score} | expected
        for system, score in (("nearest", 1), ("srgan", 4), ("HR", 5))
        for picture, expected in (("baby", {}), ("bird", {"expected": score} if system != "srgan" else {}))
    ]
    content = {"format": "srgan_tf mos 1", "study": "s", "rater": "r", "name": "n", "items": 6, "ratings": ratings}
    path = tmp_path / "mos.json"
    path.write_text(json.dumps(content))

    def read():
        raters = mos.read_raters([path])
        assert raters[0].fault() != ""
        mos_report.text(raters, mos.opinions(raters))

    return path, read


def pairs_study_file(tmp_path):
    ratings = [
        {"set": "Set5", "picture": picture, "systems": systems, "winner": systems[picture == "bird"], "first": "HR"}
        for systems in (["HR", "nearest"], ["HR", "srgan"], ["nearest", "srgan"])
        for picture in ("baby", "bird", "head")
    ]
    content = {"format": "srgan_tf pairs 1", "study": "s", "rater": "r", "name": "n", "items": 10}
    ratings.append(ratings[0] | {"expected": "HR"})
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(content | {"ratings": ratings}))

    def read():
        raters = mos.read_raters([path])
        assert raters[0].fault() != ""
        if isinstance(raters[0], mos_pairs.PairRater):  # a mutant may be a study of scores without any
            mos_pairs_report.text(raters, mos_pairs.preferences(raters))

    return path, read


def cached_listing(tmp_path):
    """The sizes of a folder's pictures; a damaged one is written anew."""
    folder = tmp_path / "photos"
    folder.mkdir(exist_ok=True)
    for number in range(LISTED):
        Image.new("RGB", (4, 4)).save(folder / f"{number}.png")
    names = [str(path) for path in sorted(folder.iterdir())]
    listing.probe_files(folder, names)
    (path,) = (tmp_path / "cache" / "listings").iterdir()

    def read():
        for height, width in listing.probe_files(folder, names):
            assert type(height) is type(width) is int

    return path, read


def exported_settings(tmp_path):
    from srgan_tf.inference.export.metadata import describe_weights

    (tmp_path / "g.weights.h5").write_bytes(b"weights")
    (tmp_path / "settings.json").write_text(json.dumps({"settings": {"steps": 3, "train_dir": "x"}, "facts": {}}))
    return tmp_path / "settings.json", lambda: describe_weights(tmp_path / "g.weights.h5")


def flag_file(tmp_path):
    (tmp_path / "flags").write_text("--steps=3\n# a comment\n--seed=5\n--cache_gb=2\n--train_dir=photos\n")
    return tmp_path / "flags", lambda: parse(Settings, ["srgan train", f"--flagfile={tmp_path}/flags"]).checked()


def archive(tmp_path):
    path, named = tmp_path / "set.zip", downloads.NamedSet(downloads.Archive("set.zip", ""), r"(?P<stem>\d)\.png", 2)
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, format="png")
    with zipfile.ZipFile(path, "w") as file:
        for name in ("1.png", "2.png", "ü.txt"):
            file.writestr(name, picture.getvalue())

    def read():
        shutil.rmtree(tmp_path / "unpacked", ignore_errors=True)
        downloads._unpack(path, named, tmp_path / "unpacked")

    return path, read


def lpips_pickle(tmp_path):
    path = tmp_path / "alexnet.ckpt"
    tree = {"alexnet_0": {"Conv_0": {"kernel": np.ones((2, 3), np.float32)}}}
    path.write_bytes(pickle.dumps(tree))
    return path, lambda: lpips.read_weights(path)


def lpips_npz(tmp_path):
    path = tmp_path / "alexnet.npz"
    np.savez(path, **{"conv_0/kernel": np.ones((2, 3), np.float32), "lin_0": np.ones(3, np.float32)})
    return path, lambda: lpips.read_weights(path)


def _lpips_tar(tmp_path, compression):
    path = tmp_path / f"lpips.tar.{compression}"
    content = pickle.dumps({"NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 3), np.float32)}}})
    with tarfile.open(path, f"w:{compression}") as file:
        member = tarfile.TarInfo("lpips/weights/alexnet.ckpt")
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    return path, lambda: lpips.read_weights(path)


def lpips_tar_gz(tmp_path):
    return _lpips_tar(tmp_path, "gz")


def lpips_tar_xz(tmp_path):
    return _lpips_tar(tmp_path, "xz")


def embeddings(tmp_path):
    path = tmp_path / "vectors.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        file.execute("INSERT INTO vectors VALUES (?, ?)", (b"one", np.float32([1, 2]).tobytes()))
    file.close()

    def read():
        cache = faces.EmbeddingCache(path, 2)
        try:
            found = cache.get(b"one")
            assert found is None or found.shape == (2,) and np.isfinite(found).all()
        finally:
            cache.close()

    return path, read


KINDS = {
    settings_file: 160,
    metrics_file: 160,
    pairs_file: 160,
    manifest_file: 160,
    study_file: 160,
    pairs_study_file: 160,
    cached_listing: 100,
    exported_settings: 160,
    flag_file: 160,
    archive: 160,
    lpips_pickle: 160,
    lpips_npz: 160,
    lpips_tar_gz: 160,
    lpips_tar_xz: 100,
    embeddings: 100,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_mutant_is_read_or_refused_in_one_line(tmp_path, monkeypatch, kind, capsys):
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "LARGE", 1)
    path, read = kind(tmp_path)
    content, rng, count = path.read_bytes(), random.Random(kind.__name__), KINDS[kind]
    changed = [*mutants(rng, content, count // 2 if path.suffix == ".json" else count)]
    if path.suffix == ".json":
        changed += json_mutants(rng, json.loads(content), count - count // 2)
    for number, mutant in enumerate(changed):
        path.write_bytes(mutant)
        try:
            read()
        except UserError as error:
            assert len(str(error).splitlines()) == 1, (number, mutant)
        except BaseException as error:
            raise AssertionError(f"mutant {number}: {mutant[:400]!r}") from error
    assert "Traceback" not in capsys.readouterr().err


def test_the_reader_of_a_flawless_file_succeeds(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "LARGE", 1)
    for kind in KINDS:
        if not kind.__name__.startswith("lpips"):  # too small to be the published weights
            folder = tmp_path / kind.__name__
            folder.mkdir()
            monkeypatch.setenv("SRGAN_CACHE", str(folder / "cache"))
            _, read = kind(folder)
            read()


def test_a_tf_config_is_read_or_refused_in_one_line(monkeypatch):
    from srgan_tf.training import distribution

    good = {"cluster": {"worker": ["a:1", "b:2"], "chief": ["c:3"]}, "task": {"type": "worker", "index": 1}}
    rng = random.Random(0)
    for mutant in [*json_mutants(rng, good, 150), *mutants(rng, json.dumps(good).encode(), 100)]:
        monkeypatch.setenv("TF_CONFIG", mutant.replace(b"\0", b"").decode(errors="replace"))
        try:
            distribution._cluster()
        except UserError as error:
            assert str(error).startswith("TF_CONFIG: ") and len(str(error).splitlines()) == 1


@pytest.mark.parametrize("kind", [archive, lpips_npz], ids=lambda kind: kind.__name__)
def test_a_zip_with_names_that_are_not_utf_8_is_one_line(tmp_path, kind):
    path, read = kind(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("ö.txt", b"")
    path.write_bytes(path.read_bytes().replace("ö".encode(), b"\xff\xfe"))
    with pytest.raises(UserError, match=rf"{path.name}: .*codec can't decode") as error:
        read()
    assert len(str(error.value).splitlines()) == 1
