"""SelfExSR from the command line: a system among others, and a way to upscale."""

import numpy as np

from srgan_tf.imaging import files
from srgan_tf.models.baselines import build_espcn
from srgan_tf.models.generator import save_generator

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 36, 3), np.uint8)


def test_scored_and_upscaled(run, tmp_path):
    files.write(tmp_path / "set" / "one.png", IMAGE)
    status, out, _ = run("--mode=evaluate", f"--data={tmp_path}/set", "--model=selfex", "--weights=none")
    assert status == 0 and any(line.startswith("selfex ") for line in out)
    flags = [f"--input={tmp_path}/set/one.png", f"--output={tmp_path}/x.png"]
    status, *_ = run("--mode=upscale", "--model=selfex", *flags)
    assert status == 0 and files.read_rgb(tmp_path / "x.png").shape == (128, 144, 3)


def test_it_enlarges_as_the_weights_beside_it_do(run, tmp_path):
    save_generator(build_espcn(scale=2), tmp_path / "half.weights.h5")
    files.write(tmp_path / "set" / "one.png", IMAGE)
    flags = [f"--data={tmp_path}/set", f"--weights=half={tmp_path}/half.weights.h5", f"--pictures={tmp_path}/made"]
    status, out, err = run("--mode=evaluate", "--model=selfex", *flags)
    assert status == 0 and err == []
    assert files.read_rgb(tmp_path / "made" / "selfex" / "one.png").shape == IMAGE.shape
    rows = {line.split()[0] for line in out if line.startswith(("selfex ", "half "))}
    assert rows == {"selfex", "half"}


def test_what_does_not_go_together_is_one_line(run, tmp_path):
    both = ["--mode=upscale", "--model=selfex", "--weights=srgan", "--input=a.png", "--output=b.png"]
    for flags, said in (
        (both, "takes --model=selfex or --weights, not both"),
        (["--mode=export", "--model=selfex", "--weights=srgan", "--output=x"], "'model'"),
        (["--mode=evaluate", "--weights=selfex=srgan"], "the name selfex is taken"),
        (["--model=drcn"], "drcn"),
    ):
        status, _, err = run(*flags)
        assert status == 2 and len(err) == 1 and said in err[0]
