"""Runs of several processes: that they do what one does, and end as one."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from srgan_tf.system.errors import UserError
from srgan_tf.training.distribution import Distribution

REPOSITORY = Path(__file__).resolve().parents[2]
FLAGS = ("--crop_size=32", "--batch_size=4", "--blocks=1", "--log_every=1", "--checkpoint_every=2")


def _config(index, ports):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def _free_ports():
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def start():
    """Starts processes, `start(commands, pair=True)`, two of them as the workers of one run; ends what is left."""
    started = []

    def start(*commands):
        ports = _free_ports()
        for index, command in enumerate(commands):
            environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
            environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
            if len(commands) > 1:
                environment["TF_CONFIG"] = _config(index, ports)
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, env=environment, **pipes))
        return started[-len(commands) :]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _finish(processes, status=0):
    """What they printed, `[(out, err)]`."""
    printed = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [status] * len(processes), printed
    return printed


def _largest_difference(one, other, names):
    return max(np.abs(one[name].astype(np.float64) - other[name]).max() for name in names)


def test_two_workers_or_devices_take_the_steps_of_one(start, tmp_path):
    script = str(Path(__file__).with_name("worker.py"))
    _finish(start(*([script, str(tmp_path / f"{index}.npz")] for index in range(2))))
    _finish(start([script, str(tmp_path / "alone.npz")]) + start([script, str(tmp_path / "devices.npz"), "mirrored"]))
    first, second, alone, devices = (np.load(tmp_path / f"{name}.npz") for name in ("0", "1", "alone", "devices"))
    assert first.files == alone.files and devices.files == [name for name in first.files if name[:5] != "step/"]
    assert _largest_difference(first, second, first.files) == 0
    terms = [name for name in alone.files if "/term " in name]
    assert len(terms) == 18 and all(first[name] == pytest.approx(alone[name], rel=1e-3) for name in terms)
    # Every micro-batch has the same crops, and so the same statistics, however it is spread.
    whole, halves = (
        [name for name in alone.files if name.startswith(group) and name not in terms] for group in ("step/", "two/")
    )
    assert len(whole) == len(halves) == 70
    assert _largest_difference(first, alone, whole + halves) < 1e-5
    assert _largest_difference(devices, alone, halves) < 1e-5
    assert max(np.abs(first[one] - first[other]).max() for one, other in zip(whole, halves)) > 1e-3
    # One replica's infinite gradient stops all, and every scale falls; then all take a step.
    for found in (first, second, alone, devices):
        before, after, last = found["half/scales"]
        assert list(found["half/skipped"]) == [1, 0] and after == last == before / 2
        assert found["half/moved"][0] == 0 < found["half/moved"][1] and found["half/apart"] == 0


def test_train_on_two_workers(start, tmp_path):
    """The command: as one process; the chief alone writes; a killed worker is noticed; resuming; stopping."""

    def workers(*flags, other=tmp_path / "two"):
        folders = (tmp_path / "two", other)
        return start(*(["train.py", *FLAGS, f"--run_dir={folder}", *flags] for folder in folders))

    def wait_for_step(step, *processes):
        lines = tmp_path / "two" / "srresnet" / "metrics.jsonl"
        while not lines.exists() or f'{{"step": {step}, ' not in lines.read_text():
            assert all(process.poll() is None for process in processes), _finish(processes)
            time.sleep(0.05)

    printed = _finish(workers("--steps=5", "--balance_colours", other=tmp_path / "empty"))
    assert "were off by R" in printed[0][0] and "were off by R" not in printed[1][0]
    assert "multiworker, 2 devices of 2 processes" in printed[0][0] and "worker 2 of 127.0.0.1" in printed[1][0]
    assert "validation PSNR" in printed[0][0] and "validation PSNR" not in printed[1][0]
    assert not (tmp_path / "empty").exists()
    _finish(start(["train.py", *FLAGS, f"--run_dir={tmp_path / 'one'}", "--xla=off", "--steps=5"]))
    two, one = (np.load(tmp_path / name / "srresnet" / "checkpoint-00000005.npz") for name in ("two", "one"))
    assert two.files == one.files
    # Adam makes a whole step of 1e-4 of any gradient, also where it is nothing but rounding: few weights may differ.
    trained = np.concatenate([np.abs(two[name] - one[name]).ravel() for name in one.files if name != "state"])
    assert trained.max() < 1e-4 and np.mean(trained > 1e-5) < 1e-3

    running = workers("--steps=100000")
    wait_for_step(8, *running)
    running[1].kill()
    killed = time.monotonic()
    ((_, err),) = _finish(running[:1], status=1)
    assert time.monotonic() - killed < 60
    assert err.count("\n") == 1 and "worker 2 of 2 was lost" in err and str(tmp_path / "two") in err

    # It resumes from there, and one worker's SIGTERM stops both after the same step.
    running = workers("--steps=100000")
    wait_for_step(12, *running)
    running[1].send_signal(signal.SIGTERM)
    printed = _finish(running, status=128 + signal.SIGTERM)
    assert all("resumes from step" in out and "SIGTERM: saved" in err for out, err in printed)

    printed = _finish(workers("--steps=100000", other=tmp_path / "other"), status=1)
    assert all("worker 2: checkpoint differs" in err and err.count("\n") == 1 for _, err in printed)


def test_a_worker_that_waits_for_the_rest_ends_at_a_signal(monkeypatch, start, tmp_path):
    # The shell starts background jobs with SIGINT ignored.
    script = (
        "import signal, sys, train; signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(train.main({}))"
    )
    waiting = []
    for index, number in enumerate((signal.SIGINT, signal.SIGTERM)):
        monkeypatch.setenv("TF_CONFIG", _config(index, _free_ports()))
        flags = ["train.py", *FLAGS, f"--run_dir={tmp_path / 'run'}"]
        waiting += [(number, *start(["-c", script.format(flags)]))]
    for number, process in waiting:
        assert "waits for the rest" in process.stdout.readline()
        time.sleep(1)
        process.send_signal(number)
        sent = time.monotonic()
        ((_, err),) = _finish([process], status=128 + number)
        assert time.monotonic() - sent < 5
        assert err == f"srgan: {'interrupted' if number == signal.SIGINT else 'SIGTERM: ended'}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "config, said",
    [
        ("{", "JSONDecodeError"),
        ("[]", "it is list, not dict"),
        ("[" * 10_000, "RecursionError"),
        ('{"cluster": {"worker": ["a:1"]}}', "'task'"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "cluster.worker is 'a:1', not list"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "'a' is not host:port"),
        ('{"cluster": {"worker": ["a:70000"]}, "task": {"type": "worker", "index": 0}}', "'a:70000' is not host:port"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": null}}', "task.index is None"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "no worker number 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "no ps number 0"),
    ],
)
def test_a_wrong_tf_config_is_named(monkeypatch, config, said):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="^TF_CONFIG: not of the form") as error:
        Distribution("multiworker")
    assert said in str(error.value)


def test_what_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="needs TF_CONFIG"):
        Distribution("multiworker")
    with pytest.raises(UserError, match="there is no GPU"):
        Distribution("mirrored")


@pytest.mark.parametrize(
    "error, lost",
    [
        (tf.errors.UnavailableError(None, None, "failed to connect to /job:worker/replica:0/task:1"), "worker 2 of 2"),
        (tf.errors.InternalError(None, None, "NCCL: unhandled system error"), "another worker of 2"),
        (tf.errors.InternalError(None, None, "cuDNN launch failure"), None),
    ],
)
def test_what_a_lost_worker_leaves_is_told_from_other_errors(error, lost):
    pair = Distribution("none")
    pair.workers = 2
    with pytest.raises(UserError if lost else tf.errors.InternalError) as raised, pair.lost_worker_errors("runs/mine"):
        raise error
    if lost:
        assert str(raised.value).startswith(f"{lost} was lost") and "runs/mine" in str(raised.value)


def test_alone_nothing_is_spread():
    alone = Distribution("auto")
    assert (alone.kind, alone.replicas, alone.chief, str(alone)) == ("none", 1, True, "none, 1 device of 1 process")
    assert alone.share(6, 2).tolist() == [0, 1, 2, 3, 4, 5] and alone.crops_per_device(6, 2) == 3
    assert alone.any_worker(True) and not alone.any_worker(False)
    with pytest.raises(UserError, match="--batch_size=6: must be a multiple of 4"):
        alone.crops_per_device(6, 4)


def test_the_shares_of_workers_make_up_each_micro_batch():
    alone = Distribution("none")
    alone.workers, alone.replicas = 2, 4
    shares = []
    for alone.worker in range(2):
        shares.append(alone.share(24, 3).reshape(3, -1))
    assert shares[0].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]]
    assert np.concatenate(shares, axis=1).ravel().tolist() == list(range(24))
