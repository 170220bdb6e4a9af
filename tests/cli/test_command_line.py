"""How a command ends by a signal, and without a place to print to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.mark.parametrize("said", ["", "Unable to allocate 7 GiB"])
def test_a_lack_of_memory_is_no_traceback(capsys, said):
    def grow(_):
        raise MemoryError(*filter(None, [said]))

    assert command_line.run(grow, []) == 1
    assert capsys.readouterr().err == f"srgan: error: {said or 'out of memory'}\n"


@pytest.mark.parametrize(
    "redirection, status, said",
    [
        (">/dev/full", 1, "srgan: error: standard output: No space left on device\n"),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(tmp_path, redirection, status, said):
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux' /dev/full")
    Image.new("RGB", (24, 24)).save(tmp_path / "a.png")
    words = ["degrade", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    command = [sys.executable, "-c", "import sys; from srgan_tf.cli.main import main; sys.exit(main())", *words]
    ended = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", *command], stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (status, said)
    assert Image.open(tmp_path / "b.png").size == (6, 6)
