"""Refuse a study whose sequences fit neither the disk nor shared memory, before anything is encoded."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mer.config import DataConfig, EncoderConfig, TextEncoderConfig, is_given
from mer.data import open_corpus
from mer.data.folds import POOL
from mer.errors import MerError
from mer.features.backbone.files import backbone_key, locate, weight_files
from mer.features.from_files.unpooled import GivenStepReading
from mer.features.from_text.sequences import TextSequenceReading
from mer.features.from_text.unpooled import TokenReading
from mer.tensor_header import read_header

if TYPE_CHECKING:
    from mer.features.from_clips.sequences import ClipSequenceReading
    from mer.features.from_clips.unpooled import ClipStepReading

SHARED_MEMORY = Path("/dev/shm")  # where Ray's object store lies
_SECOND = 16_000  # samples
STORE_SHARE = 1.2  # bytes of the object store per byte that is put into it


def refuse_no_room(wanted: Sequence[tuple[DataConfig, EncoderConfig]], splits: Sequence[str], cache: Path) -> None:
    """Compare the sequences of these encoders, which are tuned or keep states (pooler none), with the free space.

    A file that is there counts with its size. For a missing one, texts are tokenised and headers of clips are read.
    While a file is made, its shards need space too, and clips are put together on the disk.

    Raises: MerError when the files do not fit on the disk, or not into shared memory.
    """
    if not wanted:
        return
    new, making, held = 0, 0, 0
    sizes: list[tuple[int, str, EncoderConfig]] = []
    for data, encoder in wanted:
        reading = _reading(encoder, cache)
        parts = tuple(splits) if data.folds is None else (POOL,)
        corpus = open_corpus(data, parts)
        for split in parts:
            prepared = reading.prepare(corpus, data, split, cache)
            there = prepared.path.exists()
            size = prepared.path.stat().st_size if there else reading.bytes_for(prepared)
            held += size
            if not there:
                new, making = new + size, max(making, size if encoder.modality == "text" else 2 * size)
            sizes.append((size, split, encoder))
    tuned = [encoder for _, encoder in wanted if encoder.mode != "frozen"]
    store = int(STORE_SHARE * (held + shared_weights_bytes(tuned)))
    size, split, encoder = max(sizes, key=lambda one: one[0])
    for need, place, what in (
        (new + making, cache, "cached tokens"),
        (store, SHARED_MEMORY, f"cached tokens{' and weights' if tuned else ''}"),
    ):
        free = free_bytes(place)
        if free is not None and need > free:
            raise MerError(
                place,
                f"{what} of {len(wanted)} encoder settings would take {_gb(need)} here, {_gb(free)} are free "
                f"(the largest: {encoder.modality}, {split} {_from(encoder)} takes {_gb(size)})",
                then=_ways_out(encoder),
            )


def _reading(
    encoder: EncoderConfig, cache: Path
) -> TextSequenceReading | TokenReading | ClipSequenceReading | ClipStepReading | GivenStepReading:
    if is_given(encoder):
        return GivenStepReading(encoder, cache)
    if isinstance(encoder, TextEncoderConfig):
        return TokenReading(encoder, cache) if encoder.keeps_states else TextSequenceReading(encoder, cache)
    from mer.features.from_clips.sequences import ClipSequenceReading
    from mer.features.from_clips.unpooled import ClipStepReading

    return ClipStepReading(encoder, cache) if encoder.keeps_states else ClipSequenceReading(encoder, cache)


def _ways_out(encoder: EncoderConfig) -> str:
    """Name the settings that would make the largest file smaller."""
    if encoder.keeps_states:
        own = f"encoders.{encoder.modality}"
        return f"set {own}.max_states lower (it is {encoder.max_states}), or another {own}.pooler"
    where, smaller = f"encoders.{encoder.modality}", encoder.first_tuned is not None
    length = "context.max_tokens"
    if not isinstance(encoder, TextEncoderConfig):
        from mer.features.modalities import clip_wiring

        wiring = clip_wiring(encoder, locate(encoder, weights=False))
        raw, length = wiring.raw_units(_SECOND), wiring.length_key
        now, live = (wiring.units(raw, at) * math.prod(wiring.unit_shape(at)) for at in (encoder.first_tuned, None))
        smaller = live < now
    ways = [f"set {where}.split_cache: false (frozen layers then run in every step)"] if smaller else []
    ways += [f"a smaller {where}.{length}"] if length else []
    return ", or ".join([*ways, f"search fewer values of {where}.freeze_layers"])


def _from(encoder: EncoderConfig) -> str:
    if encoder.keeps_states:
        return f"of up to {encoder.max_states} states each"
    return "of raw input" if encoder.first_tuned is None else f"after layer {encoder.first_tuned}"


def shared_weights_bytes(encoders: Iterable[EncoderConfig]) -> int:
    """Add up `weights_bytes` of the encoders' backbones, each counted once."""
    distinct = {backbone_key(encoder): encoder for encoder in encoders}
    return sum(map(weights_bytes, distinct.values()))


def weights_bytes(encoder: EncoderConfig) -> int:
    """The size of the backbone's weights in float32, from the headers of its files."""
    headers = map(read_header, weight_files(locate(encoder, weights=True).folder))
    return 4 * sum(math.prod(shape) for header in headers for shape in header.shapes.values())


def free_bytes(place: Path) -> int | None:
    """The free bytes where `place` is or will be; None when there is no such file system."""
    existing = next((folder for folder in (place, *place.resolve().parents) if folder.exists()), None)
    if existing is None or (place == SHARED_MEMORY and existing != place):
        return None
    return shutil.disk_usage(existing).free


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
