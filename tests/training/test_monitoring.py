import json
import os
import re
import time
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from srgan_tf.system.errors import UserError
from srgan_tf.training.monitoring import Monitor


def _session(folder, start, steps):
    """What a run reports that begins at `start`; the loss says which session it was."""
    monitor = Monitor(folder, start=start, total=20, name="test")
    for step in steps:
        monitor.scalars(step, {"g_loss": float(start), "images_per_s": 1.0, "input_wait_share": 0.0})
    monitor.close()
    time.sleep(1.1)  # TensorBoard orders a run's files by the second in their names


def _curve(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors("g_loss")]


def test_a_resumed_run_is_one_curve(tmp_path):
    """Killed at 6 after a checkpoint at 4, then at 7, without a checkpoint between."""
    _session(tmp_path, 0, range(1, 7))
    _session(tmp_path, 4, (5, 6, 7))
    _session(tmp_path, 4, (5, 6))
    expected = [(1, 0), (2, 0), (3, 0), (4, 0), (5, 4), (6, 4)]
    assert _curve(tmp_path) == expected
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [(line["step"], line["g_loss"]) for line in lines] == expected


def test_a_run_that_starts_anew_drops_all(tmp_path):
    _session(tmp_path, 0, (0, 1, 2))
    _session(tmp_path, 0, (0, 1))
    assert [step for step, _ in _curve(tmp_path)] == [0, 1]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_folder_need_not_have_a_name_that_is_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for start in (0, 1):
        Monitor(folder, start=start, total=20, name="test").close()
    assert len(list(folder.glob("events.*"))) == 3


def test_numbers_that_json_does_not_have_are_null(tmp_path):
    monitor = Monitor(tmp_path, start=0, total=20, name="test")
    monitor.scalars(1, {"g_loss": np.nan, "g_grad_norm": np.inf, "images_per_s": 1.5, "input_wait_share": 0.0})
    monitor.close()
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    found = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found | {"time": 0} == {
        **{"step": 1, "time": 0, "g_loss": None, "g_grad_norm": None},
        **{"images_per_s": 1.5, "input_wait_share": 0.0},
    }
    Monitor(tmp_path, start=1, total=20, name="test").close()
    assert (tmp_path / "metrics.jsonl").read_text() == line + "\n"


def test_a_first_session_starts_no_second_file(tmp_path):
    Monitor(tmp_path, start=0, total=20, name="test").close()
    assert len(list(tmp_path.glob("events.*"))) == 1


def test_lines_that_are_no_records_are_left_out_and_counted(tmp_path, capsys):
    kept = b'{"step": 1, "g_loss": NaN}\n'
    strange = [b"[1]", b"{}", b"5", b"\xff\xfe", b'{"step": "2"}', b"[" * 5_000, b'{"step": 1' + b"0" * 5_000 + b"}"]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(kept + b"\n".join(strange) + b'\n{"step": 2}\n{"step": 9}\n{"ste')
    Monitor(tmp_path, start=3, total=20, name="test").close()
    assert path.read_bytes() == kept + b'{"step": 2}\n'
    assert capsys.readouterr().out == f"{path}: {len(strange)} lines are no records of a step and are left out\n"


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="metrics.jsonl and curves cannot be written"):
        Monitor(tmp_path / "run", start=0, total=20, name="test")


def test_a_line_without_end_is_left_out_and_never_read_whole(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\r\n' + b"1" * 40_000_000 + b'\n{"step": 2}\n{"step": 3}\n{"st')
    tracemalloc.start()
    Monitor(tmp_path, start=2, total=20, name="test").close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n' and peak < 10_000_000
    assert re.fullmatch(rf"{path}: \d+ lines are no records of a step and are left out\n", capsys.readouterr().out)
