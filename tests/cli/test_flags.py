import dataclasses

import pytest

from srgan_tf.cli.flags import AUTO, parse, setting
from srgan_tf.system.errors import UsageError, UserError


@dataclasses.dataclass(frozen=True)
class Settings:
    """Do something.

    python script.py
    """

    memory: int = setting(AUTO, "memory", lower=1000, size=True)
    factor: float = setting(1.0, "factor", lower=0)
    count: int = setting(1, "count")


@dataclasses.dataclass(frozen=True)
class Words:
    """Do something with words.

    script.py here there
    """

    source: str = setting("", "where from", positional="SOURCE", required=True)
    others: str = setting((), "further ones", positional="OTHER", many=True)
    quick: bool = setting(False, "at once")


@dataclasses.dataclass(frozen=True)
class Instead:
    """Read something."""

    file: str = setting("", "what to read", positional="FILE", only_word=True, required=True, unless=("old",))
    output: str = setting("", "where to", positional="OUTPUT")
    old: str = setting("", "what to read, in the old form")


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
        ("9" * 400, "must be 1,048,576 TiB or less"),
        ("9" * 5_000 + "TiB", "must be 1,048,576 TiB or less"),
    ],
)
def test_what_is_no_size(text, said):
    with pytest.raises(UserError) as error:
        parse(Settings, ["script.py", f"--memory={text}"])
    assert said in str(error.value) and "--memory" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["1e308", "-1e308", "1e999", "nan", "9" * 5_000, "", "1_0e400"])
def test_absurd_numbers_are_refused(text):
    for flag in ("factor", "count"):
        with pytest.raises(UsageError, match=flag) as error:
            parse(Settings, ["script.py", f"--{flag}={text}"])
        assert "\n" not in str(error.value)


def test_names_that_no_file_can_have_are_refused():
    for words, said in (
        (["é" * 128], "--source: the name .* has 256 bytes; systems allow 255"),
        (["a/" + "b" * 300 + "/c"], "--source: the name bbbbbbbbbbbbbbbbbbbb... has 300 bytes"),
        (["a", "name=/x/" + "b" * 256], "--others: the name .* has 256 bytes"),
        (["a\0b"], "--source=a.x00b: has a null byte"),
    ):
        with pytest.raises(UsageError, match=said):
            parse(Words, ["script.py", *words])
    assert parse(Words, ["script.py", "é" * 127 + "/" + "b" * 255]).source


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00--quick", b"--source=a\0b", b"--\x80", bytes(range(256)), b"--quick=\x1b"]
)
def test_a_binary_flag_file_is_one_line(tmp_path, content):
    (tmp_path / "flags").write_bytes(content)
    with pytest.raises(UsageError) as error:
        parse(Words, ["script.py", "a", f"--flagfile={tmp_path}/flags"])
    assert len(str(error.value).splitlines()) == 1
    (tmp_path / "more").write_text(f"--flagfile={tmp_path}/flags")
    with pytest.raises(UsageError):
        parse(Words, ["script.py", "a", f"--flagfile={tmp_path}/more"])


def test_a_flag_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "flags").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="--flagfile=.*/flags: not text"):
        parse(Words, ["script.py", "a", f"--flagfile={tmp_path}/flags"])


def test_a_stray_argument_may_be_an_unquoted_pattern():
    with pytest.raises(UserError, match="'b.png': .* --name=value, in quotes where"):
        parse(Settings, ["script.py", "--factor=1", "b.png"])


def test_words_stand_for_flags_in_the_order_of_the_fields():
    assert parse(Words, ["script.py", "a"]) == Words("a", ())
    assert parse(Words, ["script.py", "-", "--quick", "b", "c"]) == Words("-", ("b", "c"), True)
    assert parse(Words, ["script.py", "--source=a", "--others=b", "--others=c"]) == Words("a", ("b", "c"))
    assert parse(Words, ["script.py", "--", "--a"]) == Words("--a")
    assert parse(Words, ["script.py", "a", "--source=b"]) == Words("b", ("a",))


def test_a_flag_may_stand_in_the_place_of_a_word(capsys):
    assert parse(Instead, ["script.py", "a", "b"]) == Instead("a", "b")
    assert parse(Instead, ["script.py", "--old=a", "b"]) == Instead("", "b", "a")
    for words, said in (
        ([], "script.py needs FILE or --old "),
        (["--file=a"], "unknown flag --file: give FILE without it"),
        (["a", "b", "c"], "stray argument 'c': script.py takes FILE OUTPUT"),
    ):
        with pytest.raises(UsageError, match=said):
            parse(Instead, ["script.py", *words])
    with pytest.raises(SystemExit):
        parse(Instead, ["script.py", "--help"])
    page = capsys.readouterr().out
    assert "usage: script.py FILE [OUTPUT]" in page and "  FILE\n      what to read. Required, or --old\n" in page


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "script.py needs SOURCE or --source"),
        (["--others=b"], "script.py needs SOURCE or --source"),
        (["a", "b", "--others=c"], "stray argument 'b': script.py takes SOURCE OTHER and flags"),
        (["--source=a", "--source=b"], "--source=b: already defined as a"),
        (["--source="], "--source is given without a value"),
        ([""], "--source is given without a value"),
        (["a", "--quik"], "Did you mean: quick ?"),
        (["a", "--noquick=1"], "--noquick=1 does not take an argument"),
    ],
)
def test_words_that_are_wrong(words, said):
    with pytest.raises(UsageError) as error:
        parse(Words, ["script.py", *words])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_home_folder_is_found_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = parse(Words, ["script.py", "~/a", "name=~/g.weights.h5", "~/b"])
    assert settings == Words("/home/somebody/a", ("name=/home/somebody/g.weights.h5", "/home/somebody/b"))


def test_help_shows_words_and_flags(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Words, ["script.py", "--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    assert "usage: script.py SOURCE [OTHER ...] [--flag=value ...]\n\n  script.py here there\n" in page
    assert "  --quick\n      at once. Default: off" in page and "where from. Required" in page
