import numpy as np
import pytest
from PIL import Image

from srgan_tf import weights
from srgan_tf.models.generator import describe, load_generator
from srgan_tf.system.errors import UserError


@pytest.mark.parametrize("name", weights.read_manifest())
def test_shipped_weights_are_those_of_the_manifest_and_load(name):
    path = weights.find_weights(name)
    assert path.stat().st_size <= 6_000_000
    settings = weights.read_manifest()[name]["settings"]
    found = {"model": "resnet"} | describe(load_generator(path))
    wanted = {"model": "resnet"} | {key: settings[key] for key in ("model", "blocks", "scale") if key in settings}
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", weights.read_manifest())
def test_shipped_weights_score_what_the_manifest_says(name, shared_data):
    from srgan_tf.data.folders import find_pairs
    from srgan_tf.evaluation.validation import Validation

    generator = load_generator(weights.find_weights(name))
    scale = weights.read_manifest()[name]["settings"]["scale"]
    folder = shared_data / "benchmarks" / "Set5" / ("" if scale == 4 else "HR")  # whose LR is for 4x
    scores, _ = Validation(generator, find_pairs(folder), scale)()
    assert scores["psnr"] == pytest.approx(weights.read_manifest()[name]["psnr_db"]["Set5"], abs=0.006)


def test_what_is_for_faces_alone_for_photographs_or_for_2x_is_not_scored_with_the_others():
    assert weights.general_names() == ["srresnet", "srgan", "espcn", "srcnn"]
    assert {"srresnet-faces", weights.PHOTO_WEIGHTS, *weights.DIAL_X2} < set(weights.read_manifest())


def test_the_weights_for_photographs_remove_the_blocks_of_a_jpeg_and_are_worse_on_a_clean_image(tmp_path):
    from srgan_tf import Upscaler
    from srgan_tf.data.folders import embedded_pictures
    from srgan_tf.evaluation.metrics import psnr
    from srgan_tf.imaging.color import luma
    from srgan_tf.imaging.files import read_rgb
    from srgan_tf.imaging.resize import downscale

    def blocks(picture):
        """How much larger the steps at the borders of LR's 8x8 blocks are than all steps; near 0 without blocks."""
        ratios = []
        for y in (luma(np.float64(picture)), luma(np.float64(picture)).T):
            steps = np.abs(np.diff(y, axis=1))
            borders = np.arange(4 * 8 - 1, steps.shape[1], 4 * 8)
            ratios.append(steps[:, [*(borders - 1), *borders, *(borders + 1)]].mean() / steps.mean())
        return np.mean(ratios) - 1

    hr = read_rgb(embedded_pictures()["chelsea"])[:240, :320]
    clean = downscale(hr)
    Image.fromarray(clean).save(tmp_path / "lr.jpg", quality=30)
    found = {
        name: [Upscaler(name).upscale(lr) for lr in (clean, read_rgb(tmp_path / "lr.jpg"))]
        for name in (weights.PHOTO_WEIGHTS, weights.DEFAULT_WEIGHTS)
    }
    (clean_photo, jpeg_photo), (clean_default, jpeg_default) = found.values()
    assert psnr(hr, clean_photo) < psnr(hr, clean_default) - 0.1
    assert blocks(jpeg_photo) < 0.6 * blocks(jpeg_default)
    assert abs(blocks(hr)) < 0.1


@pytest.mark.parametrize(
    "content, said",
    [(b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"), (b"half", "4 bytes"), (None, "0 bytes")],
)
def test_a_wrong_shipped_file_is_one_line(tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    if content:
        (tmp_path / "srresnet.weights.h5").write_bytes(content)
    with pytest.raises(UserError, match=said):
        weights.find_weights("srresnet")


def test_a_file_comes_first_and_an_unknown_name_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="srresnet"):
        weights.find_weights("srresnot")
    (tmp_path / "srresnet").write_bytes(b"own")
    assert weights.find_weights("srresnet").read_bytes() == b"own"


def test_pretrained_weights_are_taken_by_their_name_alone(tmp_path, monkeypatch):
    from srgan_tf import Upscaler

    monkeypatch.chdir(tmp_path)
    (tmp_path / "espcn").write_bytes(b"own")
    assert weights.find_pretrained("espcn").parent == weights.FOLDER
    assert Upscaler.from_pretrained("espcn", tile=32).tile == 32
    with pytest.raises(UserError, match="no weights of this name, but srresnet, srgan, .* or srgan-photo"):
        Upscaler.from_pretrained("./espcn")
