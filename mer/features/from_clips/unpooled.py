"""Hidden states of each step of time of clips, cached for models that pool them by themselves (pooler none)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mer.config import ClipEncoderConfig, DataConfig
from mer.data import Corpus
from mer.features.backbone.clip_encoder import LoadedClip
from mer.features.backbone.files import BackboneFolder
from mer.features.backbone.layers import select_layers
from mer.features.cache.feature_file import place_of
from mer.features.cache.key import ingredients_of_sequences
from mer.features.cache.sequences import bytes_of, condensed
from mer.features.from_clips.extraction import probe_clips
from mer.features.from_clips.pooled import ClipReading
from mer.features.from_clips.sequence_extraction import extract_sequences
from mer.features.from_clips.states import SequenceRow
from mer.features.modalities import describe_backbone, load_clip_encoder, step_count
from mer.features.reading import Extracted, PreparedSplit, Spread
from mer.progress import Progress, Step


class ClipStepReading(ClipReading):
    """Reads clips step by step; a `mer.features.reading.Reading`.

    It ignores `spread`: states of every step are much to send through a cluster.

    Raises: MerError when the backbone is not to be had, or has no such hidden state.
    """

    def __init__(
        self, config: ClipEncoderConfig, cache: Path, *, progress: Progress = None, spread: Spread | None = None,
        max_failed: float | None = None,
    ) -> None:  # fmt: skip
        del spread
        super().__init__(config, cache, progress=progress, max_failed=max_failed)
        self.hidden_state = hidden_state_of(config)
        self._steps: ClipSteps | None = None

    def prepare(self, corpus: Corpus, data: DataConfig, split: str, cache: Path) -> PreparedSplit:
        usual = super().prepare(corpus, data, split, cache)
        ingredients = ingredients_of_sequences(
            {**usual.ingredients, "pooler": self.config.pooler},
            hidden_state=self.hidden_state,
            hidden_states=self.card.layers,
            width=self.card.width,
            most=self.config.max_states,
        )
        return replace(usual, ingredients=ingredients, path=place_of(ingredients, cache=cache, slug=self.slug))

    def bytes_for(self, prepared: PreparedSplit) -> int:
        """Compute the size of the file, at most, from the headers of the clips; decodes nothing."""
        lengths, _ = probe_clips(prepared.rows, load_clip_reader(self.config, self.found))
        counts = {length: step_count(self.config, self.found, length) for length in set(lengths.values())}
        steps = sum(min(counts[length], self.config.max_states) for length in lengths.values())
        return bytes_of(steps, len(prepared.rows), self.card.width)

    def extract(self, prepared: PreparedSplit, *, parts: Path, step: Step) -> Extracted:
        steps = self._steps = self._steps or ClipSteps(self.config, self.found)
        self.device = steps.device
        done = extract_sequences(
            prepared.rows, steps, self.card.width, parts=parts, key=prepared.key, step=step, watch=self.watch(prepared)
        )
        return self._as_read(prepared, done)


def hidden_state_of(config: ClipEncoderConfig) -> int:
    """Return the number of the hidden state that is kept. Raises: MerError when the backbone has no such."""
    (number,) = select_layers(config.layers, describe_backbone(config).layers, f"encoders.{config.modality}.layers")
    return number


def load_clip_reader(config: ClipEncoderConfig, found: BackboneFolder | None) -> Any:
    """Open what reads the headers of clips; of a pretrained backbone it loads no weights."""
    if found is None:
        return load_clip_encoder(config, None)
    from mer.features.modalities import open_clip_reader

    return open_clip_reader(config, found)


class ClipSteps:
    """Reads clips, and gives a hidden state for each step of time, from the GPU if there is one.

    On a CPU each clip runs alone, in the thread that loaded it (see `mer.features.backbone.clip_encoder.SideBySide`).
    """

    def __init__(self, config: ClipEncoderConfig, found: BackboneFolder | None) -> None:
        self.start: int | None = hidden_state_of(config)
        self.most = config.max_states
        self.encoder: Any = load_clip_encoder(config, found)
        self.width = int(self.encoder.width)
        self.unit_shape: tuple[int, ...] = (self.width,)
        self.batch_length, self.probe = self.encoder.batch_length, self.encoder.probe
        self.device = str(getattr(self.encoder, "device", "cpu"))

    def load(self, path: Path) -> LoadedClip:
        """Load a clip. Raises: MediaFault when it cannot be used."""
        clip: LoadedClip = self.encoder.load(path)
        return LoadedClip(self._rows([clip])[0], clip.notes) if self.device == "cpu" else clip

    def encode(self, clips: Sequence[LoadedClip]) -> list[SequenceRow]:
        """Give the states of each clip."""
        return [clip.inputs for clip in clips] if self.device == "cpu" else self._rows(clips)

    def _rows(self, clips: Sequence[LoadedClip]) -> list[SequenceRow]:
        rows = (condensed(row, self.most) for row in self.encoder.steps(clips, self.start))
        return [SequenceRow(row, (0, len(row))) for row in rows]
