"""Parts of a phase as the settings ask for them."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from srgan_tf.cli.train import Settings
from srgan_tf.training.phase import build_crops
from srgan_tf.training.run import find_photographs


@pytest.fixture
def first_batch(tmp_path):
    """The first LR and HR of a folder of three pairs, as settings ask for them; the LR files are all of one value."""
    rng = np.random.default_rng(0)
    for side, size in (("HR", 64), ("LR", 16)):
        (tmp_path / side).mkdir()
        for number in range(3):
            pixels = (
                rng.integers(0, 256, (size, size, 3), np.uint8) if side == "HR" else np.full((16, 16, 3), 7, np.uint8)
            )
            Image.fromarray(pixels).save(tmp_path / side / f"{number}.png")

    def first(**values):
        settings = Settings(**{"train_dir": str(tmp_path), "crop_size": 32, "batch_size": 2, "xla": "off"} | values)
        resources = SimpleNamespace(
            photographs=find_photographs(settings),
            device=SimpleNamespace(kind="CPU"),
            distribution=SimpleNamespace(is_distributed=False),
        )
        crops = build_crops(settings, resources)
        with crops.unwrapped_errors():
            ((lr, hr),) = crops.batches(start=0, stop=1)
        return lr.numpy(), hr.numpy()

    return first


def test_lr_is_what_the_settings_say(first_batch, tmp_path):
    lr, hr = first_batch()
    assert lr.shape == (2, 8, 8, 3) and (lr == 7).all()
    photographs = str(tmp_path / "HR")
    bicubic, same = first_batch(train_dir=photographs)
    photo, also = first_batch(train_dir=photographs, degradation="photo", degradation_ranges="clean=0")
    np.testing.assert_array_equal(hr, same)
    np.testing.assert_array_equal(hr, also)
    assert (bicubic != photo).any() and (bicubic != 7).any()
    none, _ = first_batch(train_dir=photographs, degradation="photo", degradation_strength=0.0)
    np.testing.assert_array_equal(bicubic, none)
