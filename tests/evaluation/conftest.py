"""Pictures that are scored."""

import numpy as np
import pytest

from srgan_tf.data.folders import Pair
from srgan_tf.imaging import files


@pytest.fixture
def picture_pairs(tmp_path):
    """Two photograph-like pictures, 42x35 and 24x24, without LR files."""
    rng = np.random.default_rng(0)
    pairs = []
    for name, size in (("a", (42, 35)), ("b", (24, 24))):
        path = tmp_path / "HR" / f"{name}.png"
        files.write(path, rng.integers(0, 256, (*size, 3), np.uint8))
        pairs.append(Pair(name, path, None))
    return pairs
