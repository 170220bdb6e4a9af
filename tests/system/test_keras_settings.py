import json

import numpy as np
import pytest

from srgan_tf.models.generator import load_generator

SCRIPT = """
import sys
import numpy as np
from srgan_tf.cli.main import main
from srgan_tf.system import quiet

quiet.import_tensorflow()  # as every mode does first; it names Keras' backend
from srgan_tf.models.generator import load_generator

weights, lr, folder = sys.argv[1:]
np.save(f"{folder}/sr.npy", load_generator(weights)(np.load(lr)))
small = ["--crop_size=32", "--batch_size=2", "--blocks=1", "--steps=1", "--pretrain_steps=1"]
sys.exit(main(["srgan", "train", "--mode=srgan", "--content_loss=mse", f"--run_dir={folder}/run", *small]))
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1},
        {"floatx": "float64", "backend": "jax"},
    ],
)
def test_what_the_user_set_in_keras_json_changes_nothing(tmp_path, run_python, weights, settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    lr = np.random.default_rng(0).uniform(-1, 1, (1, 8, 9, 3)).astype(np.float32)
    np.save(tmp_path / "lr.npy", lr)
    run_python("-c", SCRIPT, weights, tmp_path / "lr.npy", tmp_path, env={"KERAS_HOME": str(tmp_path)})
    sr = np.load(tmp_path / "sr.npy")
    assert sr.dtype == np.float32 and sr.shape == (1, 32, 36, 3)
    np.testing.assert_allclose(sr, load_generator(weights)(lr), atol=1e-6)
    assert (tmp_path / "run" / "srgan" / "generator.weights.h5").is_file()
