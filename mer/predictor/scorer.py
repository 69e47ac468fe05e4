"""Features become class scores and representations: the head of an exported model, and its encoders as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mer.checkpoints.export_folder import MODEL, Export
from mer.checkpoints.tensors import under
from mer.config import EncodersConfig
from mer.errors import MerError
from mer.features.cache.sequences import Sequences
from mer.features.from_clips.live import LiveClips, LiveClipSequences, LiveClipSteps
from mer.features.from_files.live import LiveGiven
from mer.features.from_text.live import LiveTexts, LiveTextSequences, LiveTokens
from mer.features.reading import LiveFeatures
from mer.losses import Objective, build_objective
from mer.models.adapters import from_peft_tensors
from mer.models.sequence_encoder import SequenceEncoder
from mer.models.weight_names import backbone_prefix
from mer.predictor.weights_fit import WORDS, refuse_unfit, unfit
from mer.training import FusedSplit, SequenceSplit, Split, SplitArrays, build_model, outputs_of
from mer.training.data import Layers, Part


@dataclass(frozen=True)
class Turns:
    """Say how rows stand in dialogues.

    Args:
        dialogue_N: number of each row's dialogue, never decreasing.
        speaker_N: number of who speaks, equal for rows of one speaker of a dialogue; None: not known.
    """

    dialogue_N: np.ndarray
    speaker_N: np.ndarray | None = None

    @classmethod
    def none(cls, rows: int) -> Turns:
        """Each row is a dialogue of its own."""
        return cls(np.arange(rows), np.zeros(rows, dtype=np.int64))


class LiveModel:
    """An exported model in the place of an encoder: the next model reads its h."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def encode(self, inputs: Any, turns: Turns | None = None, **options: Any) -> LiveFeatures:
        """Compute h as features (N, 1, H). Arguments are those of the model's own encoder, and of `Scorer.outputs`."""
        ((modality, encoder),) = self.scorer.encoders.items()
        live = encode(encoder, inputs, turns, **options)
        h_NH = self.scorer.representations({modality: (live.features_NLD, live.present_N)}, turns)
        return replace(live, features_NLD=h_NH[:, None])


def encode(encoder: Live, inputs: Any, turns: Turns | None, **options: Any) -> LiveFeatures:
    """Turn texts or clips into what a model reads; only another model needs to know their dialogues."""
    reader: Any = encoder
    return reader.encode(inputs, **options, **({"turns": turns} if isinstance(encoder, LiveModel) else {}))


# modality -> its features (N, L+1, D), or Sequences if it is tuned or keeps states, and True for rows that are there
# (None: all)
Read = Mapping[str, tuple[np.ndarray | Sequences, np.ndarray | None]]
LiveSequences = LiveTextSequences | LiveClipSequences  # make the input of a tuned encoder from texts or clips
LiveStates = LiveTokens | LiveClipSteps  # make states of tokens or steps of time (pooler none)
# turn texts or clips into what the model reads
Live = LiveTexts | LiveClips | LiveSequences | LiveStates | LiveModel | LiveGiven


class Scorer:
    """The head of a loaded export, and the encoders that read for it."""

    def __init__(self, export: Export, encoders: Mapping[str, Live], device: str = "cpu") -> None:
        self.export, self.device = export, device
        self.encoders: dict[str, Any] = dict(encoders)  # each takes texts or clips, see `Live`
        tensors = export.tensors()
        for modality, adapter in export.adapters().items():
            tensors |= from_peft_tensors(adapter, f"model.{backbone_prefix(export.config, modality)}")
        tuned = {m: live for m, live in self.encoders.items() if isinstance(live, LiveSequences)}
        moved = {**export.config.encoders.present, **{modality: live.config for modality, live in tuned.items()}}
        config = export.config.model_copy(update={"encoders": EncodersConfig(**moved)})  # where backbones lie now
        self._config, self._adapters = config, any(".lora_" in name for name in tensors)
        layers = {modality: [int(layer) for layer in reads["layers"]] for modality, reads in export.inputs.items()}
        widths = {modality: int(reads["width"]) for modality, reads in export.inputs.items()}
        together = config.reads_tables_together
        self._layers: Layers = layers if together else next(iter(layers.values()))
        width = widths if together else next(iter(widths.values()))
        refuse_unfit(export.folder / MODEL, config, self._layers, width, len(self.class_names), tensors)
        try:
            self._model = build_model(
                config,
                layers=self._layers,
                width=width,
                classes=len(self.class_names),
                base={modality: live.base for modality, live in tuned.items()},
                adapters=self._adapters,
            )
            self._model.load_state_dict(under("model", tensors))
            self._objective: Objective | None = None
            if config.training.prediction == "nearest_anchor":
                ones = torch.ones(len(self.class_names), dtype=torch.long)  # class counts matter in training only
                self._objective = build_objective(config.loss, width=self._model.width, counts_C=ones)
                self._objective.load_state_dict(under("objective", tensors))
                self._objective.to(device).eval()
        except RuntimeError as fault:
            raise unfit(export.folder / MODEL, " ".join(str(fault).split())[:300]) from fault
        self._model.to(device).eval()
        words = tensors.get(WORDS)
        self._words_CLD = words.to(device) if words is not None else None

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.export.class_names

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the model reads, in the order text, audio, video."""
        return tuple(self.encoders)

    def logits(
        self,
        features_NLD: np.ndarray | Sequences,
        present_N: np.ndarray | None = None,
        turns: Turns | None = None,
    ) -> np.ndarray:
        """Compute class scores (N, C) float32 from features as the cache holds them.

        Args:
            features_NLD: all hidden states (N, L+1, D), or Sequences.
            present_N: bool; rows that are not there are read as average ones. None: all are there.
            turns: as for `scores`.
        Raises: MerError when they come from another backbone.
        """
        return self.scores({self.modalities[0]: (features_NLD, present_N)}, turns)

    def scores(self, read: Read, turns: Turns | None = None) -> np.ndarray:
        """Compute class scores (N, C) float32 from the features of every modality.

        Args: turns: for a model with a dialogue encoder; None: each row is a dialogue of its own.
        Raises: MerError when the model reads who speaks, and nobody says so.
        """
        return self.outputs(read, turns)[1]

    def representations(self, read: Read, turns: Turns | None = None) -> np.ndarray:
        """Compute h (N, H) float32, the classifier's input; arguments are those of `scores`."""
        return self.outputs(read, turns)[0]

    def outputs(self, read: Read, turns: Turns | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Compute `representations` and `scores` in one pass."""
        rows = self._rows(read, turns)
        if not len(rows):
            nothing = np.empty((0, self._model.width), dtype=np.float32)
            return nothing, np.empty((0, len(self.class_names)), dtype=np.float32)
        chunks = rows.chunks(self._layers, self.device)
        return outputs_of(self.export.config, self._model, self._objective, self._words_CLD, chunks)

    def encoder_reading(self, modality: str, numbers: list[int]) -> SequenceEncoder:
        """Return a trained encoder of this model that gives other hidden states than the head reads, in eval mode."""
        from mer.models.tuned import build_encoder

        trained = self._model.get_submodule(backbone_prefix(self._config, modality).removesuffix(".model."))
        made = build_encoder(self._config, modality, numbers, self.encoders[modality].base, adapters=self._adapters)
        made.load_state_dict(trained.state_dict(), strict=False)
        return made.eval()

    def _rows(self, read: Read, turns: Turns | None) -> Split:
        parts: dict[str, Part] = {}
        for modality, expected in self.export.inputs.items():
            features_NLD, present_N = read[modality]
            if isinstance(features_NLD, Sequences):
                parts[modality] = self._sequence_rows(features_NLD, present_N, modality)
                continue
            shape = (expected["hidden_states"], expected["width"])
            if features_NLD.ndim != 3 or features_NLD.shape[1:] != shape:
                raise MerError(
                    self.export.folder,
                    f"features of shape {features_NLD.shape}",
                    allowed=f"(utterances, {shape[0]}, {shape[1]}), the hidden states of its backbone",
                )
            no_labels = np.zeros(len(features_NLD), dtype=np.int64)  # labels are not read
            parts[modality] = SplitArrays((), features_NLD, no_labels, present_N)
        first = next(iter(parts.values()))
        config = self.export.config
        if not config.reads_dialogues:
            return FusedSplit(parts) if config.reads_tables_together else first
        turns = turns or Turns.none(len(first))
        if config.reads_speakers and turns.speaker_N is None:
            raise MerError(self.export.folder, "the model reads who speaks", allowed="Turns with speaker_N")
        return FusedSplit(
            parts, dialogue_N=turns.dialogue_N, speaker_N=turns.speaker_N if config.reads_speakers else None
        )

    def _sequence_rows(self, sequences: Sequences, present_N: np.ndarray | None, modality: str) -> SequenceSplit:
        no_labels = np.zeros(len(sequences), dtype=np.int64)
        encoder = self._model.tuned.get(modality)
        if encoder is None:
            width = int(self.export.inputs[modality]["width"])
            if sequences.values.shape[1:] != (width,):
                raise MerError(
                    self.export.folder,
                    f"states of shape {sequences.values.shape}",
                    allowed=f"(states, {width}), those of its backbone",
                )
            return SequenceSplit((), sequences, no_labels, width, present_N, are_states=True)
        if sequences.values.shape[1:] != encoder.unit_shape:
            what = "its input" if encoder.start is None else f"its hidden state {encoder.start}"
            raise MerError(
                self.export.folder,
                f"tokens of shape {sequences.values.shape}",
                allowed=f"({', '.join(['tokens', *map(str, encoder.unit_shape)])}), {what}",
            )
        return SequenceSplit((), sequences, no_labels, encoder.width, present_N)
