"""Clips for a tuned encoder: raw input, or hidden states after its frozen layers, cached once for all trials."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from mer.config import ClipEncoderConfig, DataConfig
from mer.data import Corpus
from mer.features.backbone.layers import check_depth
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import ingredients_of_sequences
from mer.features.cache.sequences import bytes_of
from mer.features.from_clips.extraction import probe_clips
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_clips.sequence_extraction import extract_sequences
from mer.features.from_clips.states import ClipStates
from mer.features.modalities import clip_wiring, open_clip_reader
from mer.features.reading import Extracted, PreparedSplit, Spread
from mer.progress import Progress, Step


class ClipSequenceReading(ClipReading):
    """Reads clips for a tuned encoder; a `mer.features.reading.Reading`.

    It ignores `spread`: hidden states of every frame are too much to send through a cluster.

    Raises: MerError when the backbone is not to be had, or has too few layers.
    """

    def __init__(
        self, config: ClipEncoderConfig, cache: Path, *, progress: Progress = None, spread: Spread | None = None,
        max_failed: float | None = None,
    ) -> None:  # fmt: skip
        del spread
        super().__init__(config, cache, progress=progress, max_failed=max_failed)
        check_depth(config, self.card.layers - 1)
        self.start = config.first_tuned
        self._states: ClipStates | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        usual = super().prepare(corpus, data, split, cache)
        ingredients = ingredients_of_sequences(
            usual.ingredients,
            hidden_state=self.start,
            hidden_states=self.card.layers,
            width=self.card.width,
            raw_dtype="float16" if self.start is None else None,
        )
        return replace(usual, ingredients=ingredients, path=place_of(ingredients, cache=cache, slug=self.slug))

    def bytes_for(self, prepared: PreparedSplit) -> int:
        """Compute the size of the file from the headers of the clips; decodes nothing.

        A clip whose header has no length counts as the longest.
        """
        assert self.found is not None
        wiring = clip_wiring(self.config, self.found)
        lengths, _ = probe_clips(prepared.rows, open_clip_reader(self.config, self.found))
        units = sum(wiring.units(wiring.raw_units(length), self.start) for length in lengths.values())
        return bytes_of(units, len(prepared.rows), math.prod(wiring.unit_shape(self.start)))

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        assert self.found is not None
        states = self._states = self._states or ClipStates(self.config, self.found)
        self.device = states.device
        watch = self.watch(prepared)
        done = extract_sequences(
            prepared.rows, states, self.card.width, parts=parts, key=prepared.key, step=step, watch=watch
        )
        return self._as_read(prepared, done)
