"""Pooled hidden states of clips, or statistics of their signal: where the clips are, and the key of their features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mer.config import ClipEncoderConfig, DataConfig, VideoEncoderConfig
from mer.data import Corpus, Utterance
from mer.data.media import ClipFinder, FoundClip, MediaFault
from mer.data.media.notices import SEPARATOR
from mer.data.media.paths import Modality
from mer.errors import MerError
from mer.features.backbone.clip_encoder import ClipEncoder
from mer.features.backbone.files import BackboneFolder, Fingerprint, fingerprint
from mer.features.backbone.hash_memo import HashMemo
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import backbone_words, ingredients_of, rows_hash
from mer.features.failures import FailureWatch
from mer.features.from_clips.extraction import VANISHED, extract_clips
from mer.features.lacking import OWN, lacking
from mer.features.modalities import describe_backbone, locate_clip_backbone, open_clip_encoder, preprocessing_words
from mer.features.reading import ClipRow, Extracted, PreparedSplit, Spread
from mer.progress import Progress, Step, reporting

NO_WEIGHTS = Fingerprint("", "", "")
_ALLOWED = "clips where the reader expects them; `python -m mer.data check ROOT` says what is there"


def _way_out(corpus: Corpus, why: str) -> str:
    """Say what to do where no clip is found. Args: why: the reason, in words."""
    if "a link that leads out" in why:
        return "put the data file beside the clips themselves, or hard links of them beside it (cp -rl)"
    if corpus.dataset == OWN:
        return (
            f"paths start at the folder of the data file, {corpus.root}: put the file beside the clips, or correct them"
        )
    return (
        "MELD's raw archive: python -m mer.data prepare RAW --out ROOT; to try things: "
        "python -m mer.data sample datasets/sample, then --set data.root=datasets/sample"
    )


class ClipReading:
    """Reads clips with a frozen backbone; a `mer.features.reading.Reading`.

    Args:
        progress: of the hashing of clips; None draws a bar on a terminal.
        spread: reads clips elsewhere.
        max_failed: share of a split's clips, in [0, 1], that may be unreadable before the extraction ends; None: any.
    Raises: MerError when there is no such backbone; when its weights are not to be had, as soon as they are asked for.
    """

    def __init__(
        self, config: ClipEncoderConfig, cache: Path, *, progress: Progress = None, spread: Spread | None = None,
        max_failed: float | None = None,
    ) -> None:  # fmt: skip
        self.config, self.progress, self.spread, self.max_failed = config, progress, spread, max_failed
        self.modality = config.modality
        self.card = describe_backbone(config)
        self.cache, self.root = cache, Path("ROOT")
        self.name = self.card.name
        self.slug, self.device = self.name.replace("/", "--"), ""
        self.unit = "clips"
        self._encoder: ClipEncoder | None = None

    @cached_property
    def found(self) -> BackboneFolder | None:
        """The backbone's folder; None for signal statistics. Raises: MerError."""
        return locate_clip_backbone(self.config)

    @cached_property
    def hashes(self) -> Fingerprint:
        """Hashes of the backbone's files."""
        return fingerprint(self.found, self.cache) if self.found else NO_WEIGHTS

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        self.root = corpus.root
        rows = self._rows(corpus, split, cache)
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        ingredients = self._ingredients(corpus, split, rows, labels)
        path = place_of(ingredients, cache=cache, slug=self.slug)
        return PreparedSplit(split, tuple(row.id for row in rows), labels, corpus.label_names, rows, ingredients, path)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        encoder = self._encoder = self._encoder or open_clip_encoder(self.config, self.found)
        self.device = str(getattr(encoder, "device", "cpu"))
        done = extract_clips(
            prepared.rows, self.config, encoder, parts=parts, key=prepared.key, step=step, spread=self.spread,
            watch=self.watch(prepared),
        )  # fmt: skip
        return self._as_read(prepared, done)

    def watch(self, prepared: PreparedSplit) -> FailureWatch:
        """Count the clips that fail of this split."""
        title = f"{prepared.ingredients['dataset']}/{prepared.split} with {self.name}"
        return FailureWatch(title, len(prepared.rows), self.max_failed, self.root)

    def _as_read(self, prepared: PreparedSplit, done: Extracted) -> Extracted:
        """Change the key when a file went away between hashing and reading.

        Under the old key, the masked row would be taken for the clip's features once the file is back.
        """
        if VANISHED not in done.faults.values():
            return done
        read = [ClipRow(r.id, r.path, None if done.faults.get(r.id) == VANISHED else r.sha256) for r in prepared.rows]
        content = clips_hash(read, prepared.labels, prepared.label_names)
        return replace(done, ingredients={**prepared.ingredients, "content_sha256": content})

    def placed(self, corpus: Corpus, split: str) -> list[FoundClip | str]:
        """Find the clip of each utterance, or the reason why there is none; reads nothing.

        Raises: MerError when not a single clip is there.
        """
        utterances, finder = corpus.utterances(split), ClipFinder(corpus.root, corpus.links)
        placed = [self._place(finder, utterance) for utterance in utterances]
        if not any(isinstance(place, FoundClip) for place in placed):
            first = next((name for u in utterances for name in self._names(u) if name), None)
            if not first:
                raise lacking(self.modality, corpus, split)
            why = self._why(placed)
            raise MerError(
                corpus.root,
                f"no {self.modality} clip of split {split!r} is there: looked for {first} (any ending) and "
                f"{len(utterances) - 1} more ({why})",
                allowed=_ALLOWED,
                then=_way_out(corpus, why),
            )
        return placed

    def _rows(self, corpus: Corpus, split: str, cache: Path) -> list[ClipRow]:
        """Locate and hash every clip. Raises: MerError when not a single clip is there."""
        utterances, placed = corpus.utterances(split), self.placed(corpus, split)
        files = [place.path for place in placed if isinstance(place, FoundClip)]
        memo = HashMemo(cache / "clips.json")
        told = self.progress if memo.is_new(files) else False
        with reporting(told, f"hashing {self.modality} clips of {split}", unit="clips") as step:
            hashes = dict(zip(files, memo.sha256_all(files, step, os.cpu_count() or 1), strict=True))
        memo.save()
        rows = []
        for utterance, place in zip(utterances, placed, strict=True):
            if isinstance(place, str):
                rows.append(ClipRow(utterance.id, None, None, place))
            else:
                sha256 = hashes[place.path]
                fault = "" if sha256 else "cannot be read"
                rows.append(ClipRow(utterance.id, place.path, sha256, fault, SEPARATOR.join(place.notes)))
        return rows

    def _place(self, finder: ClipFinder, utterance: Utterance) -> FoundClip | str:
        """The clip, or the reason why there is none."""
        names = self._names(utterance)
        if not any(names):
            return "the dataset has no such clip"
        kind: Modality = "video" if isinstance(self.config, VideoEncoderConfig) else "audio"
        try:
            return _crop(finder, names[0]) if self._reads_crops and names[0] else finder.find(kind, *names)
        except MediaFault as fault:
            return str(fault)

    @property
    def _reads_crops(self) -> bool:
        return isinstance(self.config, VideoEncoderConfig) and self.config.crops is not None

    def _names(self, utterance: Utterance) -> tuple[str | None, ...]:
        names = utterance.clip_names(self.modality)
        if isinstance(self.config, VideoEncoderConfig) and self.config.crops:
            return tuple(n and str(PurePosixPath(self.config.crops, *PurePosixPath(n).parts[1:])) for n in names)
        return names

    def _ingredients(
        self, corpus: Corpus, split: str, rows: Sequence[ClipRow], labels: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        own_way = self.config.pooler == "auto" or self.found is None
        return ingredients_of(
            modality=self.modality,
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(self.name, self.card.revision, self.config.dtype, **asdict(self.hashes)),
            reads=preprocessing_words(self.config, self.found),
            pooler=self.card.pooler if own_way else self.config.pooler,
            content_sha256=clips_hash(rows, labels, corpus.label_names),
        )

    @staticmethod
    def _why(placed: Sequence[FoundClip | str]) -> str:
        return str(next((place for place in placed if isinstance(place, str)), "")) or "unreadable"


def clips_hash(rows: Sequence[ClipRow], labels: dict[str, np.ndarray], label_names: Any) -> str:
    """Hash ids, the content of every clip, labels and label names, in row order."""
    return rows_hash(([row.id, row.sha256] for row in rows), labels, label_names)


def _crop(finder: ClipFinder, name: str) -> FoundClip:
    """Find a cropped clip: a video of the same name, or a folder of pictures of that name without its suffix."""
    try:
        return finder.find("video", name)
    except MediaFault:
        folder = finder.root / PurePosixPath(name).with_suffix("")
        if ".." not in PurePosixPath(name).parts and folder.is_dir():
            return FoundClip(folder)
        raise
