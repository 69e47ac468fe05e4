"""Read clips with several processes, on this machine or on a Ray cluster: a `Spread` for an extraction.

The driver plans the shards and files the results; a worker has one encoder and reads what it is handed. Batches follow
from the plan alone, so it does not matter who reads a shard, in which order, or how often.
"""

from __future__ import annotations

import socket
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mer.config import ClipEncoderConfig, is_signal
from mer.errors import MerError
from mer.features.backbone.files import Fingerprint, fingerprint
from mer.features.cache.shards import Shard
from mer.features.from_clips.extraction import VANISHED, encode_shards
from mer.features.modalities import locate_clip_backbone, open_clip_encoder
from mer.features.reading import ClipRow, ShardResult

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
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        from mer.study.cluster.connect import refuse_silent

        refuse_silent(self.address)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._started:
            import ray

            self._workers, self._started = [], False
            ray.shutdown()

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
                self._workers.append(_Worker.hire(config, backbone, options))
            for depth in range(1, _AHEAD + 1):  # the last shards go to as many workers as there are
                for worker in self._workers:
                    if queue and worker.host and len(worker.promises) < depth:
                        number = queue.popleft()
                        worker.read(number, *_alone(rows, left[number]))
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
            # Here, not above: workers import this module, and need neither the study's engine nor Optuna for it.
            from mer.study.cluster.connect import start_ray

            start_ray(self.address)
            self._started = True

    def _dismiss(self) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker.actor)
        self._workers = []


class ShardReader:
    """Reads shards, inside a worker's process."""

    def open(self, config: ClipEncoderConfig, expected: Fingerprint | None) -> str:
        """Load the encoder. Returns the name of the machine. Raises: MerError when it is not the driver's backbone."""
        import torch

        torch.set_num_threads(1)  # a worker has one CPU; the number of threads decides the last bits
        found = locate_clip_backbone(config)
        if expected is not None and found is not None and fingerprint(found, None) != expected:
            raise MerError(
                f"{found.folder} on {socket.gethostname()}",
                f"other weights, preprocessor or config.json of {found.name!r} than on the driver's machine",
                allowed="the same backbone on every node",
                then="name a folder that all nodes share, or set `revision` to one commit",
            )
        self.encoder = open_clip_encoder(config, found)
        return socket.gethostname()

    def read(self, rows: Sequence[ClipRow], shard: Shard) -> ShardResult:
        ((_, result),) = encode_shards(self.encoder, rows, [(0, shard)])
        return result


@dataclass(eq=False)
class _Worker:
    """The driver's side of a worker.

    Args:
        promises: its tasks, oldest first: Ray's reference -> number of the shard, or None while it opens the encoder.
        host: name of its machine, "" until the encoder is open. It gets nothing to read before that, since it may have
            to wait for room on the cluster.
    """

    actor: Any
    promises: dict[Any, int | None] = field(default_factory=dict)
    host: str = ""

    @classmethod
    def hire(cls, config: ClipEncoderConfig, backbone: Fingerprint | None, options: dict[str, float]) -> Self:
        import ray

        actor = ray.remote(ShardReader).options(**options).remote()
        return cls(actor, {actor.open.remote(_absolute(config), backbone): None})

    def read(self, number: int, rows: list[ClipRow], shard: Shard) -> None:
        self.promises[self.actor.read.remote(rows, shard)] = number


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


def _absolute(config: ClipEncoderConfig) -> ClipEncoderConfig:
    """Make local paths absolute: workers of a cluster start in another folder."""
    local: dict[str, str] = {}
    if not is_signal(config) and Path(config.backbone).expanduser().is_dir():
        local["backbone"] = _absolute_path(config.backbone)
    if detector := getattr(config, "face_detector", None):
        local["face_detector"] = _absolute_path(detector)
    return config.model_copy(update=local)


def _absolute_path(text: str) -> str:
    return str(Path(text).expanduser().absolute())


def _alone(rows: Sequence[ClipRow], shard: Shard) -> tuple[list[ClipRow], Shard]:
    """Cut out the rows of one shard and renumber its batches: all rows with each shard would be most of the traffic."""
    own = [rows[row] for batch in shard for row in batch]
    numbers = iter(range(len(own)))
    placed = [replace(row, path=row.path.absolute()) if row.path else row for row in own]
    return placed, [[next(numbers) for _ in batch] for batch in shard]


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
