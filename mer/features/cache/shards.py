"""Shards: the plan by which many inputs are encoded in batches of similar length, and files that survive a kill.

The plan follows from the inputs alone, never from the point where a run was interrupted. A resumed extraction therefore
gives the same bits as an uninterrupted one on the same machine (another number of threads may round differently).
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
SHARD_ROWS = 2048  # about as many texts as a kill can cost
FLOAT16_MAX = float(np.finfo(np.float16).max)


def plan_batches(lengths: Sequence[int], batch_length: int) -> list[list[int]]:
    """Divide the positions of `lengths`, shortest first, into batches of at most `batch_length` units with padding.

    A single input may be longer than that and is then a batch of its own.
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted, so this input is the longest of its batch and decides what padding costs.
        if batches and (len(batches[-1]) + 1) * lengths[position] <= batch_length:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def plan_shards(batches: list[list[int]], shard_rows: int) -> list[list[list[int]]]:
    """Group consecutive batches until each group has at least `shard_rows` inputs."""
    shards: list[list[list[int]]] = [[]]
    for batch in batches:
        if sum(map(len, shards[-1])) >= shard_rows:
            shards.append([])
        shards[-1].append(batch)
    return [shard for shard in shards if shard]


def as_stored(values_BLD: np.ndarray, name: str = "") -> np.ndarray:
    """Round to float16, or keep float32 if float16 would overflow.

    Args:
        values_BLD: float32.
        name: of these values, for the message; "" for the hidden states of a backbone.
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
    """Read a shard of `count` rows that an interrupted run of this plan left, or make it.

    Returns: the shard's array, and True if it was made just now.
    """
    named = sha256_json(plan)
    block = read_if_finished(path, named, count)
    if block is not None:
        return block, False
    block = make()
    tensors.write(path, {"features": block}, {"plan": named})
    return block, True


def read_if_finished(path: Path, plan: str, count: int) -> np.ndarray | None:
    """Read a shard of an interrupted run; None, so that it is encoded again, unless it is whole and of this plan."""
    if not path.is_file():
        return None
    try:
        header = tensors.read_header(path)
        block = tensors.read(path)["features"]
    except (MerError, KeyError):
        return None
    return block if header.get("plan") == plan and len(block) == count else None


def is_finished(path: Path, plan: str, shard: Shard, tensor: str = "features") -> bool:
    """True when an interrupted run left this shard whole and of this plan; any other one is made again.

    Args: tensor: name of a tensor in it that has a row for every clip.
    """
    if not path.is_file():
        return False
    try:
        header = tensors.read_header(path)
    except MerError:
        return False
    return bool(header.get("plan") == plan and header["shapes"][tensor][0] == sum(map(len, shard)))


def clips_in(shards: Mapping[int, Shard]) -> int:
    """Count the clips of all shards."""
    return sum(len(batch) for shard in shards.values() for batch in shard)


def shard_file(parts: Path, number: int) -> Path:
    """The path of a shard in the folder of an unfinished file."""
    return parts / f"{number:05d}.safetensors"
