import io

import numpy as np
import pytest
from PIL import Image

from srgan_tf.evaluation.records import Score
from srgan_tf.evaluation.report import figures
from srgan_tf.evaluation.report.figures import CROP, PANEL, psnr_lpips, region, strip


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def changed(image, rows, columns):
    image = image.copy()
    image[rows, columns] = 255 - image[rows, columns]
    return image


def test_region_is_where_the_systems_differ_most():
    one = noise(200, 300)
    other = changed(one, slice(101, 101 + CROP), slice(37, 37 + CROP))
    other = changed(other, slice(0, 9), slice(250, 259))  # also different, but smaller
    assert region({"one": one, "other": other}) == (101, 37, CROP)


def test_region_asks_neither_hr_nor_nearest():
    one = noise(100, 300)
    other = changed(one, slice(20, 84), slice(200, 264))
    apart = changed(one, slice(0, 100), slice(0, 100))
    layers = {"LR": 255 - one, "nearest": apart, "one": one, "other": other, "HR": apart}
    assert region(layers) == (20, 200, 64)
    assert region({"one": one, "HR": apart})[1] <= 100 - CROP  # with one system, HR is all there is to compare it with


def test_region_of_equal_and_of_small_pictures():
    picture = noise(100, 200)
    assert region({"one": picture, "other": picture}) == (18, 68, CROP)
    small = noise(5, 9)
    assert region({"one": small, "other": changed(small, slice(0, 5), slice(7, 9))}) == (0, 4, 5)


def test_strip_shows_each_system_upscaled_by_nearest_beside_the_whole():
    layers = {name: noise(100, 200, seed) for seed, name in enumerate(("one", "other", "HR"))}
    sheet = np.asarray(strip(layers, (30, 40, 64), "title", {"one": Score("s", "p", "one", {"psnr": 20.0})}))
    panels = {}
    for number, name in enumerate(("whole", *layers)):
        left = 8 + number * (PANEL + 8)
        panels[name] = sheet[8 : 8 + PANEL, left : left + PANEL]
    for name, image in layers.items():
        np.testing.assert_array_equal(panels[name][2::4, 2::4], image[30:94, 40:104])
        np.testing.assert_array_equal(panels[name][::4, ::4], panels[name][3::4, 3::4])
    frame = (panels["whole"] == (255, 45, 85)).all(axis=2)
    rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
    scale = PANEL / 200
    above = (PANEL - 100 * scale) / 2
    assert abs(columns[0] - 40 * scale) <= 2 and abs(columns[-1] - 104 * scale) <= 2
    assert abs(rows[0] - above - 30 * scale) <= 2 and abs(rows[-1] - above - 94 * scale) <= 2


def test_strip_writes_names_and_scores_below_the_panels():
    layers = {"one": noise(64, 64), "other": noise(64, 64, 1)}
    bare = np.asarray(strip(layers, (0, 0, 64)))
    scored = np.asarray(strip(layers, (0, 0, 64), "", {"one": Score("s", "p", "one", {"psnr": 20.0})}))
    assert (bare != 255).any(axis=2)[8 + PANEL :, 280:].any()  # the names
    different = (bare != scored).any(axis=2)
    assert different[8 + PANEL :, 8 + PANEL + 8 : 8 + 2 * PANEL + 8].any()  # below "one"
    assert not different[: 8 + PANEL].any() and not different[:, 8 + 2 * (PANEL + 8) :].any()


def test_strip_breaks_into_rows_and_keeps_long_names_inside_their_panel():
    layers = {f"{'very ' * 30}{number}": noise(16, 16, number) for number in range(7)}
    sheet = strip(layers, (0, 0, 16))
    assert sheet.size == (6 * (PANEL + 8) + 8, 2 * (PANEL + 8 + 40) + 8)
    gaps = np.asarray(sheet)[:, [PANEL + 12 + number * (PANEL + 8) for number in range(5)]]
    assert (gaps == 255).all()


@pytest.mark.parametrize("sets", [1, 2, 5])
def test_figure_of_psnr_and_lpips(sets):
    rows = [
        Score(f"set{number}", None, system, {"psnr": psnr, "lpips": lpips})
        for number in range(sets)
        for system, psnr, lpips in (("$a_b^", 20, 0.3), ("ne\udcffar", 21, 0.301), ("c" * 40, 30, 0.1))
    ]
    unknown = [
        Score("set0", None, "published", {"psnr": 30}, published=True),
        Score("set0", None, "HR", {"psnr": float("inf"), "lpips": 0.0}),
    ]
    png, left_out = psnr_lpips(rows + unknown)
    assert left_out == unknown
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG" and image.width >= 900
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 24)}
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colors  # a point of each system


def test_no_figure_without_lpips():
    rows = [Score("set", None, "one", {"psnr": 20}), Score("set", None, "two", {"lpips": float("nan"), "psnr": 1})]
    assert psnr_lpips(rows) == (None, rows)


def test_names_in_the_figure_hide_nothing(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "png", lambda figure, dpi: drawn.append(figure))
    dial = zip(
        ("0", "0.25", "0.5", "0.75", "1"), (32.46, 32.42, 31.98, 31.27, 30.41), (0.137, 0.123, 0.103, 0.097, 0.105)
    )
    measured = [(f"strength-{strength}", *values) for strength, *values in dial]
    measured += [
        ("nearest", 27, 0.395),
        ("bicubic", 29.48, 0.302),
        ("theirs $1", 32.46, 0.137),
        ("a" * 30, 32.4, 0.125),
    ]
    rows = [Score("Set5", None, system, {"psnr": psnr, "lpips": lpips}) for system, psnr, lpips in measured]
    psnr_lpips(rows)
    (figure,) = drawn
    figure.draw_without_rendering()
    (axis,) = figure.axes
    shown = ["strength-0", "0.25", "0.5", "0.75", "1", "nearest", "bicubic", r"theirs \$1", "a" * 30]
    assert [text.get_text() for text in axis.texts] == shown
    for text in axis.texts:
        text.arrow_patch = None  # which counts as a part of the name
    names = [text.get_window_extent() for text in axis.texts]
    points = axis.transData.transform([values for _, *values in measured])
    for number, box in enumerate(names):
        assert not any(box.overlaps(other) for other in names[number + 1 :])
        assert not any(box.contains(*point) for point in points)
        assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
