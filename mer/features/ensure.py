"""From a configuration to feature files: find them, or extract them once."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from mer.config import DataConfig, TextEncoderConfig
from mer.data import Corpus, Window, load_corpus, windows
from mer.errors import MerError
from mer.features.backbones import BackboneFolder, Fingerprint, describe_backbone, fingerprint, locate
from mer.features.cache import check_header, file_name, touch, write_features
from mer.features.progress import Progress, Step, reporting
from mer.features.request import FeatureRequest, content_hash, key_of

if TYPE_CHECKING:
    from mer.features.encoder import Encoder


@dataclass(frozen=True)
class Ensured:
    """What `ensure_features` found or made.

    Args:
        paths: the file of each split.
        encoded: texts the backbone read just now; 0 when everything was there.
        seconds: wall time of the call.
    """

    paths: dict[str, Path]
    encoded: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _Split:
    """Everything about one split that is decided before a backbone runs."""

    request: FeatureRequest
    windows: list[Window]
    labels: dict[str, np.ndarray]
    label_names: Mapping[str, tuple[str, ...]]
    ingredients: dict[str, Any]
    path: Path

    @property
    def key(self) -> str:
        return key_of(self.ingredients)


def ensure_features(
    data: DataConfig, encoder: TextEncoderConfig, splits: Sequence[str], *, cache: Path, progress: Progress = None
) -> Ensured:
    """Give the feature file of each split, extracting those that are missing. Safe to call from several processes.

    Args:
        cache: folder of all feature files.
        progress: None draws a bar on a terminal and sparse lines elsewhere, False is silent, a function gets
            (texts done, texts in all).
    Raises: MerError when data or backbone are not to be had, or a file of the right name is corrupt or foreign (it is
        never replaced silently); OSError naming the file when the disk is full or the cache cannot be written to.
    """
    start = time.monotonic()
    found = locate(encoder, weights=True)
    describe_backbone(encoder)  # refuses what is not an encoder before anything is hashed
    corpus = load_corpus(data.dataset, data.root, splits=tuple(splits))
    hashes = fingerprint(found, cache)
    requests = [FeatureRequest.from_config(data, encoder, split) for split in splits]
    prepared = [_prepare(corpus, request, found, hashes, cache) for request in requests]
    missing = [item for item in prepared if not _present(item)]
    encoded = _extract_missing(missing, found, progress) if missing else 0
    paths = {item.request.split: item.path for item in prepared}
    return Ensured(paths, encoded, time.monotonic() - start)


def _prepare(
    corpus: Corpus, request: FeatureRequest, found: BackboneFolder, hashes: Fingerprint, cache: Path
) -> _Split:
    rows = windows(corpus.dialogues(request.split), past=request.past, future=request.future, speaker=request.speaker)
    ids = [utterance.id for utterance in corpus.utterances(request.split)]
    if [row.id for row in rows] != ids or not rows:
        raise MerError(request.root, f"split {request.split!r}: {len(rows)} windows for {len(ids)} utterances")
    labels = {task: corpus.labels(request.split, task) for task in corpus.label_names}
    ingredients = request.ingredients(found, hashes, content_hash(rows, labels, corpus.label_names))
    folder = cache / request.dataset / request.modality / found.slug
    path = folder / file_name(request.split, key_of(ingredients))
    return _Split(request, rows, labels, corpus.label_names, ingredients, path)


def _present(split: _Split) -> bool:
    if not split.path.exists():
        return False
    check_header(split.path, split.key)
    touch(split.path)
    return True


def _extract_missing(missing: Sequence[_Split], found: BackboneFolder, progress: Progress) -> int:
    from mer.features.encoder import Encoder  # torch and transformers: seconds to import, so only when needed

    encoder: Encoder | None = None
    encoded = 0
    for split in missing:
        title = f"{split.request.dataset}/{split.request.split} with {found.name}"
        with _lock(split.path, title, silent=progress is False):
            if _present(split):  # another process made it while we waited
                continue
            encoder = encoder or Encoder(found, split.request.dtype)
            with reporting(progress, title) as step:
                encoded += _extract(split, encoder, step)
    return encoded


def _extract(split: _Split, encoder: Encoder, step: Step) -> int:
    from mer.features.extraction import extract

    start, request = time.monotonic(), split.request
    tokenizer = encoder.turn_tokenizer(max_tokens=request.max_tokens, prompt=request.prompt, pooler=request.pooler)
    inputs = [tokenizer.window(window) for window in split.windows]
    encoder.check(inputs)
    parts = parts_folder(split.path)
    features, encoded = extract(inputs, encoder.encode, parts=parts, key=split.key, step=step)
    label_text = {
        task: np.concatenate([encoder.encode([tokenizer.word(name)]) for name in names])
        for task, names in split.label_names.items()
    }
    write_features(
        split.path,
        ingredients=split.ingredients,
        features=features,
        ids=tuple(window.id for window in split.windows),
        labels=split.labels,
        label_names=split.label_names,
        label_text=label_text,
        circumstances={
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            "texts_encoded": encoded,
            "machine": {**_machine(), "device": str(encoder.device)},
        },
    )
    shutil.rmtree(parts, ignore_errors=True)
    return encoded


def parts_folder(path: Path) -> Path:
    """Where the shards of an unfinished file are."""
    return path.with_name(f".{path.stem}.parts")


def lock_file(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")


def _lock(path: Path, title: str, *, silent: bool) -> Any:
    """One process extracts, the others wait and then read its file. A killed owner's lock is released by the system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file(path))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        if not silent:
            import sys

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
