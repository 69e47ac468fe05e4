"""Encode many inputs: distinct ones once, similar lengths together, in shards that survive a kill.

The batches follow from the inputs alone, never from where a run was interrupted, so a resumed extraction gives the
same bits as an uninterrupted one (on the same machine: another number of threads may round differently).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mer.errors import MerError
from mer.features.cache import tensors
from mer.features.text.turn_tokenizer import TokenInput
from mer.files import sha256_json
from mer.progress import Step

TOKENS_PER_BATCH = 2048  # padding included; flat between 512 and 4096 on two cores
SHARD_ROWS = 2048  # about what a kill can cost
FLOAT16_MAX = float(np.finfo(np.float16).max)

Encode = Callable[[Sequence[TokenInput]], np.ndarray]


def plan_batches(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Positions of `lengths`, shortest first, in batches of at most `tokens_per_batch` tokens (at least one input)."""
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Sorted, so this input is the longest of its batch and decides what padding costs.
        if batches and (len(batches[-1]) + 1) * lengths[position] <= tokens_per_batch:
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


def extract(
    inputs: Sequence[TokenInput],
    encode: Encode,
    *,
    parts: Path,
    key: str,
    step: Step,
) -> tuple[np.ndarray, int]:
    """Encode every input, taking over the whole shards that an interrupted run left in `parts`.

    Args:
        inputs: one per row; equal ones are encoded once.
        encode: B inputs to float32 (B, L+1, D).
        parts: folder for shards, removed by the caller once the result is safe.
        key: of the file being made; shards of another key or another plan are not used.
    Returns: (N, L+1, D), and the number of texts encoded just now. float16, or float32 if a value exceeds float16.
    Raises: MerError when a hidden state is not finite; OSError when the disk is full (whole shards stay).
    """
    distinct = list(dict.fromkeys(inputs))
    batches = plan_batches([len(item.ids) for item in distinct], TOKENS_PER_BATCH)
    plan = sha256_json([key, batches])
    done = encoded = 0
    rows: list[np.ndarray] = []
    for number, shard in enumerate(plan_shards(batches, SHARD_ROWS)):
        path, count = parts / f"{number:05d}.safetensors", sum(map(len, shard))
        block = _finished(path, plan, count)
        if block is None:
            pieces: list[np.ndarray] = []
            if encoded == 0:
                step(done, len(distinct))  # the clock starts here: what a killed run left behind took no time now
            for piece in encode_batches(shard, distinct, encode):
                pieces.append(piece)
                encoded += len(piece)
                step(done + sum(map(len, pieces)), len(distinct))
            block = np.concatenate(pieces)
            tensors.write(path, {"features": block}, {"plan": plan})
        rows.append(block)
        done += count
    if encoded == 0:
        step(done, len(distinct))
    block = np.concatenate(rows)  # widens to float32 when one shard had to
    place = np.empty(len(distinct), dtype=np.int64)
    place[list(itertools.chain.from_iterable(batches))] = np.arange(len(distinct))
    position = {item: place[i] for i, item in enumerate(distinct)}
    return block[[position[item] for item in inputs]], encoded


def encode_batches(batches: list[list[int]], distinct: Sequence[TokenInput], encode: Encode) -> Iterator[np.ndarray]:
    """Each batch's hidden states, rounded as they are stored. Raises: MerError when one is not finite."""
    for batch in batches:
        yield as_stored(encode([distinct[i] for i in batch]))


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
    block = _finished(path, named, count)
    if block is not None:
        return block, False
    block = make()
    tensors.write(path, {"features": block}, {"plan": named})
    return block, True


def _finished(path: Path, plan: str, count: int) -> np.ndarray | None:
    """A shard of an interrupted run, if it is whole and of this very plan; anything else is encoded again."""
    if not path.is_file():
        return None
    try:
        header = tensors.read_header(path)
        block = tensors.read(path)["features"]
    except (MerError, KeyError):
        return None
    return block if header.get("plan") == plan and len(block) == count else None
