import pytest

from srgan_tf.system.terminal import counted, printable, say


@pytest.mark.parametrize(
    "text, shown",
    [
        ("photo ü 写真.png", "photo ü 写真.png"),
        ("a\x1b]0;title\x07.png", "a\\x1b]0;title\\x07.png"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("a\x7f\x80\x9f", "a\\x7f\\x80\\x9f"),
        ("gnp.\u061c\u202e\u2066\u2028\u2029", "gnp.\\u061c\\u202e\\u2066\\u2028\\u2029"),
        ("\udcff", "\udcff"),  # for the stream, which has a rule for what is no text
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == shown


def test_one_thing_is_no_plural():
    assert [counted(number, "step") for number in (0, 1, 2, 1000)] == ["0 steps", "1 step", "2 steps", "1,000 steps"]


def test_each_line_is_one_line(capsys):
    say("one\ntwo", 3, "")
    assert capsys.readouterr().out == "one\\ntwo\n3\n\n"
