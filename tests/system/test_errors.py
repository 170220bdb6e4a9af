import errno
import json
import lzma

import pytest

from srgan_tf.system.errors import DAMAGE, UserError, exit_status, file_errors, reason, user_errors


@pytest.mark.parametrize(
    "error, line",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("unable to open file\nwith a trace"), "unable to open file"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_reason_is_one_line(error, line):
    assert reason(error) == line


def test_errors_name_the_file_what_is_wrong_and_what_to_do():
    with pytest.raises(UserError) as raised, user_errors("a.npz", "damaged", of=DAMAGE, advice="get it again"):
        raise KeyError("kernel")
    assert str(raised.value) == "a.npz: damaged ('kernel'); get it again"
    with pytest.raises(UserError) as raised, user_errors("a.npz", "cannot be read"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert str(raised.value) == "a.npz: cannot be read (Permission denied)"


@pytest.mark.parametrize("error", [UserError("b.npz: missing"), BrokenPipeError(), AssertionError()])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, user_errors("a.npz", "damaged", of=(OSError, *DAMAGE)):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    "read",
    [
        lambda: {}["kernel"],
        lambda: json.loads("["),
        lambda: json.loads("[" * 100_000),
        lambda: json.loads(7),  # a TypeError of a library
        lambda: lzma.decompress(b"no"),
        lambda: b"\xff".decode(),
        lambda: 1 / 0,
    ],
)
def test_whatever_a_file_raises_names_it_in_one_line(read):
    with pytest.raises(UserError, match=r"^a.json: damaged \(.+\); get it again$") as raised:
        with file_errors("a.json", "damaged", advice="get it again"):
            read()
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_opened_is_not_called_damaged():
    with pytest.raises(UserError, match=r"^a.json: cannot be read \(Permission denied\)$"):
        with file_errors("a.json", "damaged"):
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("error", [NameError, AssertionError, ImportError, BrokenPipeError, KeyboardInterrupt])
def test_what_no_file_can_raise_is_shown_as_it_is(error):
    with pytest.raises(error), file_errors("a.json", "damaged"):
        raise error("here")


def test_a_mistake_of_the_program_is_shown_as_it_is():
    with pytest.raises(TypeError), file_errors("a.json", "damaged"):
        exit_status("srgan", None)  # it calls that
    with pytest.raises(UserError), file_errors("a.json", "damaged"):
        len(5)  # in a module that is not of the package, as a library is


def test_a_message_is_one_line_that_commands_no_terminal():
    assert str(UserError("a\nb\x1b[2J\r\x9b\u202ec: ü \udcff")) == "a\\nb\\x1b[2J\\r\\x9b\\u202ec: ü \udcff"
