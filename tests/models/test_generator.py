import h5py
import keras
import numpy as np
import pytest

from srgan_tf.imaging import color
from srgan_tf.models.generator import (
    build_generator,
    change_scale,
    describe,
    generator_config,
    load_generator,
    save_generator,
)
from srgan_tf.models.generator_weights import receptive_radius
from srgan_tf.models.initialization import initialize_as_bilinear
from srgan_tf.system.errors import UserError


def test_has_the_layers_of_the_papers_figure():
    model = build_generator()
    kernels = [layer.kernel.shape for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    # k9n64s1, 16 x 2 x k3n64s1, k3n64s1, 2 x k3n64s1 after nearest x2, k9n3s1
    assert kernels == [(9, 9, 3, 64)] + [(3, 3, 64, 64)] * 35 + [(9, 9, 64, 3)]
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("BatchNormalization") == 35
    assert kinds.count("Add") == 17
    assert kinds.count("NearestConv2D") == 2
    assert kinds.count("ReLU") == 16 + 2
    last = model.layers[-1]
    assert last.activation is keras.activations.tanh


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_upscales_pictures_of_any_size(scale):
    model = build_generator(blocks=1, scale=scale, filters=4)
    assert generator_config(model) == (1, scale, 4)
    assert model(np.zeros((2, 5, 7, 3), np.float32)).shape == (2, 5 * scale, 7 * scale, 3)


def test_refuses_other_scales():
    with pytest.raises(ValueError, match="Received: 3"):
        build_generator(scale=3)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_receptive_radius_is_exact(scale):
    model = build_generator(blocks=1, scale=scale, filters=4)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        # Positive weights everywhere, so that nothing cancels and no ReLU is shut; tanh stays far from its ends.
        layer.set_weights([np.abs(rng.normal(size=w.shape)) * 0.03 + 1e-3 for w in layer.get_weights()])
    margin = receptive_radius(1, scale)
    size = 2 * margin + 5
    seen = []
    base = model(np.zeros((1, size, 3, 3), np.float32)).numpy()
    for row in range(size):
        changed = np.zeros((1, size, 3, 3), np.float32)
        changed[0, row] = 1
        difference = np.abs(model(changed).numpy() - base)[0].max(axis=(1, 2))
        middle = slice((size // 2) * scale, (size // 2 + 1) * scale)
        if difference[middle].max() > 0:
            seen.append(row - size // 2)
    assert (min(seen), max(seen)) == (-margin, margin)


def test_starts_as_bilinear_upscaling():
    model = build_generator(blocks=2)
    initialize_as_bilinear(model)
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (24, 1, 3))
    outputs = model(color.to_network(ramp)[None], training=False).numpy()[0]
    # Along a ramp a bilinear upscaling is a line: the centres of the new pixels lie at (i + 0.5) / 4 - 0.5.
    expected = ((np.arange(1024) + 0.5) / 4 - 0.5) / 127.5 - 1
    inner = np.s_[16:-16, 16:-16]
    expected = np.broadcast_to(expected[None, :, None], (96, 1024, 3))
    np.testing.assert_allclose(outputs[inner], expected[inner], atol=0.012)


def test_another_scale_has_the_weights_of_the_last_stages():
    old = build_generator(blocks=1, scale=4, filters=2)
    for number, weight in enumerate(old.weights):
        weight.assign(np.full(weight.shape, number))

    def numbers(generator, name):
        return [weight.flat[0] for weight in generator.get_layer(name).get_weights()]

    for scale, stages in ((2, [2]), (8, [1, 1, 2])):
        changed = change_scale(old, scale)
        assert describe(changed) == {"blocks": 1, "scale": scale, "filters": 2}
        for kind in ("conv", "bn"):
            for new, of_old in enumerate(stages, 1):
                assert numbers(changed, f"up{new}_{kind}") == numbers(old, f"up{of_old}_{kind}")
        for name in ("first_conv", "block1a_bn", "block1b_conv", "trunk_bn", "last_conv"):
            assert numbers(changed, name) == numbers(old, name)


def test_weights_file_round_trips(tmp_path):
    model = build_generator(blocks=2, scale=2, filters=8)
    path = tmp_path / "new" / "g.weights.h5"
    save_generator(model, path)
    loaded = load_generator(path)
    assert generator_config(loaded) == (2, 2, 8)
    for old, new in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    assert [file.name for file in path.parent.iterdir()] == ["g.weights.h5"]


def _truncated(path):
    path.write_bytes(path.read_bytes()[:5000])


def _zeroed(path):
    path.write_bytes(path.read_bytes().replace(b"HEAP", bytes(4)))


def _pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5000000\n")


def _without_shape(path):
    with h5py.File(path, "a") as file:
        del file.attrs["srgan_tf"]


def _other_network(path):
    with h5py.File(path, "a") as file:
        file.attrs["srgan_tf"] = '{"blocks": 3, "scale": 4, "filters": 4}'


@pytest.mark.parametrize(
    "damage", [_truncated, _zeroed, _pointer, _without_shape, _other_network, lambda path: path.unlink()]
)
def test_a_bad_weights_file_is_one_line(tmp_path, damage):
    path = tmp_path / "g.weights.h5"
    save_generator(build_generator(blocks=1, filters=4), path)
    damage(path)
    with pytest.raises(UserError) as error:
        load_generator(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["mine.h5", "mine", "g.weights.h5.bak"])
def test_a_sound_file_of_another_name_is_not_called_damaged(tmp_path, name):
    save_generator(build_generator(blocks=1, filters=4), tmp_path / "g.weights.h5")
    path = (tmp_path / "g.weights.h5").rename(tmp_path / name)
    with pytest.raises(UserError) as error:
        load_generator(path)
    assert str(error.value) == f"{path}: the name of a weights file must end in .weights.h5; rename it"


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save_generator(build_generator(blocks=1, filters=4), tmp_path / "file" / "g.weights.h5")


JAX = """
import sys, numpy as np, keras
assert keras.backend.backend() == "jax"
from srgan_tf.models.generator import load_generator
np.save(sys.argv[3], np.asarray(load_generator(sys.argv[1])(np.load(sys.argv[2]), training=False)))
assert "tensorflow" not in sys.modules
"""


def test_gives_the_same_picture_under_jax(tmp_path, run_python):
    pytest.importorskip("jax")
    model = build_generator(blocks=2)
    initialize_as_bilinear(model)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.01)
    picture = rng.uniform(-1, 1, (1, 12, 17, 3)).astype(np.float32)
    save_generator(model, tmp_path / "g.weights.h5")
    np.save(tmp_path / "lr.npy", picture)
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    run_python("-c", JAX, "g.weights.h5", "lr.npy", "sr.npy", cwd=tmp_path, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "sr.npy"), model(picture, training=False), atol=1e-4)
