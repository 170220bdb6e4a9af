import keras
import numpy as np
import pytest

from srgan_tf.models.vgg import LAYERS, build_vgg
from srgan_tf.system.errors import UserError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.weights.h5"
    keras.applications.VGG19(weights=None, include_top=False).save_weights(path)
    return str(path)


@pytest.mark.parametrize("name", LAYERS)
def test_equals_vgg19_behind_its_own_preprocessing(weights, name):
    whole = keras.applications.VGG19(weights=weights, include_top=False)
    reference = keras.Model(whole.input, whole.get_layer(LAYERS[name]).output)
    picture = np.random.default_rng(0).integers(0, 256, (1, 40, 36, 3)).astype(np.float32)
    # The documented constants of Caffe's preprocessing, written out.
    caffe = picture[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    features = build_vgg(name, weights)(picture / 127.5 - 1)
    expected = np.asarray(reference(caffe))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5 * expected.max())
    assert features.shape[-1] == {"vgg22": 128, "vgg54": 512, "pool4": 512}[name]
    assert np.min(features) >= 0  # after the ReLU


def test_runs_only_what_is_needed_and_is_frozen(weights):
    model = build_vgg("vgg22", weights)
    assert model.trainable_variables == []
    assert model.count_params() == sum(9 * i * o + o for i, o in ((3, 64), (64, 64), (64, 128), (128, 128)))


@pytest.mark.parametrize("content", [None, b"not a weights file"])
def test_a_bad_file_is_one_line(tmp_path, content):
    path = tmp_path / "vgg.h5"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        build_vgg("vgg54", str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_failed_download_says_what_to_do(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://example.com/vgg19.h5: None -- no route")

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    with pytest.raises(UserError, match="--vgg_path"):
        build_vgg("vgg54")
