import math

import pytest

from srgan_tf.evaluation import published


@pytest.mark.parametrize(
    "name, pictures, system, psnr, ssim, mos",
    [
        # Ledig et al. 2017 (arXiv 1609.04802v5): table 2, and what only table 1 has.
        ("set5", 5, "SelfExSR", 30.33, 0.872, 2.65),
        ("Set5", 5, "SRGAN-VGG22", 29.84, 0.8468, 3.78),
        ("Set 14", 14, "DRCN", 28.02, 0.8074, 2.84),
        ("set14", 14, "SRResNet-VGG22", 27.19, 0.7807, 3.15),
        ("BSD100", 100, "SRResNet-MSE", 27.58, 0.7620, 2.29),
        ("BSDS_100", 100, "SRGAN-VGG54", 25.16, 0.6688, 3.56),
    ],
)
def test_figures(name, pictures, system, psnr, ssim, mos):
    found = published.find(name)
    (row,) = [row for row in found.rows if row.system == system]
    assert (found.pictures, row["psnr"], row["paper_ssim"], row["mos"]) == (pictures, psnr, ssim, mos)


def test_the_originals_are_the_best():
    for name in ("set5", "set14", "bsd100"):
        *others, hr = published.find(name).rows
        assert hr.system == "HR" and math.isinf(hr["psnr"])
        assert all(row["mos"] < hr["mos"] and 20 < row["psnr"] < 33 and 0.6 < row["paper_ssim"] < 1 for row in others)
        assert len({row.system for row in others}) == len(others)


def test_bsd100_has_no_row_of_table_1():
    names = [row.system for row in published.find("bsd100").rows]
    assert names == ["nearest", "bicubic", "SRCNN", "SelfExSR", "DRCN", "ESPCN", "SRResNet-MSE", "SRGAN-VGG54", "HR"]


@pytest.mark.parametrize("name", ["urban100", "set", "", "myset5", "set55"])
def test_other_sets(name):
    assert published.find(name) is None
