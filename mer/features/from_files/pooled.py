"""Features that others extracted become the rows of a feature file: found by name, pooled, checked.

An utterance without features is a masked row, as one whose clip is missing; features that are there and cannot be used
are refused, since they would be as wrong in the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mer.config import DataConfig, EncoderConfig
from mer.data import Corpus
from mer.errors import MerError
from mer.features.backbone.hash_memo import HashMemo
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import backbone_words, ingredients_of, rows_hash
from mer.features.failures import FailureWatch
from mer.features.from_files.placing import ABSENT, MEND, ZEROS, find_places, refuse_unfit, widths_words
from mer.features.given.names import names_of
from mer.features.given.pooling import frames_of, pool
from mer.features.given.source import VERSION, Source, describe, name_of, open_source, pooler_of
from mer.features.given.unfit import Unfit
from mer.features.reading import Extracted, PreparedSplit
from mer.progress import Step

GIVEN_FEATURES = "given"  # the modality in the key of such files: they hold no label words, whatever the modality
_STEP = 64


class GivenReading:
    """Reads features of others; a `mer.features.reading.Reading`.

    Args: max_failed: share of a split's utterances, in [0, 1], that may have no features; None: any.
    Raises: MerError when there are no such features.
    """

    unit, device = "utterances", "cpu"

    def __init__(self, config: EncoderConfig, cache: Path, *, max_failed: float | None = None) -> None:
        self.config, self.cache, self.max_failed = config, cache, max_failed
        self.pooler, self.name = pooler_of(config), name_of(config)
        self.slug = self.name.replace(":", "--").replace(".", "_")  # a folder that looks like no file
        self.width = describe(config).width
        self.source: Source = open_source(config)

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        places = self.placed(corpus, split)
        ids = tuple(places)
        memo = HashMemo(cache / "clips.json")
        try:
            whole, hashes = self.source.hashes(sorted({place for place in places.values() if place}), memo)
        except OSError as fault:
            raise MerError(self.source.path, f"cannot be read: {fault.strerror or fault}") from fault
        memo.save()
        labels = {task: corpus.labels(split, task) for task in corpus.label_names}
        rows = [[name, hashes[place] if place else None] for name, place in places.items()]
        ingredients: dict[str, Any] = ingredients_of(
            modality=GIVEN_FEATURES,
            dataset=corpus.name,
            split=split,
            backbone=backbone_words(self.name, None, "float32", weights=whole, tokenizer="", config=""),
            reads={"modality": self.config.modality, "version": VERSION},
            pooler=self.pooler,
            content_sha256=rows_hash(rows, labels, corpus.label_names),
            storage="float32",
        )
        path = place_of(ingredients, cache=cache, slug=self.slug)
        return PreparedSplit(split, ids, labels, corpus.label_names, list(places.items()), ingredients, path)

    def placed(self, corpus: Corpus, split: str) -> dict[str, str | None]:
        """Find the features of each utterance by its names: id -> place; None where there are none. Reads no array.

        Raises: MerError when not one utterance has features, or two would read the same.
        """
        names = names_of(utterance for part in corpus.splits for utterance in corpus.utterances(part))
        own = {utterance.id: names[utterance.id] for utterance in corpus.utterances(split)}
        return find_places(self.source, own, f" of {split}")

    def absent(self, corpus: Corpus, split: str) -> dict[str, str]:
        """Say which utterances have no features: id -> why. Raises: MerError, as `placed`."""
        return {name: ABSENT for name, place in self.placed(corpus, split).items() if place is None}

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        missing = {name: ABSENT for name, place in prepared.rows if place is None}
        unfit: dict[str, str] = {}
        read: dict[int, np.ndarray] = {}
        for row, (name, place) in enumerate(prepared.rows):
            if place is not None:
                try:
                    taken = self.taken(frames_of(self.source.read(place)))
                except Unfit as fault:
                    unfit[name] = f"{place}: {fault}"
                else:
                    if taken is None:
                        missing[name] = ZEROS
                    else:
                        read[row] = taken
            if row % _STEP == 0 or row + 1 == len(prepared.rows):
                step(row + 1, len(prepared.rows))
        self._refuse_unfit(unfit, {prepared.rows[row][1]: one.shape[-1] for row, one in read.items()}, prepared.split)
        title = f"{prepared.ingredients['dataset']}/{prepared.split} with {self.name}"
        FailureWatch(title, len(prepared.rows), self.max_failed, mend=MEND).add(missing)
        present_N = np.array([name not in missing for name, _ in prepared.rows], dtype=bool)
        return self.as_read(read, present_N, missing)

    def taken(self, frames_TD: np.ndarray) -> np.ndarray | None:
        """Return what is kept of an utterance's frames; None where all are zeros."""
        return pool(frames_TD, self.pooler)

    def as_read(self, read: Mapping[int, np.ndarray], present_N: np.ndarray, missing: dict[str, str]) -> Extracted:
        """Put what was kept of each row that is there into its place."""
        features_ND = np.zeros((len(present_N), self.width), dtype=np.float32)
        for row, vector_D in read.items():
            features_ND[row] = vector_D
        return Extracted(features_ND[:, None], len(read), present_N=present_N, faults=missing)

    def _refuse_unfit(self, unfit: Mapping[str, str], widths: Mapping[str, int], split: str) -> None:
        """Raise MerError for features that are there and cannot be used, all of them in one message."""
        refuse_unfit(self.source, unfit, f" of {split}")
        if not widths:
            raise MerError(self.source.path, f"all features of {split} are zero", allowed="numbers that say something")
        if told := widths_words(list(widths), list(widths.values()), self.width):
            raise MerError(
                self.source.path,
                f"its features are not of one width: {self.source.first} has {self.width} numbers; of the utterances "
                f"of {split}, {told}",
                allowed="one width for all",
                then="take away what another extractor wrote",
            )
