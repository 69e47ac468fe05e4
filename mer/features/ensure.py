"""Make sure that the feature files of a configuration are there: find them, or extract them once."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from mer.config import DataConfig, EncoderConfig, TextEncoderConfig, is_given
from mer.data import keep_splits, open_corpus, refuse_unkeepable
from mer.data.folds import POOL
from mer.features.cache.feature_file import check_header, file_name, touch, write_features
from mer.features.cache.key import key_of
from mer.features.failures import Failures, FailureWatch, TooManyFailed, failed_record, read_card, reasons_of
from mer.features.from_files.placing import MEND
from mer.features.from_files.pooled import GivenReading
from mer.features.from_files.unpooled import GivenStepReading
from mer.features.from_text.pooled import TextReading
from mer.features.from_text.sequences import TextSequenceReading
from mer.features.from_text.unpooled import TokenReading
from mer.features.reading import ClipRow, Extracted, PreparedSplit, Reading, Spread
from mer.files import write_json
from mer.locks import acquire
from mer.progress import Progress, Step, reporting

MOST_LINES = 50  # clips with a line each; of more, the sidecar has the list


@dataclass(frozen=True)
class Ensured:
    """The files that `ensure_features` found or made.

    Args:
        paths: the file of each split.
        encoded: texts or clips that the backbone read just now; 0 when every file was there.
        seconds: wall time of the call.
        failures: clips of each split that could not be read, also in files that were there.
    """

    paths: dict[str, Path]
    encoded: int
    seconds: float
    failures: tuple[Failures, ...] = ()


def ensure_features(
    data: DataConfig,
    encoder: EncoderConfig | None,
    splits: Sequence[str],
    *,
    cache: Path,
    progress: Progress = None,
    spread: Spread | None = None,
    reading: Reading | None = None,
    max_failed: float | None = None,
) -> Ensured:
    """Find the feature file of each split, and extract the missing ones. Several processes may call this at once.

    Args:
        cache: folder of all feature files.
        progress: None draws a bar on a terminal and sparse lines elsewhere; False is silent; a function is called with
            the number of texts or clips done and in all.
        spread: reads clips elsewhere, e.g. on a cluster; None reads them in this process.
        reading: reads the utterances where no backbone does (a whole model); None: the backbone of `encoder` does.
        max_failed: share of a split's clips, in [0, 1], that may be unreadable; None: any.
    Raises: TooManyFailed; MerError when data or backbone are not to be had, or a file of the right name is corrupt or
        foreign (it is never replaced silently); OSError naming the file when the disk is full or the cache cannot be
        written to.
    """
    start = time.monotonic()
    if reading is None:
        assert encoder is not None
        reading = _reading(encoder, cache, progress, spread, max_failed)
    if data.folds is not None and tuple(splits) != (POOL,):  # one file has all rows: every split is a part of it
        whole = ensure_features(
            data, encoder, (POOL,), cache=cache, progress=progress, spread=spread, reading=reading,
            max_failed=max_failed,
        )  # fmt: skip
        return replace(whole, paths=dict.fromkeys(splits, whole.paths[POOL]))
    corpus = open_corpus(data, tuple(splits))
    refuse_unkeepable(corpus)
    prepared = [reading.prepare(corpus, data, split, cache) for split in splits]
    paths = {item.split: item.path for item in prepared}
    encoded = 0
    for item in prepared:
        if not _present(item):
            paths[item.split], count = _extract_missing(item, reading, corpus.name, progress)
            encoded += count
    keep_splits(corpus)  # not before: an extraction that was refused leaves nothing beside the data
    failures = tuple(_failures(item, paths[item.split], reading, max_failed, corpus.root) for item in prepared)
    return Ensured(paths, encoded, time.monotonic() - start, failures)


def _failures(item: PreparedSplit, path: Path, reading: Reading, max_failed: float | None, root: Path) -> Failures:
    """Say which clips of a file could not be read. Raises: TooManyFailed, also for a file that was there."""
    title = f"{item.ingredients['dataset']}/{item.split} with {reading.name}"
    masked = read_card(path).get("masked") or {}
    mend = MEND if isinstance(reading, GivenReading) else ""
    FailureWatch(title, len(item.ids), max_failed, root, mend).add(masked)
    return Failures(title, len(item.ids), reasons_of(masked), path.with_suffix(".json"))


def _reading(
    encoder: EncoderConfig, cache: Path, progress: Progress, spread: Spread | None, max_failed: float | None
) -> Reading:
    if is_given(encoder):
        of_files = GivenStepReading if encoder.keeps_states else GivenReading
        return of_files(encoder, cache, max_failed=max_failed)
    if isinstance(encoder, TextEncoderConfig):
        if encoder.keeps_states:
            return TokenReading(encoder, cache)
        return TextReading(encoder, cache) if encoder.mode == "frozen" else TextSequenceReading(encoder, cache)
    from mer.features.from_clips.pooled import ClipReading
    from mer.features.from_clips.sequences import ClipSequenceReading
    from mer.features.from_clips.unpooled import ClipStepReading

    kind: type[ClipReading] = ClipReading if encoder.mode == "frozen" else ClipSequenceReading
    kind = ClipStepReading if encoder.keeps_states else kind
    told = False if callable(progress) else progress
    return kind(encoder, cache, progress=told, spread=spread, max_failed=max_failed)


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
            if not callable(progress):
                step(0, len(item.rows))  # the total at once: loading a backbone takes seconds
            return _extract(item, reading, step, title, silent=progress is False)


def _extract(item: PreparedSplit, reading: Reading, step: Step, title: str, *, silent: bool) -> tuple[Path, int]:
    start, parts = time.monotonic(), parts_folder(item.path)
    try:
        done = reading.extract(item, parts=parts, step=step)
    except TooManyFailed as fault:
        write_json(failed_record(item.path), {"stopped": fault.found, "allowed": fault.allowed, "masked": fault.faults})
        raise
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
            **(_said_of_clips(done) if done.present_N is not None else {}),
        },
    )
    shutil.rmtree(parts, ignore_errors=True)
    failed_record(item.path).unlink(missing_ok=True)
    if not silent:
        for line in masked_lines(item, done, path.with_suffix(".json")):
            print(f"{title}: {line}", file=sys.stderr, flush=True)
    return path, done.encoded


def _said_of_clips(done: Extracted) -> dict[str, Any]:
    """Say of an extraction what people look up: every clip that was masked or mended, and the reasons by kind."""
    kinds = {"masked": done.faults, "mended": done.notes}
    return {**kinds, "reasons": {kind: [asdict(r) for r in reasons_of(said)] for kind, said in kinds.items()}}


def masked_lines(item: PreparedSplit, done: Extracted, record: Path) -> Iterator[str]:
    """Yield one line per clip that was masked or mended, the reasons by kind, and a summary; nothing if all were good.

    Args: record: the file that has every clip; it is named where the clips are too many for a line each.
    """
    where = {row.id: row.path for row in item.rows if isinstance(row, ClipRow)}
    for what, said in (("masked", done.faults), ("mended", done.notes)):
        if len(said) <= MOST_LINES:
            for clip, reason in said.items():
                yield f"{what} {clip}{f' ({where[clip]})' if where.get(clip) else ''}: {reason}"
        else:
            yield f"{what} {len(said)} clips, each with its reason in {record}"
    if done.faults:
        yield "clips that could not be read, by reason:"
        yield from Failures("", len(item.ids), reasons_of(done.faults)).table()
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
    lock = lock_file(path)
    try:
        return acquire(lock, timeout_s=0)
    except Timeout:
        if not silent:
            print(f"{title}: another process extracts it, waiting ({lock})", file=sys.stderr, flush=True)
        return acquire(lock)


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
