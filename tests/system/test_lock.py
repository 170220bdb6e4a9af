import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.system.lock import run_lock

HOLDER = """
import sys
from srgan_tf.system.lock import run_lock
with run_lock(sys.argv[1]):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    repository = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"has it\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_and_told_who_has_the_folder(tmp_path, holder):
    with pytest.raises(UserError) as error, run_lock(tmp_path):
        pass
    for word in (str(tmp_path), f"process {holder.pid}", socket.gethostname(), "--run_dir"):
        assert word in str(error.value)
    (tmp_path / "process.json").write_text("{")
    with pytest.raises(UserError, match="another process is training"), run_lock(tmp_path):
        pass
    holder.communicate()  # it ends by itself
    with run_lock(tmp_path):
        assert json.loads((tmp_path / "process.json").read_text())["process"] == os.getpid()
    assert not (tmp_path / "process.json").exists()


def test_a_killed_process_does_not_stand_in_the_way_and_is_cleared_up_after(tmp_path, holder):
    half = tmp_path / ".checkpoint-00000001.npz.0123abcd-77-0123abcd.part"
    half.touch()
    with pytest.raises(UserError), run_lock(tmp_path):
        pass
    assert half.exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with run_lock(tmp_path):
        assert not half.exists()


def test_a_folder_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/run: cannot be written"), run_lock(tmp_path / "file" / "run"):
        pass
