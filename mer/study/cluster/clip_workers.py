"""Read clips with several processes, on this machine or on a Ray cluster: a `Spread` for an extraction.

The driver plans the shards and files the results; a worker has one encoder and reads what it is handed. Batches follow
from the plan alone, so it does not matter who reads a shard, in which order, or how often.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from mer.config import ClipEncoderConfig, is_signal
from mer.errors import MerError
from mer.features.backbone.files import Fingerprint, fingerprint
from mer.features.cache.shards import Shard
from mer.features.from_clips.extraction import VANISHED
from mer.features.modalities import locate_clip_backbone
from mer.features.reading import ClipRow, ShardResult
from mer.study.cluster.clip_worker import Worker, shard_alone
from mer.study.cluster.connect import refuse_silent, start_ray
from mer.study.cluster.leave import leave_ray

_AHEAD = 2  # shards a worker holds, so that the next one is there when it has read one
_LOSSES = 3  # so many workers dead over one shard, or while they open the encoder, end the extraction
_THEN = (
    "see whether a machine runs out of memory; the same command without --workers and --address goes on from here, in "
    "its own process"
)


class RaySpread:
    """A `mer.features.reading.Spread`: `with RaySpread(workers) as spread: ensure_features(..., spread=spread)`.

    Ray is started, or joined, when there is something to read, and left at the end of the block. Workers keep their
    encoder from one split to the next. Results equal those of this process with one thread, bit for bit, on processors
    of one kind.

    Args:
        workers: processes at once, at most one for each CPU (for each GPU where a backbone runs on GPUs). None:
            that many.
        address: address of a Ray cluster; None: a private Ray on this machine.
    Raises: MerError when nobody answers at the address, when a worker cannot open the encoder, sees other weights or
        other files than the driver, or when workers die over a shard again and again.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.wanted, self.address = workers, address
        self._started = False
        self._config: ClipEncoderConfig | None = None
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        refuse_silent(self.address)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._started:
            self._workers, self._started = [], False
            leave_ray()

    def __call__(
        self, config: ClipEncoderConfig, rows: Sequence[ClipRow], shards: Iterable[tuple[int, Shard]]
    ) -> Iterator[tuple[int, ShardResult]]:
        """Read the shards; yield (number, result) in the order in which they are finished."""
        left = dict(shards)
        if not left:
            return
        self._start()
        if config != self._config:
            self._dismiss()
            self._config = config
        try:
            yield from self._read(config, rows, left)
        except BaseException:  # also when the caller stops asking: what is in flight is no longer wanted
            self._dismiss()
            raise

    def _read(
        self, config: ClipEncoderConfig, rows: Sequence[ClipRow], left: dict[int, Shard]
    ) -> Iterator[tuple[int, ShardResult]]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        most, options = _room(config, self.wanted)
        backbone = _expected(config) if self.address else None
        queue, losses = deque(left), Counter[int | None]()
        while left:
            while len(self._workers) < min(most, len(left)):
                self._workers.append(Worker.hire(config, backbone, options))
            for depth in range(1, _AHEAD + 1):  # the last shards go to as many workers as there are
                for worker in self._workers:
                    if queue and worker.host and len(worker.promises) < depth:
                        number = queue.popleft()
                        worker.read(number, *shard_alone(rows, left[number]))
            promised = {promise: worker for worker in self._workers for promise in worker.promises}
            (done,), _ = ray.wait(list(promised), num_returns=1)
            worker, task = promised[done], promised[done].promises.pop(done)
            try:
                answer = ray.get(done)
            except RayTaskError as fault:
                raise fault.cause if isinstance(fault.cause, Exception) else fault from fault
            except RayError as fault:  # the worker has died, or its node
                losses[task] += 1
                if losses[task] >= _LOSSES:
                    raise _too_many(task, left, rows, str(fault)) from fault
                queue.extend(number for number in (task, *worker.promises.values()) if number is not None)
                self._workers.remove(worker)
                continue
            if task is None:
                worker.host = answer
                continue
            _require_same_files(rows, left.pop(task), answer, worker.host)
            yield task, answer

    def _start(self) -> None:
        if not self._started:
            start_ray(self.address)
            self._started = True

    def _dismiss(self) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []


def _room(config: ClipEncoderConfig, wanted: int | None) -> tuple[int, dict[str, float]]:
    """Return how many workers run at once, and what each asks of Ray. Raises: MerError when not one fits."""
    import ray

    have = ray.cluster_resources()
    gpus = 0.0 if is_signal(config) else have.get("GPU", 0.0)  # statistics of the signal use no GPU
    most = int(min(have.get("CPU", 0.0), gpus or have.get("CPU", 0.0)))
    if most < 1:
        raise MerError("--address", "the cluster has no CPU (and GPU) for a worker", allowed="one CPU per worker")
    return min(most, wanted or most), {"num_cpus": 1, "num_gpus": 1 if gpus else 0}


def _expected(config: ClipEncoderConfig) -> Fingerprint | None:
    found = locate_clip_backbone(config)
    return fingerprint(found, None) if found else None


def _require_same_files(rows: Sequence[ClipRow], shard: Shard, result: ShardResult, host: str) -> None:
    """Refuse a result without clips that the driver has: they would become masked rows. Raises: MerError."""
    for row in (rows[row] for batch in shard for row in batch):
        if result.faults.get(row.id) == VANISHED and row.path is not None and row.path.exists():
            raise MerError(
                row.path.absolute(),
                f"is here, but not on {host}, where a worker was to read it",
                allowed="the data in one folder that all nodes share, at the same path",
                then="leave --address out to read it on this machine",
            )


def _too_many(task: int | None, left: dict[int, Shard], rows: Sequence[ClipRow], reason: str) -> MerError:
    said = " ".join(reason.split())[:300]
    if task is None:
        return MerError("workers", f"{_LOSSES} died before they had opened the encoder: {said}", then=_THEN)
    own = [rows[row] for batch in left[task] for row in batch]
    others = f" and {len(own) - 1} more clips" if len(own) > 1 else ""
    return MerError(f"{own[0].path}{others}", f"{_LOSSES} workers died while they read these: {said}", then=_THEN)
