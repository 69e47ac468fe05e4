"""Encode many inputs: distinct ones once, similar lengths together, in shards that survive a kill.

The batches follow from the inputs alone, never from where a run was interrupted, so a resumed extraction gives the
same bits as an uninterrupted one (on the same machine: another number of threads may round differently).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mer.errors import MerError
from mer.features.cache import tensors
from mer.files import sha256_json

Shard = list[list[int]]  # batches of row numbers


TOKENS_PER_BATCH = 2048  # padding included; flat between 512 and 4096 on two cores
SHARD_ROWS = 2048  # about what a kill can cost
FLOAT16_MAX = float(np.finfo(np.float16).max)


def plan_batches(lengths: Sequence[int], batch_length: int) -> list[list[int]]:
    """Positions of `lengths`, shortest first, in batches of at most `batch_length` units, padding included."""
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted, so this input is the longest of its batch and decides what padding costs.
        if batches and (len(batches[-1]) + 1) * lengths[position] <= batch_length:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def plan_shards(batches: list[list[int]], shard_rows: int) -> list[list[list[int]]]:
    """Consecutive batches, grouped until each group has at least `shard_rows` inputs."""
    shards: list[list[list[int]]] = [[]]
    for batch in batches:
        if sum(map(len, shards[-1])) >= shard_rows:
            shards.append([])
        shards[-1].append(batch)
    return [shard for shard in shards if shard]


def as_stored(values_BLD: np.ndarray, name: str = "") -> np.ndarray:
    """float16, or float32 where float16 would overflow.

    Args: name: of what this is, where it is not the hidden states of a backbone.
    Raises: MerError when a value is not finite.
    """
    highest = float(np.abs(values_BLD).max())
    if not np.isfinite(highest):
        layers = sorted({int(layer) for layer in np.argwhere(~np.isfinite(values_BLD))[:, 1]})
        raise MerError(
            "feature extraction",
            f"there is NaN or infinity in {name}"
            if name
            else f"the backbone gives NaN or infinity in hidden states {layers}",
            then="set the encoder's dtype to float32, or choose another backbone",
        )
    return values_BLD.astype(np.float16) if highest <= FLOAT16_MAX else values_BLD


def shard_of(path: Path, plan: object, count: int, make: Callable[[], np.ndarray]) -> tuple[np.ndarray, bool]:
    """A shard of `count` rows, and whether it was made now: that of an interrupted run of this plan is taken over."""
    named = sha256_json(plan)
    block = read_if_finished(path, named, count)
    if block is not None:
        return block, False
    block = make()
    tensors.write(path, {"features": block}, {"plan": named})
    return block, True


def read_if_finished(path: Path, plan: str, count: int) -> np.ndarray | None:
    """A shard of an interrupted run, if it is whole and of this very plan; anything else is encoded again."""
    if not path.is_file():
        return None
    try:
        header = tensors.read_header(path)
        block = tensors.read(path)["features"]
    except (MerError, KeyError):
        return None
    return block if header.get("plan") == plan and len(block) == count else None


def is_finished(path: Path, plan: str, shard: Shard, tensor: str = "features") -> bool:
    """A shard of an interrupted run, whole and of this very plan; anything else is made again.

    Args: tensor: that has a row for every clip.
    """
    if not path.is_file():
        return False
    try:
        header = tensors.read_header(path)
    except MerError:
        return False
    return bool(header.get("plan") == plan and header["shapes"][tensor][0] == sum(map(len, shard)))


def clips_in(shards: Mapping[int, Shard]) -> int:
    return sum(len(batch) for shard in shards.values() for batch in shard)


def shard_file(parts: Path, number: int) -> Path:
    return parts / f"{number:05d}.safetensors"
