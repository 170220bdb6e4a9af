"""Files that are read whole."""

import os

import pytest

from srgan_tf.cli.flags import parse
from srgan_tf.cli.train import Settings
from srgan_tf.evaluation import lfw
from srgan_tf.system.bounded import TEXT_BYTES, read_bounded
from srgan_tf.system.errors import UserError
from srgan_tf.system.json_files import read_json


def test_no_more_is_read_than_a_file_may_have(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    for path, most in ((tmp_path / "a", 4), ("/dev/zero", 2**20)):
        with pytest.raises(ValueError, match=r"^longer than \d MiB"):
            read_bounded(path, most)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_json(path, dict, "damaged"),
        lambda path: lfw.read_pairs(path, path.parent),
        lambda path: parse(Settings, ["srgan train", f"--flagfile={path}"]),
    ],
    ids=["json", "pairs", "flags"],
)
def test_a_text_file_that_is_too_long_is_one_line(tmp_path, read):
    path = tmp_path / "long"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(UserError, match=f"long: .*longer than {TEXT_BYTES >> 20} MiB") as error:
        read(path)
    assert "\n" not in str(error.value)
