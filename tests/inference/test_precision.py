import numpy as np
import pytest

from srgan_tf.cli.main import main
from srgan_tf.data.folders import embedded_pictures
from srgan_tf.evaluation.metrics import psnr
from srgan_tf.imaging import files
from srgan_tf.imaging.files import read_rgb
from srgan_tf.imaging.resize import crop_to_multiple, downscale
from srgan_tf.inference import precision
from srgan_tf.inference.precision import choose_precision, emulation_note
from srgan_tf.inference.upscaler import Upscaler
from srgan_tf.models.generator import build_generator, save_generator
from srgan_tf.system.errors import UserError


@pytest.mark.parametrize(
    "flags, chosen",
    [
        ({"avx512f", "amx_bf16", "amx_tile"}, "bfloat16"),
        ({"avx512f", "avx512_bf16"}, "bfloat16"),
        ({"avx512f", "avx2"}, "float32"),  # where bfloat16 is emulated
        (set(), "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_multiplies_it(monkeypatch, flags, chosen):
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    assert choose_precision() == choose_precision("auto") == chosen
    for given in ("float32", "bfloat16", "float16"):
        assert choose_precision(given) == given
    assert Upscaler("srgan", precision="auto").precision == chosen
    assert Upscaler("espcn", precision="auto").precision == Upscaler("srgan").precision == "float32"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert choose_precision() == "float32"


@pytest.mark.parametrize(
    "given, on_gpu, flags, is_said",
    [
        ("bfloat16", False, {"avx2"}, True),
        ("bfloat16", False, {"avx512_bf16"}, False),
        ("bfloat16", False, set(), False),  # a system that does not say
        ("bfloat16", True, {"avx2"}, False),
        ("float32", False, {"avx2"}, False),
    ],
)
def test_bfloat16_that_is_emulated_is_said(monkeypatch, given, on_gpu, flags, is_said):
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    assert emulation_note(given, on_gpu).startswith("bfloat16 is emulated") == is_said


@pytest.mark.parametrize("capability, chosen", [((7, 0), "float16"), ((9, 0), "float16"), ((6, 1), "float32")])
def test_auto_is_float16_where_the_gpu_has_tensor_cores(monkeypatch, capability, chosen):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": capability})
    assert choose_precision() == chosen


def test_values_that_are_too_large_for_the_format_are_an_error_and_no_black_image(tmp_path, capsys):
    import keras

    keras.utils.set_random_seed(0)
    generator = build_generator(0, filters=8)
    for name, factor in (("first_conv", 6e5), ("last_conv", 6e-7)):
        kernel, bias = generator.get_layer(name).get_weights()
        generator.get_layer(name).set_weights([factor * kernel, bias])
    save_generator(generator, tmp_path / "g.weights.h5")
    image = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    assert Upscaler(generator).upscale(image).std() > 1
    for given in (image, image[..., 0]):
        with pytest.raises(UserError, match="too large for its number format"):
            Upscaler(generator, precision="float16").upscale(given)
    files.write(tmp_path / "photos" / "a.png", np.kron(image, np.ones((2, 2, 1), np.uint8)))
    weights = f"--weights={tmp_path}/g.weights.h5"
    out = tmp_path / "out.png"
    none = f"{tmp_path}/photos: no image can be shown; the first: "
    for words, before, name in (
        (["upscale", f"{tmp_path}/photos/a.png", str(out)], "", ""),
        (["evaluate", f"{tmp_path}/photos"], "", f"{tmp_path.name}-g: "),
        (["compare", f"{tmp_path}/photos", f"{tmp_path}/report"], none, ""),
    ):
        assert main(["srgan", *words, weights, "--precision=float16"]) == 1
        said = f"error: {before}{tmp_path}/photos/a.png: {name}the network's values are too"
        assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("weights", ["srgan", "espcn"])
def test_an_unknown_one_is_told(weights):
    with pytest.raises(ValueError, match="precision must be one of .* Received: 'half'"):
        Upscaler(weights, precision="half")


@pytest.mark.parametrize("weights", ["srresnet", "srgan", "srgan-photo"])
def test_bfloat16_costs_no_quality_and_tiles_keep_its_bits(weights):
    upscalers = [Upscaler(weights, tile=0, precision=name) for name in ("float32", "bfloat16")]
    lost = []
    for path in embedded_pictures().values():
        hr = crop_to_multiple(read_rgb(path), 4)[:320, :240]
        lr = downscale(hr, 4)
        exact, whole = (upscaler.upscale(lr) for upscaler in upscalers)
        # Each sum is rounded to 8 bits: 0.42 levels for srresnet, 0.50 for srgan, be its kernels rounded or not.
        assert np.abs(whole.astype(int) - exact).mean() < 0.6 and (whole != exact).any()
        lost.append(psnr(hr, exact, 4) - psnr(hr, whole, 4))
    assert np.mean(lost) < 0.02 and max(lost) < 0.04  # a single image lost 0.03 dB on AMD's AVX512_BF16
    tiled = Upscaler(weights, tile=33, precision="bfloat16").upscale(lr)
    assert (tiled == whole).all()
