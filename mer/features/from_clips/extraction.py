"""Read many clips: probed, batched by length, decoded ahead of the encoder, in shards that survive a kill.

The batches follow from the clips alone, never from the point of an interruption or from which thread is quicker. A
resumed extraction therefore gives the same bits as an uninterrupted one on the same machine.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from mer.config import ClipEncoderConfig
from mer.data.media import MediaAbsent, MediaFault
from mer.data.media.notices import SEPARATOR
from mer.features.backbone.clip_encoder import ClipEncoder, ClipReader, LoadedClip
from mer.features.cache import tensors
from mer.features.cache.shards import Shard, as_stored, clips_in, is_finished, plan_batches, plan_shards, shard_file
from mer.features.failures import FailureWatch
from mer.features.from_clips.decode_ahead import ahead_of
from mer.features.reading import ClipRow, Extracted, ShardResult, Spread
from mer.files import sha256_json
from mer.progress import Step

Piece = TypeVar("Piece")
SHARD_CLIPS = 64  # about as many clips as a kill can cost
MOST_THREADS = 8  # each holds the activations of a clip; on a larger machine each thread gets several processors
VANISHED = "the file went away while features were extracted"


def extract_clips(
    rows: Sequence[ClipRow], config: ClipEncoderConfig, encoder: ClipEncoder, *, parts: Path, key: str, step: Step,
    spread: Spread | None = None, watch: FailureWatch | None = None,
) -> Extracted:  # fmt: skip
    """Encode every clip that can be read, and take over the whole shards that an interrupted run left in `parts`.

    Args:
        spread: encodes the shards elsewhere, on a cluster; None: this process encodes them.
        watch: is told of faults as they come, and may end the reading (whole shards stay).
    Raises: MerError when a hidden state is not finite, or the watch says so; OSError when the disk is full.
    """
    shards, faults = plan_clips(rows, encoder)
    watch = watch or FailureWatch("", len(rows))
    watch.add(faults)
    plan = sha256_json([key, list(shards.values())])
    todo = {
        number: shard for number, shard in shards.items() if not is_finished(shard_file(parts, number), plan, shard)
    }
    done, total = clips_in(shards) - clips_in(todo), clips_in(shards)
    encoded = 0
    step(done, total)
    results = spread(config, rows, todo.items()) if spread else encode_shards(encoder, rows, todo.items())
    for number, result in results:
        said = {"plan": plan, "faults": result.faults, "notes": result.notes}
        tensors.write(shard_file(parts, number), {"features": result.features_NLD}, said)
        encoded += len(result.features_NLD) - len(result.faults)
        done += len(result.features_NLD)
        step(done, total)
        watch.add(result.faults)
    results = ((number, _read_shard(shard_file(parts, number))) for number in shards)
    read = replace(_assemble(rows, encoder, shards, results, faults, partial(on_disk, parts)), encoded=encoded)
    watch.add(read.faults)  # also those in shards of an interrupted run
    return read


def read_clips(rows: Sequence[ClipRow], encoder: ClipEncoder, step: Step) -> Extracted:
    """`extract_clips` without shards, for clips that belong to no dataset: the same batches and the same numbers."""
    shards, faults = plan_clips(rows, encoder)
    step(0, clips_in(shards))
    done = _assemble(rows, encoder, shards, encode_shards(encoder, rows, shards.items()), faults)
    step(clips_in(shards), clips_in(shards))
    return done


def plan_clips(rows: Sequence[ClipRow], encoder: ClipReader) -> tuple[dict[int, Shard], dict[str, str]]:
    """Divide the usable clips into numbered shards of batches; the second result says why the others are masked."""
    lengths, faults = probe_clips(rows, encoder)
    healthy = list(lengths)
    batches = [[healthy[i] for i in batch] for batch in plan_batches(list(lengths.values()), encoder.batch_length)]
    return dict(enumerate(plan_shards(batches, SHARD_CLIPS))), faults


def encode_shards(
    encoder: ClipEncoder, rows: Sequence[ClipRow], shards: Iterable[tuple[int, Shard]]
) -> Iterator[tuple[int, ShardResult]]:
    """Yield the number and the result of each shard: its clips' pooled hidden states, faults and notes."""

    def encode(batch: list[int], good: dict[int, LoadedClip]) -> np.ndarray:
        piece = np.zeros((len(batch), encoder.layers, encoder.width), dtype=np.float32)
        if good:
            piece[[batch.index(row) for row in good]] = encoder.encode(list(good.values()))
        return as_stored(piece)

    for number, pieces, faults, notes in read_shards(encoder, rows, shards, encode):
        yield number, ShardResult(np.concatenate(pieces), faults, notes)


def read_shards(
    reader: ClipReader,
    rows: Sequence[ClipRow],
    shards: Iterable[tuple[int, Shard]],
    encode: Callable[[list[int], dict[int, LoadedClip]], Piece],
) -> Iterator[tuple[int, list[Piece], dict[str, str], dict[str, str]]]:
    """Yield each shard's number, the results of `encode` for its batches, its faults and its notes.

    Threads decode at most two batches ahead of `encode`; memory holds these batches and one shard. On a CPU the
    backbone runs in these threads too (`SideBySide`).

    Args: encode: is called with the rows of a batch and those of its clips that could be loaded.
    """
    threads = _threads()
    plan = list(shards)
    order = [row for _, shard in plan for batch in shard for row in batch]
    longest = max((len(batch) for _, shard in plan for batch in shard), default=1)
    ahead = 2 * longest + threads
    loaded = ahead_of(order, lambda row: _load(reader, rows[row]), threads=threads, ahead=ahead)
    for number, shard in plan:
        pieces: list[Piece] = []
        faults: dict[str, str] = {}
        notes: dict[str, str] = {}
        for batch in shard:
            clips = dict(zip(batch, islice(loaded, len(batch)), strict=True))
            good = {row: clip for row, clip in clips.items() if isinstance(clip, LoadedClip)}
            pieces.append(encode(batch, good))
            faults |= {rows[row].id: str(fault) for row, fault in clips.items() if isinstance(fault, MediaFault)}
            said = {rows[row].id: tuple(filter(None, (rows[row].note, *clip.notes))) for row, clip in good.items()}
            notes |= {name: SEPARATOR.join(words) for name, words in said.items() if words}
        yield number, pieces, faults, notes


def _load(encoder: ClipReader, row: ClipRow) -> LoadedClip | MediaFault:
    assert row.path is not None
    try:
        return encoder.load(row.path)
    except MediaAbsent:
        return MediaAbsent(VANISHED)
    except MediaFault as fault:
        return fault


def probe_clips(rows: Sequence[ClipRow], encoder: ClipReader) -> tuple[dict[int, int], dict[str, str]]:
    """Read the length of every usable clip, by row; the second result maps the ids of the others to their faults."""

    def probe(row: ClipRow) -> int | str:
        if row.path is None or row.fault:
            return row.fault
        try:
            return encoder.probe(row.path)
        except MediaAbsent:
            return VANISHED
        except MediaFault as fault:
            return str(fault)

    threads = _threads()
    probed = list(ahead_of(rows, probe, threads=threads, ahead=8 * threads))
    lengths = {row: length for row, length in enumerate(probed) if isinstance(length, int)}
    return lengths, {rows[row].id: fault for row, fault in enumerate(probed) if isinstance(fault, str)}


def _read_shard(path: Path) -> ShardResult:
    header = tensors.read_header(path)
    return ShardResult(tensors.read(path)["features"], header["faults"], header["notes"])


def _assemble(
    rows: Sequence[ClipRow],
    encoder: ClipEncoder,
    shards: dict[int, Shard],
    results: Iterable[tuple[int, ShardResult]],
    faults: dict[str, str],
    zeros: Callable[[tuple[int, ...], type], np.ndarray] = np.zeros,
) -> Extracted:
    """Put every row in its place in one array.

    Besides that array, one shard at a time is in memory. Args: zeros: allocates an array of a shape and a type.
    """
    features = zeros((len(rows), encoder.layers, encoder.width), np.float16)
    faults, notes, encoded = dict(faults), dict[str, str](), 0
    for number, result in results:
        if result.features_NLD.dtype == np.float32 != features.dtype:
            wide = zeros(features.shape, np.float32)
            wide[:] = features
            features = wide
        features[[row for batch in shards[number] for row in batch]] = result.features_NLD
        faults |= result.faults
        notes |= result.notes
        encoded += len(result.features_NLD) - len(result.faults)
    present = np.array([row.id not in faults for row in rows], dtype=bool)
    return Extracted(features, encoded, present_N=present, faults=faults, notes=notes)


def on_disk(folder: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Allocate zeros in a nameless file, which vanishes with the array, or with the process when that is killed.

    The system can write such memory back to the disk at any time, so features of any number of clips fit.

    Raises: OSError when the disk has no room. Without this check a write to the array would crash the process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
        return np.memmap(file, dtype, "r+", shape=shape)


def _threads() -> int:
    """The threads that this process may keep busy; a worker of Ray has one processor on any machine."""
    import torch

    return min(MOST_THREADS, torch.get_num_threads())
