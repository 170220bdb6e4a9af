import errno

import pytest

from srgan_tf.system.errors import DAMAGE, UserError, reason, user_errors


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
