import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from srgan_tf.imaging.resize import imresize
from srgan_tf.training import losses

RNG = np.random.default_rng(0)
HR = RNG.uniform(-1, 1, (4, 8, 6, 3)).astype(np.float32)
SR = RNG.uniform(-1, 1, (4, 8, 6, 3)).astype(np.float32)
REAL = RNG.normal(1, 3, (4, 1)).astype(np.float32)
FAKE = RNG.normal(-1, 3, (4, 1)).astype(np.float32)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def test_equal_numpy():
    np.testing.assert_allclose(losses.mse(HR, SR), np.square(HR - SR).mean(), rtol=1e-6)
    np.testing.assert_allclose(losses.vgg(HR, SR), np.square(HR - SR).sum() / HR.size, rtol=1e-6)
    np.testing.assert_allclose(losses.adversarial(FAKE), -np.log(_sigmoid(FAKE)).mean(), rtol=1e-6)
    expected = -np.log(_sigmoid(REAL)).mean() - np.log(1 - _sigmoid(FAKE)).mean()
    np.testing.assert_allclose(losses.discriminator(REAL, FAKE), expected, rtol=1e-6)


def test_stay_finite_where_the_sigmoid_saturates():
    extreme = np.array([[200.0], [-200.0]], np.float32)
    np.testing.assert_allclose(losses.adversarial(extreme), 100, rtol=1e-6)
    np.testing.assert_allclose(losses.discriminator(extreme, -extreme), 200, rtol=1e-6)


def test_are_float32_whatever_comes_in():
    half = SR.astype(np.float16)
    assert losses.mse(HR.astype(np.float16), half).dtype == "float32"
    assert losses.adversarial(FAKE.astype(np.float16)).dtype == "float32"
    # 70,000 squared differences of 1 sum to more than float16 holds.
    assert float(losses.mse(np.ones((70_000,), np.float16), np.zeros((70_000,), np.float16))) == 1


TENSORLAYERX = """
import json, sys, numpy as np
import tensorlayerx as tlx
data = np.load(sys.argv[1])
entropy = lambda logits, label: float(tlx.losses.sigmoid_cross_entropy(
    tlx.convert_to_tensor(logits), tlx.convert_to_tensor(np.full_like(logits, label)), reduction="mean"))
mse = float(tlx.losses.mean_squared_error(
    tlx.convert_to_tensor(data["sr"]), tlx.convert_to_tensor(data["hr"]), reduction="mean"))
print("\\n" + json.dumps({"mse": mse, "adversarial": entropy(data["fake"], 1.0),
    "discriminator": entropy(data["real"], 1.0) + entropy(data["fake"], 0.0)}))
"""


def test_equal_tensorlayerx(tmp_path):
    """The seminar's own library; in another process, because it prints and writes into the home folder."""
    if importlib.util.find_spec("tensorlayerx") is None:
        pytest.skip("TensorLayerX is not installed: it needs Python 3.11")
    np.savez(tmp_path / "data.npz", hr=HR, sr=SR, real=REAL, fake=FAKE)
    environment = os.environ | {"TL_BACKEND": "tensorflow", "HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", TENSORLAYERX, "data.npz"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    expected = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(losses.mse(HR, SR), expected["mse"], rtol=1e-5)
    np.testing.assert_allclose(losses.vgg(HR, SR), expected["mse"], rtol=1e-5)
    np.testing.assert_allclose(losses.adversarial(FAKE), expected["adversarial"], rtol=1e-5)
    np.testing.assert_allclose(losses.discriminator(REAL, FAKE), expected["discriminator"], rtol=1e-5)


def test_consistency_compares_the_downscaled_images():
    hr, sr = RNG.uniform(-1, 1, (2, 2, 32, 32, 3)).astype(np.float32)
    small = [[imresize(picture.astype(np.float64), 8, 8)[2:-2, 2:-2] for picture in batch] for batch in (hr, sr)]
    expected = np.mean(np.square(np.subtract(*small)))
    np.testing.assert_allclose(losses.consistency(hr, sr, 4), expected, rtol=1e-4)
    assert float(losses.consistency(hr, hr, 4)) == 0
    np.testing.assert_allclose(losses.consistency(hr, hr + np.float32([0.1, 0, 0]), 4), 0.01 / 3, rtol=1e-4)
    with pytest.raises(ValueError, match="larger than 4"):
        losses.consistency(hr[:, :16, :16], sr[:, :16, :16], 4)
