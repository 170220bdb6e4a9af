import io
import json
import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("apache_beam")
from apache_beam.io import filesystem

from srgan_tf.inference import beam, beam_steps
from srgan_tf.inference.upscaler import Upscaler


class MemoryFileSystem(filesystem.FileSystem):
    """memory://...: without folders, and as strict as any: written from front to back, and nothing is replaced."""

    files = {}

    class Written(io.RawIOBase):
        def __init__(self, path):
            self.path, self.content = path, b""

        def writable(self):
            return True

        def write(self, content):
            self.content += bytes(content)
            return len(content)

        def close(self):
            if not self.closed:
                MemoryFileSystem.files[self.path] = self.content
            super().close()

    @classmethod
    def scheme(cls):
        return "memory"

    def has_dirs(self):
        return False

    def _list(self, prefix):
        return [self.metadata(path) for path in self.files if path.startswith(prefix)]

    def create(self, path, mime_type=None, compression_type=None):
        return self.Written(path)

    def open(self, path, mime_type=None, compression_type=None):
        return io.BytesIO(self.files[path])

    def rename(self, sources, targets):
        for source, target in zip(sources, targets):
            if target in self.files:
                raise filesystem.BeamIOError("there already", {(source, target): None})
            self.files[target] = self.files.pop(source)

    def exists(self, path):
        return path in self.files

    def metadata(self, path):
        return filesystem.FileMetadata(path, len(self.files[path]))

    def size(self, path):
        return len(self.files[path])

    def checksum(self, path):
        return str(self.size(path))

    def delete(self, paths):
        for path in paths:
            del self.files[path]

    def _unused(self, *args):
        raise NotImplementedError

    join = split = mkdirs = copy = last_updated = _unused


@pytest.fixture
def memory():
    MemoryFileSystem.files.clear()
    return MemoryFileSystem.files


def noise(height, width, bands=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, bands), np.uint8)


def encoded(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def decoded(content):
    return np.array(Image.open(io.BytesIO(content)))


def reasons(content):
    return {each["source"]: each["reason"] for each in map(json.loads, content.splitlines())}


@pytest.fixture
def upscale(exported, capsys):
    """Runs the command line in this process; returns what it prints."""

    def upscale(*flags):
        assert beam.main(["beam", f"--model={exported}", *map(str, flags)]) == 0
        return capsys.readouterr().out.splitlines()

    return upscale


def test_any_file_system(generator, exported, memory, capsys):
    for path in exported.rglob("*"):
        if path.is_file():
            memory[f"memory://model/{path.relative_to(exported).as_posix()}"] = path.read_bytes()
    first, second = noise(9, 7), noise(9, 7, seed=1)
    memory["memory://in/first.png"] = encoded(first)
    memory["memory://in/deep/second.gif.png"] = encoded(second)
    for leftover in ("@eaDir/first.png", "deep/__MACOSX/first.png", "._first.png"):
        memory[f"memory://in/{leftover}"] = encoded(first)
    memory["memory://out/deep/.1234.unfinished"] = b"half"
    given = dict(memory)
    flags = ["beam", "--model=memory://model", "--input=memory://in/**", "--output=memory://out"]
    assert beam.main(flags) == 0
    results = {path: content for path, content in memory.items() if path not in given}
    assert given.items() - memory.items() == {("memory://out/deep/.1234.unfinished", b"half")}
    assert results.pop("memory://out/bad-pictures.jsonl") == b""
    assert results.keys() == {"memory://out/first.png", "memory://out/deep/second.gif.png"}
    upscaler = Upscaler(generator)
    for name, pixels in (("first.png", first), ("deep/second.gif.png", second)):
        assert np.abs(decoded(results[f"memory://out/{name}"]).astype(int) - upscaler.upscale(pixels)).max() <= 1

    memory["memory://out/first.png"] = b"old"
    assert beam.main(flags) == 0 and memory["memory://out/first.png"] == b"old"
    assert beam.main([*flags, "--overwrite"]) == 0 and memory == dict(memory, **results)
    assert capsys.readouterr().out.splitlines() == [
        "2 upscaled to memory://out/",
        "0 upscaled to memory://out/",
        "2 left as they are, because they exist (--overwrite replaces them)",
        "2 upscaled to memory://out/",
    ]


def test_a_list(upscale, memory):
    for name in ("photo", "b/two.jpg", "not listed.png"):
        memory[f"memory://in/{name}"] = encoded(noise(4, 5))
    lines = [
        "photo",
        "memory://in/b/two.jpg",
        "b/two.jpg",
        "",
        "none.png",
        "/etc/passwd.png",
        "memory://elsewhere/x.png",
        "b/../../x.png",
    ]
    memory["memory://list"] = "\n".join(lines).encode()
    printed = upscale("--list=memory://list", "--input=memory://in", "--output=memory://out", "--format=webp")
    assert printed[0] == "2 upscaled to memory://out/"
    assert printed[1] == "4 bad images, listed with their reasons in memory://out/bad-pictures.jsonl"
    bad = reasons(memory["memory://out/bad-pictures.jsonl"])
    assert "KeyError" in bad.pop("memory://in/none.png")  # this file system's way to say so
    outside = ("/etc/passwd.png", "memory://elsewhere/x.png", "b/../../x.png")
    assert bad == dict.fromkeys(outside, "does not lie in memory://in/, which --input names")
    written = {path for path in memory if path.startswith("memory://out/")}
    assert written == {f"memory://out/{name}" for name in ("photo.webp", "b/two.webp", "bad-pictures.jsonl")}
    assert decoded(memory["memory://out/b/two.webp"]).shape == (16, 20, 3)


def test_no_input_is_replaced(memory, upscale):
    kept = memory["memory://d/in/a.png"] = encoded(noise(3, 3))
    memory["memory://d/in/in/a.png"] = encoded(noise(4, 4))
    printed = upscale("--input=memory://d/in", "--output=memory://d", "--overwrite")
    assert printed[0] == "1 upscaled to memory://d/" and memory["memory://d/in/a.png"] == kept
    (reason,) = reasons(memory["memory://d/bad-pictures.jsonl"]).values()
    assert reason == "would be written to memory://d/in/a.png, in the input folder; give another --output"


def test_bad_pictures_are_listed_and_results_are_let_be(upscale, tmp_path):
    photos, large = tmp_path / "photos", tmp_path / "large"
    photos.mkdir()
    large.mkdir()
    for name in ("same.gif", "same.png", "see-through.png", "good.png"):
        (photos / name).write_bytes(encoded(noise(6, 6, 4 if name.startswith("see") else 3), name[-3:]))
    (photos / "there.png").write_bytes(b"not even read")
    (large / "there.jpg").write_bytes(b"result")
    latin = os.fsdecode(os.fsencode(photos) + b"/\xe4.png")
    try:
        os.link(photos / "good.png", latin)
    except OSError:  # a file system that insists on UTF-8
        latin = None
    upscale(f"--input={photos}/*", f"--output={large}", "--format=jpeg")
    bad = reasons((large / "bad-pictures.jsonl").read_text())
    if latin:
        assert bad.pop(f"{photos}/\\udce4.png") == "its name is not UTF-8; rename it"
    assert bad == {
        f"{photos}/same.gif": f"{photos}/same.png would be written to same.jpg, too; rename one",
        f"{photos}/same.png": f"{photos}/same.gif would be written to same.jpg, too; rename one",
        f"{photos}/see-through.png": "JPEG cannot hold the image's transparency; write it as .png or .webp",
    }
    assert {path.name for path in large.iterdir()} == {"there.jpg", "good.jpg", "bad-pictures.jsonl"}
    assert (large / "there.jpg").read_bytes() == b"result"


def test_an_output_that_cannot_be_written_ends_the_run(exported, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good.png").write_bytes(encoded(noise(6, 6)))
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="Not a directory|File exists"):
        beam.main(["beam", f"--model={exported}", f"--input={tmp_path}/photos", f"--output={tmp_path}/file/large"])


def test_pictures_of_one_size_and_type_come_together(memory, monkeypatch):
    monkeypatch.setattr(beam_steps, "BATCH_PIXELS", 300)
    wide, gray, large = noise(6, 8), noise(8, 6, 1)[..., 0], noise(13, 12)
    pixels = {"1": wide, "2": gray, "3": wide, "4": large, "5": noise(8, 6), "6": wide, "7": gray} | dict.fromkeys(
        ("8", "9", "10"), wide
    )
    names = [f"{name}.png" for name in pixels]
    memory.update({f"memory://in/{name}": encoded(pixels[name[:-4]]) for name in names})
    reader = beam_steps.ReadInBatches(beam_steps.Layout("memory://in/", "memory://out/"))

    def batches(name):
        return [[picture.source[12:-4] for picture in batch] for batch in reader.process((name, [name]))]

    reader.start_bundle()
    assert [batches(name) for name in names] == [
        [],
        [],
        [],
        [["4"]],
        [],
        [],
        [],
        [],
        [],
        [["1", "3", "6", "8", "9", "10"]],
    ]
    rest = [windowed.value for windowed in reader.finish_bundle()]
    assert [[picture.source[12:-4] for picture in batch] for batch in rest] == [["2", "7"], ["5"]]

    monkeypatch.setattr(beam_steps, "MAX_WAITING_BYTES", len(memory["memory://in/1.png"]))
    reader.start_bundle()
    assert [batches(name) for name in names[:3]] == [[], [["1"], ["2"]], []]


def test_a_worker_that_comes_late_leaves_the_result(memory, tmp_path):
    (tmp_path / "picture").write_bytes(b"mine")
    memory["memory://out/x.png"] = b"of another worker"
    beam_steps.write_atomically(tmp_path / "picture", "memory://out/x.png", overwrite=False)
    assert memory == {"memory://out/x.png": b"of another worker"}


def test_a_folder_in_the_place_of_a_result_is_let_be(exported, tmp_path):
    kept = tmp_path / "large" / "x.png" / "kept"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (tmp_path / "picture").touch()
    with pytest.raises(OSError):
        beam_steps.write_atomically(tmp_path / "picture", f"{tmp_path}/large/x.png", overwrite=True)
    assert kept.exists()


def test_a_picture_that_does_not_fit_into_the_memory_is_bad(exported, memory):
    config = beam_steps.read_model_config(str(exported))
    handler = beam_steps.UpscaleHandler(str(exported), config, max_memory=2**20)
    picture = beam_steps.Picture("x.png", "memory://out/x.png", "png", encoded(noise(9, 9)))
    ((source, reason),) = handler.run_inference([picture], handler.load_model())
    assert source == "x.png" and "max_memory of 1 MiB does not suffice" in reason
    assert not memory
