import dataclasses
from pathlib import Path

import pytest

from srgan_tf.imaging.degradation.ranges import Ranges, parse_ranges, shown

PAGE = Path(__file__).parents[3] / "docs/photos.md"


def test_names_are_changed_and_others_kept():
    assert parse_ranges("") == Ranges()
    assert parse_ranges("quality=60:95, noise=0.3  sigma_1=1") == Ranges(quality=(60, 95), noise=0.3, sigma_1=(1, 1))


@pytest.mark.parametrize(
    "text, message",
    [
        ("qualty=60:95", "'qualty' is none of clean, blur"),
        ("quality", "quality must be given once, as quality=30:95"),
        ("noise=0.1 noise=0.2", "noise must be given once, as noise=0.6"),
        ("quality=95:60", "quality=95:60 must be LOWEST:HIGHEST within 1 and 100"),
        ("quality=0:60", "quality=0:60 must be LOWEST:HIGHEST within 1 and 100"),
        ("noise=0.1:0.2", "noise=0.1:0.2 must be a number within 0 and 1"),
        ("noise=much", "noise=much must be a number"),
        ("photons=nan", "photons=nan must be LOWEST:HIGHEST"),
        ("photons=1:2:3", "photons=1:2:3 must be LOWEST:HIGHEST"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_ranges(text)


def test_the_page_has_the_table():
    rows = [
        f"| `{row.name}` | {shown(row.default)} | {row.metadata['unit']} | {row.metadata['what']} |"
        for row in dataclasses.fields(Ranges)
    ]
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8")
    assert parse_ranges(" ".join(f"{row.name}={shown(row.default)}" for row in dataclasses.fields(Ranges))) == Ranges()
