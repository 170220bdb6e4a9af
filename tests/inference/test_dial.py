import h5py
import keras
import numpy as np
import pytest

from srgan_tf.imaging.color import to_network
from srgan_tf.inference.dial import load_between
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.baselines import build_espcn
from srgan_tf.models.blend import Blend
from srgan_tf.models.generator import build_generator, save_generator
from srgan_tf.system.errors import UserError


@pytest.fixture(scope="module")
def start(random_generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("dial") / "start.weights.h5"
    save_generator(random_generator(), path)
    return path


@pytest.fixture(scope="module")
def near(random_generator, start):
    """Weights near those of `start`, BN's statistics among them."""
    generator, rng = random_generator(), np.random.default_rng(1)
    generator.set_weights([weight * rng.uniform(0.9, 1.1, weight.shape) for weight in generator.get_weights()])
    save_generator(generator, path := start.with_name("near.weights.h5"))
    return path


@pytest.fixture(scope="module")
def far(random_generator, start):
    """Weights of a network that was trained apart: the same function with its channels in another order."""
    generator = random_generator()
    order = np.arange(8)[::-1]
    for layer in generator.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization) or layer.name == "first_conv":
            weights = [weight[..., order] for weight in weights]
        elif weights and layer.name == "last_conv":
            weights[0] = weights[0][:, :, order] * 1.01
        elif weights:
            weights = [weight[:, :, order][..., order] for weight in weights]
        layer.set_weights(weights)
    save_generator(generator, path := start.with_name("far.weights.h5"))
    return path


def arrays(path):
    """All arrays of a weights file, by their place in it."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_every_array_is_the_weighted_mean(start, near, tmp_path):
    model = load_between(start, near, 0.25)
    assert not isinstance(model, Blend)
    save_generator(model, tmp_path / "made.weights.h5")
    first, second, made = arrays(start), arrays(near), arrays(tmp_path / "made.weights.h5")
    assert first.keys() == made.keys() and len(made) == 2 + 5 * (1 + 4) + 2
    for name, values in made.items():
        assert (first[name] != second[name]).any() or not first[name].any()
        np.testing.assert_allclose(values, 0.75 * first[name] + 0.25 * second[name], rtol=1e-6)


def test_the_ends_are_the_files(start, near, far, tmp_path):
    for end in (near, far):
        for strength, path in ((0, start), (1, end)):
            save_generator(load_between(start, end, strength), tmp_path / "made.weights.h5")
            made, expected = arrays(tmp_path / "made.weights.h5"), arrays(path)
            assert all((values == expected[name]).all() for name, values in made.items())


def test_results_are_mixed_where_the_weights_do_not_mix(start, far):
    model = load_between(start, far, 0.25)
    assert isinstance(model, Blend)
    lr = to_network(noise(9, 8))[None]
    first, second = (np.float64(end(lr, training=False)) for end in (model.start, model.end))
    np.testing.assert_allclose(model(lr), 0.75 * first + 0.25 * second, atol=1e-6)
    upscaler = Upscaler(start, toward=far, strength=0.25)
    assert upscaler.blended and upscaler.scale == 4
    expected = np.rint((0.75 * first + 0.25 * second + 1) * 127.5)[0]
    assert np.abs(upscaler.upscale(noise(9, 8)) - expected).max() <= 1


@pytest.mark.parametrize("end", ["near", "far"])
def test_tiled_equals_whole(start, end, request):
    whole, tiled = (
        Upscaler(start, toward=request.getfixturevalue(end), strength=0.6, ensemble=True, tile=tile) for tile in (0, 16)
    )
    assert whole.blended == (end == "far")
    image = noise(41, 37)
    assert np.abs(whole.upscale(image).astype(int) - tiled.upscale(image)).max() <= 1
    assert np.mean(whole.upscale(image) != tiled.upscale(image)) < 1e-3


def test_other_models_have_a_dial(tmp_path):
    paths = [tmp_path / f"{seed}.weights.h5" for seed in range(2)]
    for seed, path in enumerate(paths):
        keras.utils.set_random_seed(seed)
        save_generator(build_espcn(), path)
    middle = Upscaler(paths[0], toward=paths[1], strength=0.5).upscale(noise(7, 6)).astype(float)
    first, second = (Upscaler(path).upscale(noise(7, 6)).astype(float) for path in paths)
    assert np.abs(middle - (first + second) / 2).max() < np.abs(first - second).max() / 2


def test_other_shapes_are_refused(start, tmp_path):
    save_generator(build_generator(2, 4, 8), tmp_path / "deep.weights.h5")
    save_generator(build_espcn(), tmp_path / "espcn.weights.h5")
    for name, shape in (("deep", "blocks 2, scale 4, filters 8"), ("espcn", "model espcn, scale 4")):
        with pytest.raises(UserError, match=f"{name}.weights.h5: has {shape}, but .*start.weights.h5 blocks 1, scale"):
            load_between(start, tmp_path / f"{name}.weights.h5", 0.5)


def test_what_is_missing_or_out_of_range_is_told(start, near):
    for options in ({"toward": near}, {"weights": start, "strength": 0.5}, {"toward": near, "strength": 0.5}):
        with pytest.raises(ValueError, match="strength is between weights and toward: give it alone or with both"):
            Upscaler(**options)
    model = build_generator(0, filters=8)
    for name, ends in (("weights", (model, "srgan")), ("toward", ("srgan", model))):
        with pytest.raises(ValueError, match=f"{name} must be a file or a name for strength. Received: Functional"):
            Upscaler(ends[0], toward=ends[1], strength=0.5)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="strength must be between 0 and 1"):
            Upscaler(start, toward=near, strength=strength)


def test_the_packages_ends_are_srresnet_and_srgan():
    image = noise(12, 12)
    for strength, name in ((0, "srresnet"), (1, "srgan")):
        assert (Upscaler(strength=strength).upscale(image) == Upscaler(name).upscale(image)).all()
