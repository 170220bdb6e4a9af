"""What the pages show of the shipped weights, made anew: strip.png, limits.png, photo.png and invented.png, and the
calibration of the map of what is invented.

    python docs/figures.py VALID SET14 BSD100      # beside it needs matplotlib and scikit-image

VALID: the twelve held-out photographs of the model card; SET14 and BSD100: with HR/ and LR/, 4x. Every fifth image of
BSD100 is taken.
"""

import io
import itertools
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from skimage import data

from srgan_tf import Upscaler
from srgan_tf.data.folders import embedded_pictures, find_pairs
from srgan_tf.imaging.color import luma
from srgan_tf.imaging.files import read_rgb
from srgan_tf.imaging.resize import crop_to_multiple, downscale, upscale_bicubic, upscale_nearest
from srgan_tf.inference.invention import CALIBRATION, ErrorMapper
from srgan_tf.inference.invention_map import HIGH, LOW
from srgan_tf.weights import PHOTO_WEIGHTS

DOCS = Path(__file__).parent
PART = 512  # side of the parts of the held-out photographs, pixels
GAP = 4  # between pictures, pixels
BINS = np.array([*range(1, 10), *np.geomspace(10, 40, 12)])  # of the expected error, levels


def side_by_side(pictures, gap):
    """Pictures of one height on white."""
    height, width = pictures[0].shape[0], sum(picture.shape[1] + gap for picture in pictures) - gap
    canvas, left = np.full((height, width, 3), 255, np.uint8), 0
    for picture in pictures:
        canvas[:, left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return canvas


def jpeg(image, quality):
    """An image as a JPEG file leaves it."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=quality)
    return np.asarray(Image.open(encoded))


def save_table(rows, names, file):
    """Rows of pictures of one size, with a name above each column."""
    side, top = rows[0][0].shape[1], 22
    canvas = Image.new("RGB", ((side + GAP) * len(names) - GAP, top + (side + GAP) * len(rows) - GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for number, name in enumerate(names):
        draw.text(((side + GAP) * number + side // 2, 10), name, "black", font, anchor="mm")
    for number, pictures in enumerate(rows):
        canvas.paste(Image.fromarray(side_by_side(pictures, GAP)), (0, top + (side + GAP) * number))
    canvas.save(DOCS / file, optimize=True)


def draw_strip(srresnet, srgan):
    """The cat: nearest, bicubic, SRResNet, SRGAN, original."""
    cat = read_rgb(embedded_pictures()["chelsea"])[40:248, 110:318]
    lr = downscale(cat)
    pictures = [upscale_nearest(lr), upscale_bicubic(lr), srresnet.upscale(lr), srgan.upscale(lr), cat]
    Image.fromarray(side_by_side(pictures, 6)).save(DOCS / "strip.png", optimize=True)


def draw_limits(srresnet, srgan):
    """Text, a small face, an LR image that was a JPEG: bicubic, SRResNet, SRGAN, original."""
    photographs = embedded_pictures()
    page = np.stack([data.page()] * 3, -1)[8:184, 40:216]
    face = downscale(read_rgb(photographs["astronaut"]), 2)[:176, 40:216]
    cat = read_rgb(photographs["chelsea"])[20:196, 110:286]
    rows = []
    for hr, quality in ((page, None), (face, None), (cat, 40)):
        lr = downscale(hr)
        if quality:
            lr = jpeg(lr, quality)
        rows.append([upscale_bicubic(lr), srresnet.upscale(lr), srgan.upscale(lr), hr])
    save_table(rows, ("bicubic", "SRResNet", "SRGAN", "original"), "limits.png")


def draw_photo(srgan, photo):
    """A JPEG and a camera's photograph as they are, and a small JPEG: bicubic, SRGAN, SRGAN for photographs."""
    photographs = embedded_pictures()
    rocket = read_rgb(photographs["rocket"])[330:390, 280:340]
    motorcycle = read_rgb(photographs["motorcycle_left"])[250:310, 330:390]
    cat = jpeg(downscale(read_rgb(photographs["chelsea"])[30:270, 110:350]), 30)
    rows = [[upscale_bicubic(lr), srgan.upscale(lr), photo.upscale(lr)] for lr in (rocket, motorcycle, cat)]
    save_table(rows, ("bicubic", "srgan", "srgan-photo"), "photo.png")


def parts_of(photographs, scale):
    """HR and LR of two parts of each photograph, or of one where there are no two."""
    for path in sorted(Path(photographs).iterdir()):
        hr = crop_to_multiple(read_rgb(path), 4)
        top = (hr.shape[0] - PART) // 8 * 4
        for left in {0, hr.shape[1] - PART} if hr.shape[1] >= 2 * PART else {(hr.shape[1] - PART) // 8 * 4}:
            part = hr[max(top, 0) :][:PART, max(left, 0) :][:, :PART]
            yield part, downscale(part, scale)


def images_of(pairs, scale):
    """HR and LR of a test set, whose files of LR are for 4x."""
    for pair in pairs:
        hr = crop_to_multiple(read_rgb(pair.hr), scale)
        yield hr, read_rgb(pair.lr) if scale == 4 else downscale(hr, scale)


def errors_of(upscaler, images):
    """The expected and the true error of each pixel, levels of Y, an array each for each image."""
    mapper = ErrorMapper(upscaler)
    for hr, lr in images:
        expected = mapper(lr)
        difference = luma(np.float64(upscaler.upscale(lr))) - luma(np.float64(hr))
        yield expected.ravel(), np.sqrt(gaussian_filter(difference**2, 2)).ravel()


def root_mean_square(values):
    return np.sqrt(np.mean(np.square(values))) if values.size else np.nan


def calibrate(expected, true, scale):
    """The factor and the floor that fit the true error best, and the share of the variance that they explain.

    They fit the root mean square of the true error in fifty groups of as many pixels each, by its logarithm; what is
    explained is of the variance of the logarithm of each pixel's.
    """
    factor, floor = CALIBRATION[scale]
    spread = np.maximum((expected - floor) / factor, 0)
    order = np.array_split(np.argsort(spread), 50)
    means = np.array([spread[group].mean() for group in order])
    levels = np.array([root_mean_square(true[group]) for group in order])

    def fit(spread, true):
        tried = itertools.product(np.arange(1.0, 2.51, 0.02), np.arange(0.5, 2.01, 0.02))
        return min(
            (np.mean((np.log(factor * spread + floor) - np.log(true)) ** 2), factor, floor) for factor, floor in tried
        )

    _, factor, floor = fit(means, levels)
    return factor, floor, 1 - fit(spread, true)[0] / np.var(np.log(true))


def measure(upscaler, scale, valid, sets):
    """Prints how the map fits on each set of images; its curves, expected against true error, by the set's name."""
    images, curves = {"held out": parts_of(valid, scale)}, {}
    for folder, step in zip(sets, (1, 5)):
        name = Path(folder).name + (", every fifth" if step > 1 else "")
        images[name] = images_of(find_pairs(folder)[::step], scale)
    for name, pictures in images.items():
        errors = list(errors_of(upscaler, pictures))
        expected, true = (np.concatenate(values) for values in zip(*errors))
        if name == "held out":
            factor, floor, explained = calibrate(expected[::17], np.maximum(true[::17], 0.1), scale)
            print(f"{scale}x, {len(errors)} parts: factor {factor:.2f}, floor {floor:.2f}, explains {explained:.2f}")
        groups = (expected < LOW, (expected >= LOW) & (expected <= HIGH), expected > HIGH)
        shares, levels = zip(*((group.mean(), root_mean_square(true[group])) for group in groups))
        print(f"{name}: share " + ", ".join(f"{share:.0%}" for share in shares), end="; ")
        print("true " + ", ".join(f"{level:.1f}" for level in levels), f"high : low {levels[2] / levels[0]:.1f}")
        ratios = [root_mean_square(t[e > HIGH]) / root_mean_square(t[e < LOW]) for e, t in errors]
        print(f"    lowest high : low of an image {np.nanmin(ratios):.1f}; below 3: {np.sum(np.array(ratios) < 3)}")
        which = np.digitize(expected, BINS)
        curves[name] = [(expected[which == n].mean(), root_mean_square(true[which == n])) for n in np.unique(which)]
    return curves


def main(valid, *sets):
    srresnet, srgan = Upscaler.from_pretrained("srresnet"), Upscaler.from_pretrained("srgan")
    draw_strip(srresnet, srgan)
    draw_limits(srresnet, srgan)
    draw_photo(srgan, Upscaler.from_pretrained(PHOTO_WEIGHTS))

    measure(Upscaler.from_pretrained("srgan-x2"), 2, valid, sets)
    curves = measure(srgan, 4, valid, sets)
    figure, axes = plt.subplots(figsize=(5.8, 3.8), dpi=100)
    for name, points in curves.items():
        axes.plot(*zip(*points), marker="o", markersize=3, label=name)
    axes.plot([0, 40], [0, 40], "--", color="gray", linewidth=0.8)
    axes.axvline(LOW, color="silver"), axes.axvline(HIGH, color="silver")
    axes.set(xlim=(0, 36), ylim=(0, 36), xlabel="expected error, levels of 255")
    axes.set_ylabel("true error of Y, root mean square")
    axes.grid(alpha=0.3), axes.spines[["top", "right"]].set_visible(False), axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(DOCS / "invented.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
