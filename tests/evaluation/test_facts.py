import hashlib

import numpy as np

from srgan_tf.evaluation.facts import facts


def test_facts(tmp_path):
    path = tmp_path / "best.weights.h5"
    path.write_bytes(b"weights")
    found = facts({"ours": path}, protocol={"PSNR": "on Y"})
    assert list(found) == ["protocol", "weights", "versions", "device"]
    assert found["weights"] == {"ours": f"best.weights.h5, SHA-256 {hashlib.sha256(b'weights').hexdigest()}"}
    assert found["versions"]["numpy"] == np.__version__
    assert found["device"]
    assert str(tmp_path) not in str(found)  # reports are passed on
