"""A run on several GPUs or machines by `tf.distribute`: how its work is divided, and how it fails."""

import contextlib
import functools
import hashlib
import json
import os
import re
import signal
from collections.abc import Callable
from typing import NotRequired, TypedDict

import numpy as np
import tensorflow as tf

from srgan_tf.system.auto import AUTO
from srgan_tf.system.errors import UserError, reason, user_errors
from srgan_tf.system.json_files import check_shape
from srgan_tf.system.terminal import counted
from srgan_tf.training.normalization import BatchNormalization
from srgan_tf.training.rendezvous import meet

# Errors in a worker when another worker is gone; the last two only if the message has these words.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
_MAYBE_LOST = (tf.errors.InternalError, tf.errors.UnknownError)
_MESSAGES_OF_LOSS = re.compile("NCCL|Collective ops is aborted", re.IGNORECASE)
_ADDRESS = re.compile(r"([^\s:/]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})")  # a host name or IP address, and a port


class _Cluster(TypedDict):
    worker: list[str]
    chief: NotRequired[list[str]]


class _Task(TypedDict):
    type: str
    index: int | str


class _TfConfig(TypedDict):
    cluster: _Cluster
    task: _Task


class Distribution:
    """Distributes the steps of a run over replicas, one for each device, in one worker process or several.

    Every replica has the same weights and its part of each batch; gradients are averaged over all replicas. To be
    created before TensorFlow computes anything.

    Args:
        kind: "none"; "mirrored", all GPUs of this machine; "multiworker", the processes that the environment variable
            TF_CONFIG names, with their GPUs; or "auto": "multiworker" if there is more than one process, else
            "mirrored" if there is more than one GPU, else "none".
        devices: The devices of "mirrored"; None: the GPUs. Tests give CPU devices, such as `["CPU:0", "CPU:1"]`.

    Attributes:
        kind: As given, or what "auto" stands for.
        strategy: A `tf.distribute.Strategy`; for "none" TensorFlow's default strategy, which does nothing.
        workers: Number of processes.
        worker: Index of this process, from 0.
        chief: Whether this process validates, writes and reports.
        replicas: Number of devices of all workers.

    Raises:
        UserError: TF_CONFIG is missing or wrong, or there is no GPU for "mirrored".
    """

    def __init__(self, kind: str = AUTO, devices: list[str] | None = None):
        peers, self.worker = _cluster()
        gpus = len(tf.config.list_physical_devices("GPU"))
        if kind == AUTO:
            kind = "multiworker" if len(peers) > 1 else "mirrored" if gpus > 1 else "none"
        if kind == "multiworker" and not peers:
            raise UserError("--strategy=multiworker needs TF_CONFIG in the environment; docs/cluster.md shows it")
        if kind == "mirrored" and not (gpus or devices):
            raise UserError("--strategy=mirrored: there is no GPU; use --strategy=none, or auto")
        self.kind = kind
        self.workers = len(peers) if kind == "multiworker" else 1
        self.worker = self.worker if kind == "multiworker" else 0
        self.chief = self.worker == 0
        if kind == "multiworker":
            if self.workers > 1:
                print(f"strategy   worker {self.worker + 1} of {', '.join(peers)}; waits for the rest", flush=True)
                meet(peers, self.worker)
            with _kept_handlers(), user_errors("TF_CONFIG", "the workers cannot be connected", of=tf.errors.OpError):
                self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
        elif kind == "mirrored":
            self.strategy = tf.distribute.MirroredStrategy(devices)
        else:
            self.strategy = tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self._requests = None

    @property
    def is_distributed(self):
        """Whether there is a strategy; then BN must be synchronised, which XLA cannot compile."""
        return self.kind != "none"

    @property
    def normalization(self):
        """The argument `normalization` of `models.generator.build_generator` and `build_discriminator`."""
        if self.is_distributed:
            return functools.partial(BatchNormalization, synchronized=True)
        return BatchNormalization

    def __str__(self):
        devices = counted(self.replicas, "device")
        return f"{self.kind}, {devices} of {self.workers} process{'es' if self.workers > 1 else ''}"

    def crops_per_device(self, batch_size: int, accumulate: int) -> int:
        """Crops of a micro-batch on one device.

        Raises:
            UserError: The batch cannot be divided evenly.
        """
        parts = self.replicas * accumulate
        if batch_size % parts:
            raise UserError(
                f"--batch_size={batch_size}: must be a multiple of {parts}, for {self.replicas} devices and"
                f" --accumulate={accumulate}"
            )
        return batch_size // parts

    def share(self, batch_size: int, accumulate: int) -> np.ndarray:
        """The positions in a batch that this worker's devices compute, of all micro-batches, int `(n,)`."""
        per_device = self.crops_per_device(batch_size, accumulate)
        places = np.arange(batch_size).reshape(accumulate, self.workers, self.replicas // self.workers * per_device)
        return places[:, self.worker].ravel()

    def on_devices(self, step_function: Callable, accumulate: int) -> Callable:
        """A step that takes this worker's share of the batch and gives each device its part of each micro-batch.

        Args:
            step_function: A step of `training.steps`, made in the scope of the strategy.
            accumulate: Micro-batches in a step.
        """
        if not self.is_distributed:
            return step_function
        local = self.replicas // self.workers

        def parts(crops):
            with tf.device("CPU:0"):
                split = tf.reshape(crops, [accumulate, local, -1, *crops.shape[1:]])
                parts = [tf.reshape(part, [-1, *crops.shape[1:]]) for part in tf.unstack(split, axis=1)]
            first = self.worker * local
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: parts[context.replica_id_in_sync_group - first]
            )

        def step(lr, hr, freeze_bn=False):
            return step_function(parts(lr), parts(hr), freeze_bn=freeze_bn)

        return step

    def any_worker(self, requested: bool) -> bool:
        """Whether any worker requested something; the answer is the same in all workers. With several workers it is
        about the call before, so that no worker waits for another."""
        if self.workers == 1:
            return requested
        before, self._requests = self._requests, self._gather(tf.constant([float(requested)]))
        return before is not None and bool((before.numpy() > 0).any())

    def check_same(self, **facts: str) -> None:
        """Waits for all workers, and refuses to continue if their facts differ.

        Args:
            **facts: Texts to compare between the workers, by name.

        Raises:
            UserError: Names what differs.
        """
        if self.workers == 1:
            return
        # Collectives take only numbers, and on a GPU not of every type. 24 bits of a hash fit into a float32.
        hashes = [int.from_bytes(hashlib.sha256(fact.encode()).digest()[:3], "big") for fact in facts.values()]
        gathered = self._gather(tf.constant([[0, *hashes]], tf.float32)).numpy()[:, 1:]
        for name, column in zip(facts, gathered.T):
            if (column != column[0]).any():
                other = int(np.flatnonzero(column != column[0])[0]) // (self.replicas // self.workers) + 1
                raise UserError(
                    f"worker {other}: {name} differs from that of worker 1; give all the same flags, photographs"
                    " and --run_dir, on a file system that all of them see"
                )

    @contextlib.contextmanager
    def lost_worker_errors(self, folder):
        """Makes errors due to a lost worker a `UserError` that says how to resume the run in `folder`."""
        try:
            yield
        except (*_LOST, *_MAYBE_LOST) as error:
            if self.workers == 1 or isinstance(error, _MAYBE_LOST) and not _MESSAGES_OF_LOSS.search(str(error)):
                raise
            found = re.search(r"task:(\d+)", str(error))
            lost = f"worker {int(found[1]) + 1}" if found and int(found[1]) != self.worker else "another worker"
            raise UserError(
                f"{lost} of {self.workers} was lost; look at its output, and start all of them again: they resume from"
                f" the last checkpoint in {folder}"
            ) from None

    def _gather(self, value):
        """The values of all replicas, concatenated along the first dimension."""
        return self.strategy.experimental_local_results(self._gather_on_devices(value))[0]

    @tf.function(autograph=False)
    def _gather_on_devices(self, value):
        def gather(value):
            # The collective needs a tensor with a device, which an argument of a compiled function does not have.
            return tf.distribute.get_replica_context().all_gather(tf.identity(value), 0)

        return self.strategy.run(gather, [value])


def _cluster():
    """The addresses in TF_CONFIG, `[]` without it, and the index of this process among them."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return [], 0
    try:
        parsed = json.loads(text)
        check_shape(parsed, _TfConfig)
        cluster, task = parsed["cluster"], parsed["task"]
        peers = [*cluster.get("chief", []), *cluster["worker"]]
        if strange := [peer for peer in peers if not _is_address(peer)]:
            raise ValueError(f"{strange[0]!r} is not host:port")
        job, number = task["type"], int(task["index"])
        if job not in ("chief", "worker") or not 0 <= number < len(cluster[job]):
            raise ValueError(f"no {job} number {number}")
    except (LookupError, RecursionError, ValueError) as error:
        raise UserError(
            'TF_CONFIG: not of the form {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index":'
            f" 0}}}} ({type(error).__name__}: {reason(error)})"
        ) from None
    return peers, number + (len(cluster.get("chief", [])) if job == "worker" else 0)


@contextlib.contextmanager
def _kept_handlers():
    """Lets SIGINT end the process at once, since Python's handlers do not run while TensorFlow connects the workers;
    restores the handlers of SIGINT and SIGTERM, which TensorFlow replaces, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_address(peer):
    found = _ADDRESS.fullmatch(peer)
    return found is not None and 0 < int(found[2]) < 2**16
