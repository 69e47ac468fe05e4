"""Texts, dialogues, clips, or all of them together become predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mer.checkpoints.ensemble_folder import Ensemble
from mer.checkpoints.export_folder import Export
from mer.data import Dialogue
from mer.data.media import MediaFault
from mer.data.text import normalise
from mer.data.types import speaker_numbers
from mer.errors import MerError
from mer.features.cache.shards import TOKENS_PER_BATCH
from mer.features.from_files.live import LiveGiven, no_live_features
from mer.features.reading import LiveFeatures
from mer.places import home
from mer.predictor.answers import Answers
from mer.predictor.prediction import Prediction, as_predictions
from mer.predictor.scorer import Scorer, Turns, encode
from mer.predictor.unlike import unlike_words
from mer.progress import Progress


class Heard(NamedTuple):
    """What a model makes of utterances: outputs (N, C), and of each row whether it was cut, why it tells nothing, and
    whether anything of it was there."""

    logits_NC: np.ndarray
    truncated_N: np.ndarray
    faults: Sequence[str]
    there_N: np.ndarray


class Predictor(Answers, Scorer):
    """A loaded export. Build it with `load`.

    Attributes: notes: what is odd about the features of others that were read last, a line each.
    """

    notes: Sequence[str] = ()

    @property
    def given(self) -> dict[str, LiveGiven]:
        """The readers of features that others extracted, by modality."""
        return {name: encoder for name, encoder in self.encoders.items() if isinstance(encoder, LiveGiven)}

    @property
    def listed(self) -> list[tuple[str, str]]:
        return listed_by(self.given.values())

    def predict_dialogues(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> list[Prediction]:
        """Predict every utterance, dialogue after dialogue."""
        if self.modalities != ("text",):
            raise reads_something_else(self.export, "text")
        if not any(dialogue.utterances for dialogue in dialogues):
            return []
        if isinstance(self.encoders["text"], LiveGiven):  # found by name, or not
            return self.predict_utterances(dialogues, {})
        turns = _turns(dialogues)
        live = self._read_text(dialogues, batch_tokens, progress, turns)
        return self._told(self.logits(live.features_NLD, turns=turns), live)

    def predict_utterances(
        self,
        dialogues: Sequence[Dialogue],
        clips: Mapping[str, Sequence[Path | MediaFault]],
        *,
        batch_tokens: int = TOKENS_PER_BATCH,
        progress: Progress = False,
    ) -> list[Prediction]:
        """Predict with any model: every utterance from those of its modalities that are there.

        Args:
            dialogues: the texts in their dialogues; an empty text is an absent one.
            clips: modality -> clip of each utterance, dialogue after dialogue; a MediaFault where there is none.
        """
        if not any(dialogue.utterances for dialogue in dialogues):
            return []
        heard = self.hear(dialogues, clips, {}, batch_tokens=batch_tokens, progress=progress)
        return self._answers(heard.logits_NC, heard.truncated_N, heard.faults, heard.there_N)

    def hear(
        self,
        dialogues: Sequence[Dialogue],
        clips: Mapping[str, Sequence[Path | MediaFault]],
        seen: dict[int, LiveFeatures],
        *,
        batch_tokens: int = TOKENS_PER_BATCH,
        progress: Progress = False,
    ) -> Heard:
        """Compute what `predict_utterances` answers from, of at least one utterance.

        Args: seen: by encoder (its `id`), what was read of these utterances already; what is read is added.
        """
        utterances = [utterance for dialogue in dialogues for utterance in dialogue.utterances]
        turns = _turns(dialogues)
        lives: dict[str, LiveFeatures] = {}
        for modality, encoder in self.encoders.items():
            if id(encoder) not in seen and isinstance(encoder, LiveGiven):
                seen[id(encoder)] = encoder.encode(dialogues)
            elif id(encoder) not in seen and modality == "text":
                live = self._read_text(dialogues, batch_tokens, progress, turns)
                has_text_N = np.array([bool(normalise(utterance.text)) for utterance in utterances])
                seen[id(encoder)] = replace(live, present_N=has_text_N)
            elif id(encoder) not in seen:
                seen[id(encoder)] = encode(encoder, clips[modality], turns, progress=progress)
            lives[modality] = seen[id(encoder)]
        odd = [unlike_words(self._model, name, lives[name]) for name in self.given]
        self.notes = [words for words in odd if words]
        read = {modality: (live.features_NLD, live.present_N) for modality, live in lives.items()}
        truncated_N = np.any([live.truncated_N for live in lives.values()], axis=0)
        there_N = np.any([present_N for _, present_N in read.values() if present_N is not None], axis=0)
        return Heard(self.scores(read, turns), truncated_N, _joint_faults(lives, len(utterances)), there_N)

    def _read_text(
        self, dialogues: Sequence[Dialogue], batch_tokens: int, progress: Progress, turns: Turns
    ) -> LiveFeatures:
        return encode(self.encoders["text"], dialogues, turns, batch_tokens=batch_tokens, progress=progress)

    def predict_clips(
        self, clips: Sequence[Path | str | MediaFault], *, masked: bool = False, progress: Progress = False
    ) -> list[Prediction]:
        """Predict sound or video files, each by itself.

        Args:
            clips: paths; a MediaFault stands for a clip that is known to be unreadable.
            masked: predict an unreadable clip as an average one and say so in its `fault`, instead of raising.
        Raises: MerError for a clip that cannot be read.
        """
        modality, encoder = next(iter(self.encoders.items()))
        if len(self.encoders) > 1 or modality == "text":
            raise reads_something_else(self.export, "clips")
        if isinstance(encoder, LiveGiven):
            raise no_live_features(encoder.config, self.export.folder)
        if isinstance(clips, str | Path):
            raise TypeError("predict_clips takes a list of paths, e.g. predict_clips(['a.flac'])")
        if not clips:
            return []
        paths = [clip if isinstance(clip, MediaFault) else home(clip) for clip in clips]
        live = encode(encoder, paths, Turns.none(len(paths)), progress=progress)
        assert live.present_N is not None  # clips are there, or not
        unread = np.flatnonzero(~live.present_N)
        if len(unread) and not masked:
            raise MerError(paths[unread[0]], live.faults_N[unread[0]], allowed=f"a file that holds {modality}")
        return self._told(self.logits(live.features_NLD, live.present_N), live)

    def _told(self, logits_NC: np.ndarray, live: LiveFeatures) -> list[Prediction]:
        return self._answers(logits_NC, live.truncated_N, live.faults_N, live.present_N)

    def _answers(
        self, logits_NC: np.ndarray, truncated_N: Any, faults_N: Sequence[str], present_N: np.ndarray | None
    ) -> list[Prediction]:
        """Turn outputs into answers, as the export decides. Arguments as of `as_predictions`."""
        export = self.export
        return as_predictions(
            logits_NC,
            self.class_names,
            truncated_N,
            faults_N,
            present_N,
            threshold=export.threshold,
            kind=export.kind,
            thresholds=export.thresholds,
            temperature=export.temperature,
        )


def listed_by(readers: Iterable[LiveGiven]) -> list[tuple[str, str]]:
    """Name the utterances whose features any of several readers has, in their order."""
    return list(dict.fromkeys(name for reader in readers for name in reader.listed))


def reads_something_else(export: Export | Ensemble, given: str) -> MerError:
    """Word the refusal of a call that is not for this model."""
    calls = {"text": "predict, predict_dialogue", "audio": "predict_clips", "video": "predict_clips"}
    call = calls[export.reads[0]] if len(export.reads) == 1 else "predict_utterances"
    allowed, alone = f"{', '.join(export.reads)}: {call}", " alone" if len(export.reads) > 1 else ""
    return MerError(export.folder, f"this model does not read {given}{alone}", allowed=allowed)


def _turns(dialogues: Sequence[Dialogue]) -> Turns:
    lengths = [len(dialogue.utterances) for dialogue in dialogues]
    return Turns(np.repeat(np.arange(len(dialogues)), lengths), speaker_numbers(dialogues))


def _joint_faults(lives: Mapping[str, LiveFeatures], count: int) -> list[str]:
    """Say of every row why none of its modalities tells anything; '' where one does."""
    said = []
    for row in range(count):
        faults = {modality: live.faults_N[row] for modality, live in lives.items() if live.faults_N[row]}
        nothing = len(faults) == len(lives)
        said.append("; ".join(f"{modality}: {fault}" for modality, fault in faults.items()) if nothing else "")
    return said
