"""One process that reads clips: what it does, and the handle by which the driver hires it and hands it shards."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from mer.config import ClipEncoderConfig, is_signal
from mer.errors import MerError
from mer.features.backbone.files import Fingerprint, fingerprint
from mer.features.cache.shards import Shard
from mer.features.from_clips.extraction import encode_shards
from mer.features.modalities import locate_clip_backbone, open_clip_encoder
from mer.features.reading import ClipRow, ShardResult
from mer.places import home


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
class Worker:
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


def shard_alone(rows: Sequence[ClipRow], shard: Shard) -> tuple[list[ClipRow], Shard]:
    """Cut out the rows of one shard and renumber its batches: all rows with each shard would be most of the traffic."""
    own = [rows[row] for batch in shard for row in batch]
    numbers = iter(range(len(own)))
    placed = [replace(row, path=row.path.absolute()) if row.path else row for row in own]
    return placed, [[next(numbers) for _ in batch] for batch in shard]


def _absolute(config: ClipEncoderConfig) -> ClipEncoderConfig:
    """Make local paths absolute: workers of a cluster start in another folder."""
    local: dict[str, str] = {}
    if not is_signal(config) and home(config.backbone).is_dir():
        local["backbone"] = _absolute_path(config.backbone)
    if detector := getattr(config, "face_detector", None):
        local["face_detector"] = _absolute_path(detector)
    return config.model_copy(update=local)


def _absolute_path(text: str) -> str:
    return str(home(text).absolute())
