"""Many clips for a tuned encoder, or unpooled: read in the batches and shards of `extraction`, joined as sequences.

Suffixes: N clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.cache import tensors
from mer.features.cache.sequences import Sequences
from mer.features.cache.shards import Shard, as_stored, clips_in, is_finished, shard_file
from mer.features.failures import FailureWatch
from mer.features.from_clips.extraction import on_disk, plan_clips, read_shards
from mer.features.from_clips.states import RaggedReader, SequenceRow
from mer.features.reading import ClipRow, Extracted
from mer.files import sha256_json
from mer.progress import Step


@dataclass(frozen=True, eq=False)
class SequenceShard:
    """A shard's clips, in its order. The row of a masked clip is empty."""

    sequences: Sequences
    faults: dict[str, str]
    notes: dict[str, str]


def extract_sequences(
    rows: Sequence[ClipRow], states: RaggedReader, width: int, *, parts: Path, key: str, step: Step,
    watch: FailureWatch | None = None,
) -> Extracted:  # fmt: skip
    """Read every clip that can be read, and take over the whole shards that an interrupted run left in `parts`.

    Args:
        width: of the encoder's hidden states.
        watch: is told of faults as they come, and may end the reading (whole shards stay).
    Raises: MerError when a hidden state is not finite, or the watch says so; OSError when the disk is full.
    """
    shards, faults = plan_clips(rows, states)
    watch = watch or FailureWatch("", len(rows))
    watch.add(faults)
    plan = sha256_json([key, list(shards.values())])
    todo = {
        number: shard
        for number, shard in shards.items()
        if not is_finished(shard_file(parts, number), plan, shard, "tokens.spans")
    }
    done, total = clips_in(shards) - clips_in(todo), clips_in(shards)
    encoded = 0
    step(done, total)
    for number, made in _encode_shards(states, rows, todo):
        lengths = made.sequences.lengths.tolist()
        said = {"plan": plan, "faults": made.faults, "notes": made.notes, "lengths": lengths}
        tensors.write(shard_file(parts, number), made.sequences.arrays(), said)
        encoded += len(lengths) - len(made.faults)
        done += len(lengths)
        step(done, total)
        watch.add(made.faults)
    lengths = {number: tensors.read_header(shard_file(parts, number))["lengths"] for number in shards}
    results = ((number, _read_shard(shard_file(parts, number))) for number in shards)
    allocate = partial(on_disk, parts)
    read = replace(_assemble(rows, states, width, shards, lengths, results, faults, allocate), encoded=encoded)
    watch.add(read.faults)  # also those in shards of an interrupted run
    return read


def read_sequences(rows: Sequence[ClipRow], states: RaggedReader, width: int, step: Step) -> Extracted:
    """`extract_sequences` without shards, for clips that belong to no dataset."""
    shards, faults = plan_clips(rows, states)
    step(0, clips_in(shards))
    results = dict(_encode_shards(states, rows, shards))
    step(clips_in(shards), clips_in(shards))
    lengths = {number: result.sequences.lengths.tolist() for number, result in results.items()}
    return _assemble(rows, states, width, shards, lengths, results.items(), faults, np.zeros)


def _encode_shards(
    states: RaggedReader, rows: Sequence[ClipRow], shards: Mapping[int, Shard]
) -> Iterator[tuple[int, SequenceShard]]:
    what = "the input" if states.start is None else f"hidden state {states.start}"
    absent = SequenceRow(np.empty((0, *states.unit_shape), np.float16), (0, 0))

    def encode(batch: list[int], good: dict[int, LoadedClip]) -> list[SequenceRow]:
        made = dict(zip(good, states.encode(list(good.values())), strict=True))
        made = {row: replace(one, values=_stored(one.values, f"{what} of {rows[row].id}")) for row, one in made.items()}
        return [made.get(row, absent) for row in batch]

    for number, pieces, faults, notes in read_shards(states, rows, shards.items(), encode):
        ragged = list(chain.from_iterable(pieces))
        sequences = Sequences.join([one.values for one in ragged], [one.span for one in ragged])
        yield number, SequenceShard(sequences, faults, notes)


def _stored(values: np.ndarray, name: str) -> np.ndarray:
    return as_stored(values.reshape(len(values), 1, -1), name).reshape(values.shape)


def _read_shard(path: Path) -> SequenceShard:
    header = tensors.read_header(path)
    sequences = Sequences.from_arrays(tensors.read(path))
    assert sequences is not None
    return SequenceShard(sequences, header["faults"], header["notes"])


def _assemble(
    rows: Sequence[ClipRow],
    states: RaggedReader,
    width: int,
    shards: Mapping[int, Shard],
    lengths: Mapping[int, Sequence[int]],
    results: Iterable[tuple[int, SequenceShard]],
    faults: Mapping[str, str],
    allocate: Callable[[tuple[int, ...], type], np.ndarray],
) -> Extracted:
    """Put every row in its place; besides the result, one shard at a time is in memory."""
    lengths_N = np.zeros(len(rows), dtype=np.int64)
    for number, shard in shards.items():
        lengths_N[list(chain.from_iterable(shard))] = lengths[number]
    offsets = np.concatenate([[0], np.cumsum(lengths_N)])
    shape = (int(offsets[-1]), *states.unit_shape)
    values = allocate(shape, np.float16) if shape[0] else np.empty(shape, np.float16)
    spans = np.zeros((len(rows), 2), dtype=np.int32)
    said, notes, encoded = dict(faults), dict[str, str](), 0
    for number, result in results:
        if result.sequences.values.dtype == np.float32 != values.dtype:
            wide = allocate(shape, np.float32)
            wide[:] = values
            values = wide
        starts = result.sequences.offsets
        for place, row in enumerate(chain.from_iterable(shards[number])):
            values[offsets[row] : offsets[row + 1]] = result.sequences.values[starts[place] : starts[place + 1]]
            spans[row] = result.sequences.spans[place]
        said |= result.faults
        notes |= result.notes
        encoded += len(result.sequences) - len(result.faults)
    present_N = np.array([row.id not in said for row in rows], dtype=bool)
    pooled = np.empty((len(rows), 0, width), dtype=np.float16)  # the model of the trial pools
    return Extracted(
        pooled, encoded, present_N=present_N, faults=said, notes=notes, sequences=Sequences(values, offsets, spans)
    )
