import logging
import os
import subprocess
import sys
import tempfile
import warnings

import pytest

from srgan_tf.system.errors import UserError
from srgan_tf.system.quiet import import_tensorflow, quiet


def say_everything():
    print("printed")
    print("to error", file=sys.stderr)
    os.write(1, b"by C\n")
    os.write(2, b"by C, to error\n")
    warnings.warn("warned", stacklevel=1)
    subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    logging.getLogger("a converter").warning("logged")


def test_nothing_comes_through_and_all_but_warnings_is_held(capfd):
    print("before")
    with quiet() as held:
        say_everything()
        assert held == []
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "")
    for text in ("printed", "to error", "by C", "by C, to error", "by a child"):
        assert text in held[0].splitlines()


def test_an_error_passes_and_the_terminal_is_back(capfd):
    with pytest.raises(ValueError, match="mine"):
        with quiet() as held:
            print("printed")
            raise ValueError("mine")
    os.write(1, b"back\n")
    os.write(2, b"back, too\n")
    assert capfd.readouterr() == ("back\n", "back, too\n") and held == ["printed\n"]


def test_without_a_folder_for_temporary_files_tensorflow_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc"])
    with pytest.raises(UserError, match=r"No usable temporary directory found in \['/proc'\]\); set TMPDIR to"):
        import_tensorflow()
    assert "tensorflow" not in sys.modules
