"""Saving on a disk that is full: a small one in memory, which only root may mount."""

import subprocess

import keras
import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import folders, packing
from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.system.atomic import atomic_folder
from srgan_tf.system.errors import UserError
from srgan_tf.training.checkpoints import Checkpoints, Progress
from srgan_tf.training.monitoring import Monitor


@pytest.fixture
def disk(tmp_path):
    """A folder on a disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def _fill(folder, leave):
    """Writes a file until `leave` bytes are free."""
    path = folder / "fill"
    path.unlink(missing_ok=True)
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            file.truncate(file.tell() - leave)


@pytest.mark.parametrize("leave", [4096, 40960, 131072])
def test_saving_keeps_what_was_there_and_says_what_is_wrong(disk, leave):
    keras.utils.set_random_seed(0)
    generator = build_generator(blocks=0, filters=16)
    counter = keras.Variable(np.zeros(100_000, np.float32), name="counter")
    checkpoints = Checkpoints(disk, {"g": generator.variables, "run": [counter]})
    save_generator(generator, disk / "generator.weights.h5")
    checkpoints.save(Progress(1))
    before = [value.copy() for value in generator.get_weights()]
    _fill(disk, leave)
    generator.set_weights([value + 1 for value in before])
    for save, path in (
        (lambda: save_generator(generator, disk / "generator.weights.h5"), "generator.weights.h5"),
        (lambda: checkpoints.save(Progress(2)), "checkpoint-00000002.npz"),
    ):
        with pytest.raises(UserError) as error:
            save()
        assert path in str(error.value) and "No space left" in str(error.value) and "\n" not in str(error.value)
    assert {path.name for path in disk.iterdir()} == {"fill", "generator.weights.h5", "checkpoint-00000001.npz"}
    for value, written in zip(before, load_generator(disk / "generator.weights.h5").get_weights()):
        np.testing.assert_array_equal(value, written)
    assert checkpoints.restore() == Progress(1)
    for value, restored in zip(before, generator.get_weights()):
        np.testing.assert_array_equal(value, restored)


def test_reports_on_a_full_disk_are_one_line(disk):
    monitor = Monitor(disk, start=0, total=9, name="test")
    values = {"g_loss": 1.0, "images_per_s": 1.0, "input_wait_share": 0.0}
    monitor.scalars(1, values)
    _fill(disk, 0)
    with pytest.raises(UserError, match="metrics.jsonl and curves cannot be written"):
        for step in range(2, 200):
            monitor.scalars(step, values)
    monitor.close()
    with pytest.raises(UserError, match="cannot be written"):
        Monitor(disk, start=1, total=9, name="test")


def test_packing_leaves_nothing_half_written(disk, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1500, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pictures = folders.scan(tmp_path).pictures
    monkeypatch.setattr(packing, "require_free_bytes", lambda *_: None)  # something else fills the disk meanwhile
    with pytest.raises(UserError, match=r"photographs-00000\.tfrecord: cannot be written .No space left on device"):
        packing.pack(pictures, tmp_path, disk / "packed")
    assert sorted(path.name for path in (disk / "packed").iterdir()) == [".lock", "manifest.json"]


@pytest.mark.parametrize("leave", [0, 40960])
def test_a_folder_on_a_full_disk_is_kept(disk, leave):
    with atomic_folder(disk / "report") as partial:
        (partial / "page").write_text("old")
    _fill(disk, leave)
    with pytest.raises(UserError, match=r"report: cannot be written .No space left on device"):
        with atomic_folder(disk / "report") as partial:
            (partial / "page").write_bytes(bytes(10**6))
    assert (disk / "report" / "page").read_text() == "old"
    assert {path.name for path in disk.iterdir()} == {"fill", "report"}
