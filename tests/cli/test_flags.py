import dataclasses

import pytest

from srgan_tf.cli.flags import AUTO, parse, setting
from srgan_tf.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Settings:
    """Do something.

    python script.py
    """

    memory: int = setting(AUTO, "memory", lower=1000, size=True)
    factor: float = setting(1.0, "factor", lower=0)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2000", 2000),
        ("1234B", 1234),
        ("2GiB", 2 * 1024**3),
        ("500MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("1.5kib", 1536),
        ("3K", 3 * 1024),
        ("2g", 2 * 1024**3),
        ("1TB", 10**12),
        ("0.5TiB", 2**39),
        ("auto", "auto"),
    ],
)
def test_sizes(text, expected):
    memory = parse(Settings, ["script.py", f"--memory={text}"]).memory
    assert memory == expected and type(memory) is type(expected)


@pytest.mark.parametrize(
    "text, said",
    [
        ("2Q", "not a size such as 2GiB"),
        ("GiB", "not a size"),
        ("-1GiB", "not a size"),
        ("1,5GB", "not a size"),
        ("1e9", "not a size"),
        ("999", "999 bytes, must be 1000 or more"),
        ("0.5K", "512 bytes, must be 1000 or more"),
    ],
)
def test_what_is_no_size(text, said):
    with pytest.raises(UserError) as error:
        parse(Settings, ["script.py", f"--memory={text}"])
    assert said in str(error.value) and "--memory" in str(error.value) and "\n" not in str(error.value)


def test_a_stray_argument_may_be_an_unquoted_pattern():
    with pytest.raises(UserError, match="'b.png': .* --name=value, in quotes where"):
        parse(Settings, ["script.py", "--factor=1", "b.png"])
