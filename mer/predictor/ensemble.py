"""Several exports that answer together: each reads what it knows, and their probabilities are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mer.checkpoints.ensemble_folder import Ensemble
from mer.data import Dialogue, Utterance
from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features.cache.shards import TOKENS_PER_BATCH
from mer.features.reading import LiveFeatures
from mer.places import home
from mer.predictor.answers import SOMEBODY, Answers
from mer.predictor.prediction import Prediction, as_predictions
from mer.predictor.predictor import Predictor, listed_by, reads_something_else
from mer.progress import Progress
from mer.training.ensemble import mean_outputs


class EnsemblePredictor(Answers):
    """A loaded ensemble: it is asked as a Predictor is. Build it with `load`.

    A member that can read nothing of an utterance is left out of its mean; where none can, the answer is one from
    nothing and says so.
    """

    def __init__(self, ensemble: Ensemble, members: Sequence[Predictor]) -> None:
        self.export, self.members = ensemble, tuple(members)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.export.class_names

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that any member reads, in the order text, audio, video."""
        return self.export.reads

    @property
    def listed(self) -> list[tuple[str, str]]:
        """As of `Predictor`, of all members."""
        return listed_by(reader for member in self.members for reader in member.given.values())

    @property
    def notes(self) -> list[str]:
        """As of `Predictor`, of all members, each once."""
        return list(dict.fromkeys(note for member in self.members for note in member.notes))

    def predict_dialogues(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> list[Prediction]:
        """Predict every utterance, dialogue after dialogue."""
        if self.modalities != ("text",):
            raise reads_something_else(self.export, "text")
        return self.predict_utterances(dialogues, {}, batch_tokens=batch_tokens, progress=progress)

    def predict_utterances(
        self,
        dialogues: Sequence[Dialogue],
        clips: Mapping[str, Sequence[Path | MediaFault]],
        *,
        batch_tokens: int = TOKENS_PER_BATCH,
        progress: Progress = False,
    ) -> list[Prediction]:
        """Predict every utterance from what the members read of it. Arguments as of `Predictor.predict_utterances`."""
        if not any(dialogue.utterances for dialogue in dialogues):
            return []
        seen: dict[int, LiveFeatures] = {}  # members that read by one encoder read once
        heard = [
            member.hear(dialogues, clips, seen, batch_tokens=batch_tokens, progress=progress) for member in self.members
        ]
        export = self.export
        outputs_NC = mean_outputs(
            export.kind,
            [one.logits_NC for one in heard],
            [member.export.temperature for member in self.members],
            [one.there_N for one in heard],
        )
        return as_predictions(
            outputs_NC,
            self.class_names,
            np.any([one.truncated_N for one in heard], axis=0),
            [_joined(faults) for faults in zip(*[one.faults for one in heard], strict=True)],
            np.any([one.there_N for one in heard], axis=0),
            threshold=export.threshold,
            kind=export.kind,
            thresholds=export.thresholds,
            temperature=export.temperature,
        )

    def predict_clips(
        self, clips: Sequence[Path | str | MediaFault], *, masked: bool = False, progress: Progress = False
    ) -> list[Prediction]:
        """Predict sound or video files, each by itself. Arguments and faults are those of `Predictor.predict_clips`."""
        if len(self.modalities) > 1 or self.modalities[0] == "text":
            raise reads_something_else(self.export, "clips")
        if isinstance(clips, str | Path):
            raise TypeError("predict_clips takes a list of paths, e.g. predict_clips(['a.flac'])")
        paths = [clip if isinstance(clip, MediaFault) else home(clip) for clip in clips]
        alone = [
            Dialogue(f"new/clip {i}", (Utterance("new", f"clip {i}", 0, SOMEBODY, "", "", None, None, None),))
            for i in range(len(paths))
        ]
        answers = self.predict_utterances(alone, {self.modalities[0]: paths}, progress=progress)
        for path, answer in zip(paths, answers, strict=True):
            if answer.masked and not masked:
                raise MerError(path, answer.fault, allowed=f"a file that holds {self.modalities[0]}")
        return answers


def _joined(faults: Sequence[str]) -> str:
    """Say why no member could tell anything of a row; "" where one could."""
    return "; ".join(dict.fromkeys(faults)) if all(faults) else ""
