"""Make sure that the feature files of a configuration are there: find them, or extract them once."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mer.config import DataConfig, EncoderConfig, TextEncoderConfig
from mer.data import open_corpus
from mer.features.cache.feature_file import check_header, file_name, touch, write_features
from mer.features.cache.key import key_of
from mer.features.from_text.pooled import TextReading
from mer.features.from_text.sequences import TextSequenceReading
from mer.features.reading import ClipRow, Extracted, PreparedSplit, Reading, Spread
from mer.progress import Progress, Step, reporting


@dataclass(frozen=True)
class Ensured:
    """The files that `ensure_features` found or made.

    Args:
        paths: the file of each split.
        encoded: texts or clips that the backbone read just now; 0 when every file was there.
        seconds: wall time of the call.
    """

    paths: dict[str, Path]
    encoded: int
    seconds: float


def ensure_features(
    data: DataConfig,
    encoder: EncoderConfig | None,
    splits: Sequence[str],
    *,
    cache: Path,
    progress: Progress = None,
    spread: Spread | None = None,
    reading: Reading | None = None,
) -> Ensured:
    """Find the feature file of each split, and extract the missing ones. Several processes may call this at once.

    Args:
        cache: folder of all feature files.
        progress: None draws a bar on a terminal and sparse lines elsewhere; False is silent; a function is called with
            the number of texts or clips done and in all.
        spread: reads clips elsewhere, e.g. on a cluster; None reads them in this process.
        reading: reads the utterances where no backbone does (a whole model); None: the backbone of `encoder` does.
    Raises: MerError when data or backbone are not to be had, or a file of the right name is corrupt or foreign (it is
        never replaced silently); OSError naming the file when the disk is full or the cache cannot be written to.
    """
    start = time.monotonic()
    if reading is None:
        assert encoder is not None
        reading = _reading(encoder, cache, progress, spread)
    corpus = open_corpus(data, tuple(splits))
    prepared = [reading.prepare(corpus, data, split, cache) for split in splits]
    paths = {item.split: item.path for item in prepared}
    encoded = 0
    for item in prepared:
        if not _present(item):
            paths[item.split], count = _extract_missing(item, reading, corpus.name, progress)
            encoded += count
    return Ensured(paths, encoded, time.monotonic() - start)


def _reading(encoder: EncoderConfig, cache: Path, progress: Progress, spread: Spread | None) -> Reading:
    if isinstance(encoder, TextEncoderConfig):
        return TextReading(encoder, cache) if encoder.mode == "frozen" else TextSequenceReading(encoder, cache)
    from mer.features.from_clips.pooled import ClipReading
    from mer.features.from_clips.sequences import ClipSequenceReading

    kind = ClipReading if encoder.mode == "frozen" else ClipSequenceReading
    return kind(encoder, cache, progress=False if callable(progress) else progress, spread=spread)


def _present(item: PreparedSplit) -> bool:
    if not item.path.exists():
        return False
    check_header(item.path, item.key)
    touch(item.path)
    return True


def _extract_missing(item: PreparedSplit, reading: Reading, dataset: str, progress: Progress) -> tuple[Path, int]:
    title = f"{dataset}/{item.split} with {reading.name}"
    with _lock(item.path, title, silent=progress is False):
        if _present(item):  # another process made it while we waited
            return item.path, 0
        with reporting(progress, title, reading.unit) as step:
            return _extract(item, reading, step, title, silent=progress is False)


def _extract(item: PreparedSplit, reading: Reading, step: Step, title: str, *, silent: bool) -> tuple[Path, int]:
    start, parts = time.monotonic(), parts_folder(item.path)
    done = reading.extract(item, parts=parts, step=step)
    ingredients = done.ingredients or item.ingredients
    path = item.path.with_name(file_name(item.split, key_of(ingredients)))
    write_features(
        path,
        ingredients=ingredients,
        features=done.features_NLD,
        ids=item.ids,
        labels=item.labels,
        label_names=item.label_names,
        label_text=done.label_text,
        present=done.present_N,
        logits=done.logits_NC,
        sequences=done.sequences,
        circumstances={
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            f"{reading.unit}_encoded": done.encoded,
            "machine": {**_machine(), "device": reading.device},
            **({"masked": done.faults, "mended": done.notes} if done.present_N is not None else {}),
        },
    )
    shutil.rmtree(parts, ignore_errors=True)
    if not silent:
        for line in masked_lines(item, done):
            print(f"{title}: {line}", file=sys.stderr, flush=True)
    return path, done.encoded


def masked_lines(item: PreparedSplit, done: Extracted) -> Iterator[str]:
    """Yield one line per clip that was masked or mended, and a summary; nothing when all clips were in order."""
    where = {row.id: row.path for row in item.rows if isinstance(row, ClipRow)}
    for what, said in (("masked", done.faults), ("mended", done.notes)):
        for clip, reason in said.items():
            yield f"{what} {clip}{f' ({where[clip]})' if where.get(clip) else ''}: {reason}"
    if done.faults or done.notes:
        whole = len(item.ids) - len(done.faults)
        yield f"{whole} of {len(item.ids)} clips read ({len(done.notes)} of them mended), {len(done.faults)} masked"


def parts_folder(path: Path) -> Path:
    """The folder that holds the shards of an unfinished file."""
    return path.with_name(f".{path.stem}.parts")


def lock_file(path: Path) -> Path:
    """The file that the process which extracts `path` has locked."""
    return path.with_name(f".{path.stem}.lock")


def _lock(path: Path, title: str, *, silent: bool) -> Any:
    """Lock a file's extraction: one process extracts, the others wait and then read its file.

    The system releases the lock of a killed process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file(path))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if not silent:
            print(f"{title}: another process extracts it, waiting ({lock.lock_file})", file=sys.stderr, flush=True)
        return lock.acquire()


def _machine() -> dict[str, Any]:
    import torch
    import transformers

    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }
