"""The published scores of Ledig et al. 2017, tables 1 and 2 (arXiv 1609.04802v5), 4x."""

import dataclasses
import re

from srgan_tf.evaluation.records import Score

SCALE = 4
_COLUMNS = ("psnr", "paper_ssim", "mos")


@dataclasses.dataclass(frozen=True)
class PublishedSet:
    """The rows of a test set, and the number of its images."""

    pictures: int
    rows: tuple[Score, ...]


# Table 2; SRResNet-MSE and SRGAN-VGG54 are its SRResNet and SRGAN. The rows that only table 1 has are between them;
# there are none for BSD100.
_SETS = {
    "set5": (
        5,
        """
        nearest         26.26  0.7552  1.28
        bicubic         28.43  0.8211  1.97
        SRCNN           30.07  0.8627  2.57
        SelfExSR        30.33  0.8720  2.65
        DRCN            31.52  0.8938  3.26
        ESPCN           30.76  0.8784  2.89
        SRResNet-MSE    32.05  0.9019  3.37
        SRResNet-VGG22  30.51  0.8803  3.46
        SRGAN-MSE       30.64  0.8701  3.77
        SRGAN-VGG22     29.84  0.8468  3.78
        SRGAN-VGG54     29.40  0.8472  3.58
        HR              inf    1       4.32
    """,
    ),
    "set14": (
        14,
        """
        nearest         24.64  0.7100  1.20
        bicubic         25.99  0.7486  1.80
        SRCNN           27.18  0.7861  2.26
        SelfExSR        27.45  0.7972  2.34
        DRCN            28.02  0.8074  2.84
        ESPCN           27.66  0.8004  2.52
        SRResNet-MSE    28.49  0.8184  2.98
        SRResNet-VGG22  27.19  0.7807  3.15
        SRGAN-MSE       26.92  0.7611  3.43
        SRGAN-VGG22     26.44  0.7518  3.57
        SRGAN-VGG54     26.02  0.7397  3.72
        HR              inf    1       4.32
    """,
    ),
    "bsd100": (
        100,
        """
        nearest         25.02  0.6606  1.11
        bicubic         25.94  0.6935  1.47
        SRCNN           26.68  0.7291  1.87
        SelfExSR        26.83  0.7387  1.89
        DRCN            27.21  0.7493  2.12
        ESPCN           27.02  0.7442  2.01
        SRResNet-MSE    27.58  0.7620  2.29
        SRGAN-VGG54     25.16  0.6688  3.56
        HR              inf    1       4.46
    """,
    ),
}
NAMES = tuple(_SETS)
_OTHER_NAMES = {"bsds100": "bsd100", "b100": "bsd100"}


def set_key(name: str) -> str:
    """The name of a test set as in `NAMES`, from a name in any case, with or without `-`, `_` and spaces: "Set5",
    "set_14", "BSDS100"."""
    key = re.sub(r"[-_ ]", "", name.lower())
    return _OTHER_NAMES.get(key, key)


def find(name: str) -> PublishedSet | None:
    """The published scores of a test set, for a name that `set_key` knows; None if the paper does not have the set."""
    key = set_key(name)
    if key not in _SETS:
        return None
    pictures, text = _SETS[key]
    rows = []
    for line in text.strip().splitlines():
        system, *numbers = line.split()
        rows.append(Score(name, None, system, dict(zip(_COLUMNS, map(float, numbers))), published=True))
    return PublishedSet(pictures, tuple(rows))
