"""Frames that others extracted, kept as they are for models that pool them or read sequences (pooler none)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mer.config import DataConfig
from mer.data import Corpus
from mer.errors import MerError
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import ingredients_of_sequences
from mer.features.cache.sequences import Sequences, bytes_of, condensed
from mer.features.from_files.pooled import GivenReading
from mer.features.given.pooling import frames_of, said
from mer.features.given.unfit import Unfit
from mer.features.reading import Extracted, PreparedSplit

_SAMPLED = 32  # utterances whose frames are counted before all are read
_BYTES = 4  # of a number: they stay in float32


class GivenStepReading(GivenReading):
    """Reads features of others frame by frame; a `mer.features.reading.Reading`."""

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        usual = super().prepare(corpus, data, split, cache)
        ingredients = ingredients_of_sequences(
            usual.ingredients, hidden_state=0, hidden_states=1, width=self.width, most=self.config.max_states
        )
        return replace(usual, ingredients=ingredients, path=place_of(ingredients, cache=cache, slug=self.slug))

    def bytes_for(self, prepared: PreparedSplit) -> int:
        """Estimate the size of the file from the frames of some utterances."""
        places = [place for _, place in prepared.rows if place is not None]
        lengths = [len(row) for row in self._some(places[:: max(1, len(places) // _SAMPLED)], _SAMPLED)]
        frames = round(len(places) * float(np.mean(lengths or [self.config.max_states])))
        return bytes_of(frames, len(prepared.rows), self.width * _BYTES // 2)

    def example(self, corpus: Corpus, split: str, count: int) -> Sequences:
        """Read the frames of a few utterances. Raises: MerError when none can be read."""
        rows = self._some([place for place in self.placed(corpus, split).values() if place is not None], count)
        if not rows:
            raise MerError(self.source.path, f"none of the first features of {split} can be used")
        return Sequences.join(rows, [(0, len(row)) for row in rows])

    def taken(self, frames_TD: np.ndarray) -> np.ndarray | None:
        kept = said(frames_TD)
        return condensed(kept, self.config.max_states) if len(kept) else None

    def as_read(self, read: Mapping[int, np.ndarray], present_N: np.ndarray, missing: dict[str, str]) -> Extracted:
        nothing = np.empty((0, self.width), dtype=np.float32)
        rows = [read.get(row, nothing) for row in range(len(present_N))]
        sequences = Sequences.join(rows, [(0, len(row)) for row in rows])
        pooled = np.empty((len(rows), 0, self.width), dtype=np.float16)  # the trial's model pools
        return Extracted(pooled, len(read), present_N=present_N, faults=missing, sequences=sequences)

    def _some(self, places: Sequence[str], count: int) -> list[np.ndarray]:
        """Read the first `count` places that can be read, and passes over the others: `extract` words their faults."""
        rows: list[np.ndarray] = []
        for place in places:
            try:
                row = self.taken(frames_of(self.source.read(place)))
            except Unfit:
                continue
            rows += [row] if row is not None and row.shape[-1] == self.width else []
            if len(rows) == count:
                break
        return rows
