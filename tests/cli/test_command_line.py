"""How a command ends by a signal."""

import os
import signal

import pytest

from srgan_tf.cli import command_line
from srgan_tf.system.atomic import atomic_file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_its_temporary_files(tmp_path, capsys, number):
    def write(_):
        with atomic_file(tmp_path / "picture.png", suffix=".png") as partial:
            partial.touch()
            assert len(list(tmp_path.iterdir())) == 1
            os.kill(os.getpid(), number)
            raise AssertionError("it goes on")

    assert command_line.run(write, []) == 128 + number
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(number) == signal.SIG_DFL
    assert capsys.readouterr().err == f"srgan: {number.name}: ended\n"


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command_line.run(lambda _: os.kill(os.getpid(), signal.SIGHUP) or 7, []) == 7
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
