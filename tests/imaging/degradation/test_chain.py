"""Chains: what is drawn, and that they are applied as drawn, exactly aligned with HR."""

import collections
import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, special, stats

from srgan_tf.imaging.degradation import steps
from srgan_tf.imaging.degradation.chain import Degradation
from srgan_tf.imaging.degradation.ranges import Ranges
from srgan_tf.imaging.resize import downscale, imresize

NOISES = ("GaussianNoise", "PoissonNoise")


@pytest.fixture(scope="module")
def photograph():
    """Waves of all lengths and directions in three colours, uint8 `(112, 96, 3)`."""
    y, x = np.mgrid[:112, :96]
    waves = [np.sin(x * y / (300 + 40 * channel) + channel) + np.sin(x / 9 - y / 7) for channel in range(3)]
    return np.rint(127 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)


def _filtered(picture, step):
    t = (step["size"] - 1) // 2
    kernel = np.zeros((2 * t + 1, 2 * t + 1))
    for j in range(-t, t + 1):
        for i in range(-t, t + 1):
            if step["step"] == "SincFilter":
                r, w = np.hypot(i, j), step["cutoff"]
                kernel[j + t, i + t] = w / (2 * np.pi * r) * special.jv(1, w * r) if r else w**2 / (4 * np.pi)
            else:
                u = i * np.cos(step["angle"]) + j * np.sin(step["angle"])
                v = j * np.cos(step["angle"]) - i * np.sin(step["angle"])
                square = (u / step["sigmas"][0]) ** 2 + (v / step["sigmas"][1]) ** 2
                kernel[j + t, i + t] = np.exp(-(square ** step["exponent"]) / 2)
    return ndimage.convolve(picture.astype(float), (kernel / kernel.sum())[..., None], mode="nearest")


def _resized(picture, height, width, method):
    if picture.shape[:2] == (height, width):
        return picture
    if method == "bicubic":
        return imresize(picture, height, width)
    if method == "area":
        for count in (height, width):
            parts = picture.repeat(count, axis=0).reshape(count, *picture.shape).mean(axis=1)
            picture = parts.swapaxes(0, 1)
        return picture
    return np.array(Image.fromarray(picture).resize((width, height), getattr(Image, method.upper())))


def _compressed(picture, quality, subsampling):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.array(Image.open(file))


def _noisy(picture, step, normals):
    if step["step"] == "GaussianNoise":
        return picture + step["sigma"] * normals
    seen = np.array(Image.fromarray(picture).convert("L"))[..., None] if step["gray"] else picture
    means = seen / 255 * step["photons"]
    counts = np.rint(means + np.sqrt(means) * normals + (normals**2 - 1) / 6).clip(0) * (means > 0)
    return picture + (counts - means) / step["photons"] * 255


def _independently(record, hr, words):
    """Applies a chain from its record alone, by the shortest code of SciPy and Pillow. `words` are its raw numbers."""
    picture = hr
    for step in record:
        if step["step"] in ("GaussianBlur", "SincFilter"):
            picture = _filtered(picture, step)
        elif step["step"] == "Resize":
            picture = _resized(picture, *(round(side * step["factor"]) for side in hr.shape[:2]), step["method"])
        elif step["step"] == "Jpeg":
            picture = _compressed(picture, step["quality"], step["subsampling"])
        else:
            shape = (*picture.shape[:2], 1 if step["gray"] else 3)
            normals = stats.norm.ppf((words[: np.prod(shape)].reshape(shape) + 0.5) / 65536)
            words = words[-(-np.prod(shape) // 4) * 4 :]
            picture = _noisy(picture, step, normals)
        picture = np.rint(picture).clip(0, 255).astype(np.uint8)
    return picture


def test_a_chain_is_applied_as_it_is_recorded(photograph):
    degradation = Degradation(4, seed=5)
    seen, differences = set(), []
    for number in range(40):
        chain = degradation.draw(number)
        record = json.loads(json.dumps(chain.record()))
        seen |= {step["step"] for step in record}
        bits = np.random.Philox(key=5 | ((1 << 64) - 1) << 64, counter=number << 128 | 1 << 64)
        expected = _independently(record, photograph, bits.random_raw(100_000).astype("<u8").view("<u2"))
        lr = chain.apply(photograph)
        assert lr.shape == (28, 24, 3) and lr.dtype == np.uint8
        differences.append(np.abs(lr - expected.astype(int)).mean())
    # A count of photons or a rounding at a tie may fall to the other side, which a JPEG spreads over its block.
    assert np.mean(np.equal(differences, 0)) > 0.75 and max(differences) < 1
    assert seen == {"GaussianBlur", "SincFilter", "Resize", "Jpeg", *NOISES}


# Of `_independently`, for seed 0 and numbers 1 to 4: pixels (3, 5), (14, 12), (24, 20).
GOLDEN = [
    [[207, 207, 171], [93, 101, 104], [167, 179, 179]],
    [[182, 194, 161], [119, 122, 118], [179, 126, 126]],
    [[198, 203, 163], [105, 106, 98], [165, 171, 169]],
    [[209, 208, 178], [100, 102, 100], [165, 167, 162]],
]


@pytest.mark.parametrize("number, golden", list(enumerate(GOLDEN, 1)))
def test_the_draws_stay_what_they_are(photograph, number, golden):
    lr = Degradation(4).draw(number).apply(photograph)
    assert np.abs(lr[[3, 14, 24], [5, 12, 20]] - np.array(golden)).max() <= 1


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_without_strength_it_is_bicubic(photograph, scale):
    for number in range(5):
        lr = Degradation(scale, strength=0.0).draw(number).apply(photograph)
        np.testing.assert_array_equal(lr, downscale(photograph, scale))


def test_strength_goes_from_bicubic_to_full(photograph):
    bicubic = downscale(photograph).astype(int)

    def distance(strength):
        chains = [Degradation(4, strength).draw(number) for number in range(60)]
        return np.mean([np.abs(chain.apply(photograph) - bicubic).mean() for chain in chains])

    distances = [distance(strength) for strength in (0.02, 0.25, 0.5, 0.75, 1.0)]
    assert distances[0] < 0.3 and distances == sorted(distances)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale, strength", [(8, 1.0), (2, 1.0), (4, 1e-300)])
def test_small_crops_and_strengths_are_possible(photograph, scale, strength):
    hr = photograph[: 6 * scale, : 4 * scale]
    for number in range(100):
        lr = Degradation(scale, strength).draw(number).apply(hr)
        assert lr.shape == (6, 4, 3)
        if strength < 1:
            np.testing.assert_array_equal(lr, downscale(hr, scale))


def test_a_draw_is_a_function_of_seed_and_number():
    forwards = [Degradation(4, seed=2).draw(number) for number in range(30)]
    backwards = [Degradation(4, seed=2).draw(number) for number in reversed(range(30))]
    assert forwards == backwards[::-1]
    assert len({chain.steps for chain in forwards}) > 20
    assert forwards != [Degradation(4, seed=3).draw(number) for number in range(30)]
    assert Degradation(4, seed=2**32 - 1).draw(2**64 - 1).steps


@pytest.fixture(scope="module")
def chains():
    return [Degradation(4).draw(number) for number in range(4000)]


def _is_share(count, total, probability):
    return abs(count - total * probability) <= 4 * np.sqrt(total * probability * (1 - probability)) + 1


def test_parts_are_drawn_with_their_probabilities(chains):
    ranges, total = Ranges(), len(chains)
    clean = [chain for chain in chains if chain.steps == (steps.Resize(1 / 4, "bicubic"),)]
    assert _is_share(len(clean), total, ranges.clean)
    drawn = [step for chain in chains for step in chain.steps]
    counts = collections.Counter(type(step).__name__ for step in drawn)
    rounds = 2 * (1 - ranges.clean) * total
    blurs, finals = rounds * ranges.blur, rounds / 2 * ranges.final_sinc
    assert _is_share(counts["GaussianBlur"], blurs, 1 - ranges.sinc)
    assert _is_share(counts["SincFilter"], blurs + finals, (blurs * ranges.sinc + finals) / (blurs + finals))
    assert _is_share(counts["GaussianNoise"], rounds, ranges.noise * (1 - ranges.poisson))
    assert _is_share(counts["PoissonNoise"], rounds, ranges.noise * ranges.poisson)
    assert _is_share(counts["Jpeg"], rounds, ranges.jpeg)
    assert _is_share(counts["Resize"] - total, rounds, ranges.resize)
    gaussians = [step for step in drawn if isinstance(step, steps.GaussianBlur)]
    anisotropic = sum(step.sigmas[0] != step.sigmas[1] for step in gaussians)
    assert _is_share(anisotropic, len(gaussians), ranges.anisotropic)
    assert _is_share(sum(step.exponent != 1 for step in gaussians), len(gaussians), ranges.generalised)
    noises = [step for step in drawn if type(step).__name__ in NOISES]
    assert _is_share(sum(step.gray for step in noises), len(noises), ranges.gray)
    jpegs = [step for step in drawn if isinstance(step, steps.Jpeg)]
    assert _is_share(sum(step.subsampling == "4:2:0" for step in jpegs), len(jpegs), ranges.subsampling)


def _spans(values, limits):
    """Whether many values fill their limits."""
    low, high = limits
    return low <= min(values) < low + 0.05 * (high - low) and high - 0.05 * (high - low) < max(values) <= high


def test_amounts_fill_their_ranges(chains):
    ranges = Ranges()
    values = collections.defaultdict(list)
    for chain in chains:
        for step in chain.steps:
            for name, value in vars(step).items():
                values[type(step).__name__, name].append(value)
    assert set(values["GaussianBlur", "size"]) == set(range(7, 22, 2))
    assert _spans(values["SincFilter", "cutoff"], ranges.cutoff)
    assert _spans([sigma for sigmas in values["GaussianBlur", "sigmas"] for sigma in sigmas], ranges.sigma_1)
    assert _spans([value for value in values["GaussianBlur", "exponent"] if value != 1], ranges.exponent)
    assert _spans(values["GaussianNoise", "sigma"], ranges.noise_sigma)
    assert _spans(np.log(values["PoissonNoise", "photons"]), np.log(ranges.photons))
    assert set(values["Jpeg", "quality"]) == set(range(30, 96))
    assert set(values["Resize", "method"]) == set(steps.METHODS)
    factors = np.log(values["Resize", "factor"])
    assert _spans(factors, np.log((ranges.resize_2[0] / 4, ranges.resize_1[1])))


def test_the_order_is_random_and_ends_at_the_size_of_lr(chains):
    first, ends = collections.Counter(), collections.Counter()
    for chain in chains:
        if len(chain.steps) > 1:
            first[type(chain.steps[0]).__name__] += 1
            ends[type(chain.steps[-1]).__name__] += 1
        last = [step for step in chain.steps if isinstance(step, steps.Resize)][-1]
        assert last.factor == 1 / 4
    assert min(first[name] for name in ("GaussianBlur", "Resize", "Jpeg", "GaussianNoise")) > 0.1 * len(chains)
    assert set(ends) == {"Jpeg", "Resize", "SincFilter"} and min(ends.values()) > 0.1 * len(chains)


def test_degraded_pictures_are_not_shifted():
    # The centre of a blot is where it was: row r of HR at (r + 0.5) / 4 - 0.5 of LR.
    degradation = Degradation(4, ranges=Ranges(clean=0, noise=0))
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:160, :192]
    shifts = []
    for number in range(150):
        centre = rng.uniform(70, 90, 2)
        blot = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * 12**2))
        hr = np.repeat(np.rint(30 + 200 * blot).astype(np.uint8)[..., None], 3, axis=2)
        lr = degradation.draw(number).apply(hr).mean(axis=2) - 30
        lr[lr < 20] = 0
        found = np.array([np.average(index, weights=lr) for index in np.mgrid[:40, :48]])
        shifts.append(found - ((centre + 0.5) / 4 - 0.5))
    assert np.abs(shifts).max() < 0.15, "LR pixels"
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.01
