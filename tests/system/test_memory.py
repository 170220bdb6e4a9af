import time
from pathlib import Path

import numpy as np
import pytest

from srgan_tf.system import memory


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = memory.free_host_bytes()
    assert whole > 10**8
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\nfile 500000\nactive_file 200000\ninactive_file 300000\n")
    assert memory.free_host_bytes() == 600000  # what was read of files does not count
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_host_bytes() > 10**8


def test_a_peak_is_seen_though_it_is_over():
    before = memory.resident_bytes()
    with memory.watched_peak() as peak:
        taken = np.ones(80_000_000, np.uint8)
        time.sleep(0.1)
        del taken
    assert peak[0] - before > 75e6 > memory.resident_bytes() - before


def test_what_a_process_takes_is_counted():
    if not Path("/proc/self/status").exists():
        pytest.skip("reads what Linux tells")
    before = memory.resident_bytes()
    taken = np.ones(50_000_000, np.uint8)
    assert 45e6 < memory.resident_bytes() - before < 60e6
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    assert abs(memory.resident_bytes() - int(line.split()[1]) * 1024) < 20e6 and taken[0] == 1
