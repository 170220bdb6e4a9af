"""TensorLayerX's SRGAN, built in TensorLayerX itself with random weights, and krasserm's layout, gives and takes."""

import importlib.util
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import evaluate
from srgan_tf.models import third_party, third_party_weights
from srgan_tf.models.generator import build_generator, load_generator, save_generator
from srgan_tf.system.errors import UserError

LR = np.random.default_rng(0).uniform(-1, 1, (1, 6, 5, 3)).astype(np.float32)

# The networks of tensorlayer/SRGAN, srgan.py, with fewer blocks; "ours" is this project's G.
TENSORLAYERX = """
import sys, numpy as np, tensorlayerx as tlx
from tensorlayerx.nn import BatchNorm2d, Conv2d, Module, Sequential, SubpixelConv2d, UpSampling2d
relu, tanh = tlx.ReLU, tlx.Tanh
def conv(n, k, act=None, **more):
    return Conv2d(out_channels=n, kernel_size=(k, k), stride=(1, 1), act=act, padding="SAME", **more)
def plain(n): return conv(n, 3, b_init=None)
def bn(n, act=None): return BatchNorm2d(num_features=n, act=act, epsilon=epsilon)
class Block(Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = plain(64), bn(64, relu), plain(64), bn(64)
    def forward(self, x): return x + self.bn2(self.conv2(self.bn1(self.conv1(x))))
class Net(Module):
    def __init__(self, kind):
        super().__init__()
        self.conv1 = conv(64, 9 if kind == "ours" else 3, None if kind == "resize" else relu)
        self.residual_block = Sequential([Block(), Block()])
        self.conv2, self.bn1 = plain(64), bn(64)
        if kind == "subpixel":
            ends = [conv(256, 3), SubpixelConv2d(scale=2, act=relu), conv(256, 3), SubpixelConv2d(scale=2, act=relu)]
        else:
            method, second, n = ("nearest", 2, 64) if kind == "ours" else ("bilinear", 4, 32)
            ends = [UpSampling2d(scale=(2, 2), method=method), plain(64), bn(64, relu),
                    UpSampling2d(scale=(second, second), method=method), plain(n), bn(n, relu)]
        self.ends = Sequential([*ends, conv(3, 9 if kind == "ours" else 1, tanh)])
    def forward(self, x):
        x = first = self.conv1(x)
        return self.ends(self.bn1(self.conv2(self.residual_block(x))) + first)
_, kind, what, path, lr, sr, epsilon = sys.argv
epsilon = float(epsilon)
lr, net = np.load(lr), Net(kind)
net.init_build(tlx.nn.Input(lr.shape))
net.set_eval()
if what == "save":
    rng = np.random.default_rng(1)
    for weight in net.all_weights:
        middle = 1.0 if "gamma" in weight.name or "moving_var" in weight.name else 0.0
        weight.assign(middle + rng.uniform(-0.1, 0.1, weight.shape).astype("float32"))
    net.save_weights(path, format="npz_dict")
else:
    net.load_weights(path, format="npz_dict")
np.save(sr, np.array(net(tlx.convert_to_tensor(lr))))
"""


def tensorlayerx(tmp_path, kind, what, path, epsilon=1e-5):
    """What TensorLayerX makes of `LR`, in another process, because it prints and writes into the home folder."""
    if importlib.util.find_spec("tensorlayerx") is None:
        pytest.skip("TensorLayerX is not installed: it needs Python 3.11")
    np.save(tmp_path / "lr.npy", LR)
    environment = os.environ | {"TL_BACKEND": "tensorflow", "HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", TENSORLAYERX, kind, what, path, "lr.npy", "sr.npy", f"{epsilon}"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    return np.load(tmp_path / "sr.npy")


@pytest.mark.parametrize("kind, name, scale", [("subpixel", "tensorlayerx", 4), ("resize", "tensorlayerx-resize", 8)])
def test_reads_and_writes_what_tensorlayerx_has(kind, name, scale, tmp_path, capsys):
    theirs = tensorlayerx(tmp_path, kind, "save", tmp_path / "g.npz")
    assert theirs.shape == (1, 6 * scale, 5 * scale, 3) and theirs.std() > 0.01
    weights = tmp_path / "x.weights.h5"
    flags = ["evaluate.py", "--mode=import", f"--tensorlayerx={tmp_path}/g.npz", f"--output={weights}"]
    assert evaluate.main(flags) == 0 and f"model {name}, blocks 2" in capsys.readouterr().out
    model = load_generator(weights)
    np.testing.assert_allclose(model(LR), theirs, atol=1e-5)

    # With the axes as other backends save them.
    with np.load(tmp_path / "g.npz") as file:
        turned = {key: file[key].transpose(3, 2, 0, 1) if file[key].ndim == 4 else file[key] for key in file.files}
    np.savez(tmp_path / "first.npz", **turned)
    np.testing.assert_allclose(third_party_weights.read_tensorlayerx(tmp_path / "first.npz")(LR), theirs, atol=1e-5)

    flags = ["evaluate.py", "--mode=export", f"--weights={weights}", f"--output={tmp_path}/back.npz"]
    assert evaluate.main(flags) == 0
    np.testing.assert_allclose(tensorlayerx(tmp_path, kind, "load", tmp_path / "back.npz"), theirs, atol=1e-6)


def test_our_generator_gives_the_same_picture_in_tensorlayerx(tmp_path):
    model = build_generator(blocks=2)
    rng = np.random.default_rng(2)
    for variable in model.variables:
        middle = 1.0 if "gamma" in variable.path or "moving_variance" in variable.path else 0.0
        variable.assign(middle + rng.uniform(-0.1, 0.1, variable.shape))
    third_party_weights.write_tensorlayerx(model, tmp_path / "ours.npz")
    theirs = tensorlayerx(tmp_path, "ours", "load", tmp_path / "ours.npz", epsilon=1e-3)
    np.testing.assert_allclose(model(LR), theirs, atol=1e-5)


def npz(path, **changes):
    """A file as TensorLayerX writes for a generator without blocks; a change of None leaves an array out."""
    shapes = {"conv2d_1/filters:0": (3, 3, 3, 64), "conv2d_1/biases:0": (64,), "conv2d_2/filters:0": (3, 3, 64, 64)}
    shapes |= {f"batchnorm2d_1/{role}:0": (64,) for role in ("beta", "gamma", "moving_mean", "moving_var")}
    for number, (side, inputs, outputs) in enumerate(((3, 64, 256), (3, 64, 256), (1, 64, 3)), 3):
        shapes[f"conv2d_{number}/filters:0"] = (side, side, inputs, outputs)
        shapes[f"conv2d_{number}/biases:0"] = (outputs,)
    shapes |= changes
    np.savez(path, **{name: np.ones(shape, np.float32) for name, shape in shapes.items() if shape})
    return path


def test_what_does_not_fit_is_refused_with_the_layers_name(tmp_path):
    assert third_party.blocks_of(third_party_weights.read_tensorlayerx(npz(tmp_path / "g.npz"))) == 0
    (tmp_path / "text.npz").write_text("nothing")
    for changes, message in (
        ({"conv2d_2/filters:0": (3, 3, 64, 32)}, r"conv2d_2 has \{'kernel': \(3, 3, 64, 32\)\}.*\(3, 3, 64, 64\)"),
        ({"batchnorm2d_1/gamma:0": None}, "batchnorm2d_1 has"),
        ({"conv2d_5/extra:0": (3,)}, "conv2d_5 has"),
        ({"conv2d_6/filters:0": (3, 3, 3, 3)}, "has 6 convolutions, the last conv2d_6; a"),
        ({"batchnorm2d_2/gamma:0": (64,)}, "has 7 layers, batchnorm2d_2; a tensorlayerx generator has 6 with weights"),
    ):
        with pytest.raises(UserError, match=f"bad.npz: {message}"):
            third_party_weights.read_tensorlayerx(npz(tmp_path / "bad.npz", **changes))
    np.save(tmp_path / "one.npy", np.ones(3))
    for path in (tmp_path / "text.npz", tmp_path / "none.npz", tmp_path / "one.npy"):
        with pytest.raises(UserError, match="cannot be read as an npz_dict"):
            third_party_weights.read_tensorlayerx(path)
        with pytest.raises(UserError, match="cannot be read as the weights of krasserm's"):
            third_party_weights.read_krasserm(path)
    with pytest.raises(UserError, match="no such network as espcn"):
        from srgan_tf.models.baselines import build_espcn

        third_party_weights.write_tensorlayerx(build_espcn(), tmp_path / "x.npz")


def krasserm_file(path, seed=3):
    """HDF5 as Keras 2 wrote it, of krasserm's network without blocks."""
    rng = np.random.default_rng(seed)
    layers = [("conv2d", {"kernel": (9, 9, 3, 64), "bias": (64,)}), ("p_re_lu", {"alpha": (1, 1, 64)})]
    layers += [("conv2d_1", {"kernel": (3, 3, 64, 64), "bias": (64,)})]
    layers += [("bn", {role: (64,) for role in ("gamma", "beta", "moving_mean", "moving_variance")})]
    for number in (2, 3):
        layers += [(f"conv2d_{number}", {"kernel": (3, 3, 64, 256), "bias": (256,)})]
        layers += [(f"p_re_lu_{number}", {"alpha": (1, 1, 64)})]
    layers += [("conv2d_4", {"kernel": (9, 9, 64, 3), "bias": (3,)})]
    values = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_1", *(name.encode() for name, _ in layers)]
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        for name, shapes in layers:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{role}:0".encode() for role in shapes]
            for role, shape in shapes.items():
                middle = 1.0 if role in ("gamma", "moving_variance") else 0.0
                values[name, role] = middle + rng.uniform(-0.05, 0.05, shape).astype(np.float32)
                group[f"{name}/{role}:0"] = values[name, role]
    return values


def test_damage_that_is_a_runtime_error_is_one_line(tmp_path, monkeypatch):
    content = bytearray(npz(tmp_path / "g.npz").read_bytes())
    content[content.find(b"PK\1\2") + 8] |= 1  # the first member is encrypted, it says
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(UserError, match="g.npz: cannot be read as an npz_dict of TensorLayerX .*encrypted"):
        third_party_weights.read_tensorlayerx(tmp_path / "g.npz")

    def damaged(path, mode):
        raise RuntimeError("bad local heap signature")

    monkeypatch.setattr(h5py, "File", damaged)
    with pytest.raises(UserError, match="g.h5: cannot be read as the weights of krasserm's generator .bad local heap"):
        third_party_weights.read_krasserm(tmp_path / "g.h5")


def test_reads_krasserms_layout(tmp_path):
    tf = pytest.importorskip("tensorflow")
    values = krasserm_file(tmp_path / "g.h5")

    def conv(x, name):
        return tf.nn.conv2d(x, values[name, "kernel"], 1, "SAME") + values[name, "bias"]

    def prelu(x, name):
        return tf.maximum(x, 0) + values[name, "alpha"] * tf.minimum(x, 0)

    x = first = prelu(conv((LR + 1) / 2, "conv2d"), "p_re_lu")  # [0, 1]
    x = (
        tf.nn.batch_normalization(
            conv(x, "conv2d_1"),
            values["bn", "moving_mean"],
            values["bn", "moving_variance"],
            values["bn", "beta"],
            values["bn", "gamma"],
            1e-3,
        )
        + first
    )
    for number in (2, 3):
        x = prelu(tf.nn.depth_to_space(conv(x, f"conv2d_{number}"), 2), f"p_re_lu_{number}")
    model = third_party_weights.read_krasserm(tmp_path / "g.h5")
    np.testing.assert_allclose(model(LR), tf.tanh(conv(x, "conv2d_4")), atol=1e-5)


@pytest.mark.parametrize("name", third_party.ARCHITECTURES)
def test_margin_is_the_receptive_field(name):
    keras.utils.set_random_seed(0)
    model = third_party.build_third_party(name, 1)
    scale, margin = third_party.ARCHITECTURES[name].scale, third_party.margin_of(model)
    side = 2 * margin + 5
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (1, side, side, 3)).astype(np.float32)
    moved = x.copy()
    moved[:, side // 2, side // 2] += 5
    changed = np.abs(model(moved).numpy() - model(x).numpy()).max((0, 2, 3)) > 0
    rows = np.flatnonzero(changed) // scale
    reach = max(side // 2 - rows.min(), rows.max() - side // 2)
    assert margin - 1 <= reach <= margin  # the last pixel of all may be too faint


def test_imported_weights_are_used_like_others(tmp_path, monkeypatch):
    from srgan_tf.imaging.color import from_network, to_network
    from srgan_tf.inference.upscaler import Upscaler

    krasserm_file(tmp_path / "g.h5")
    model = third_party_weights.read_krasserm(tmp_path / "g.h5")
    save_generator(model, tmp_path / "k.weights.h5")
    image = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)
    given = Upscaler(tmp_path / "k.weights.h5", tile=16).upscale(image)
    expected = from_network(model(to_network(image)[None])[0])
    assert np.abs(given.astype(int) - expected).max() <= 1 and (given != expected).mean() < 1e-2
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["evaluate.py", "--mode=import", "--krasserm=g.h5"]) == 0
    assert (tmp_path / "g.weights.h5").is_file()
    for status, flags, message in (
        (2, [], "FILE or --tensorlayerx or --krasserm"),
        (2, ["--output=x.weights.h5"], "FILE or --tensorlayerx or --krasserm"),
        (2, [f"--krasserm={tmp_path}/g.h5", "--output=x.h5"], "must end in .weights.h5"),
        (1, [f"--krasserm={tmp_path}/g.h5", f"--output={tmp_path}/k.weights.h5"], "exists already"),
    ):
        assert evaluate.main(["evaluate.py", "--mode=import", *flags]) == status, message
