"""What every predictor can be asked, made of its answer to utterances in dialogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer.data import Dialogue, Utterance
from mer.data.inputs import from_names
from mer.data.media import MediaFault
from mer.data.text import normalise, refuse_halves
from mer.errors import MerError
from mer.features.cache.shards import TOKENS_PER_BATCH
from mer.predictor.given_places import read_live
from mer.predictor.prediction import Prediction
from mer.progress import Progress

SOMEBODY = "Speaker"  # the speaker's name when none is given, for encoders that read it


class Answers:
    """Answers single texts, single dialogues, and names of features.

    Attributes: export: the export or ensemble that answers.
    """

    export: Any

    def predict(self, texts: Sequence[str], *, speaker: str = SOMEBODY) -> list[Prediction]:
        """Predict single utterances, each without context.

        Args: speaker: the speaker's name, for a model that reads it.
        Raises: MerError for an empty text.
        """
        if isinstance(texts, str):
            raise TypeError("predict takes a list of texts, e.g. predict(['Oh my God!'])")
        return self.predict_dialogues(
            [as_dialogue([(speaker, text)], name=f"text {i}") for i, text in enumerate(texts)]
        )

    def predict_dialogue(self, turns: Sequence[tuple[str, str]]) -> list[Prediction]:
        """Predict all (speaker, text) turns of one dialogue, oldest first, each in the context that the model reads."""
        return self.predict_dialogues([as_dialogue(turns, name="dialogue")]) if turns else []

    @property
    def listed(self) -> list[tuple[str, str]]:
        """Name the utterances whose features lie where `features` of `load` says: (part of the data, or "", name)."""
        raise NotImplementedError

    def predict_listed(self) -> dict[str, Prediction]:
        """Predict each of them by itself: name -> prediction.

        Raises: MerError for a model that reads texts or clips, too: `predict_utterances` takes them.
        """
        if live := read_live(self.export):
            raise MerError(
                self.export.folder,
                f"it reads {' and '.join(live)} of an utterance, and features name it alone",
                allowed="predict_utterances(dialogues, clips)",
            )
        dialogues = from_names(self.listed, speaker=SOMEBODY).dialogues
        answers = self.predict_utterances(dialogues, {})
        return {dialogue.utterances[0].text: one for dialogue, one in zip(dialogues, answers, strict=True)}

    def predict_dialogues(
        self, dialogues: Sequence[Dialogue], *, batch_tokens: int = TOKENS_PER_BATCH, progress: Progress = False
    ) -> list[Prediction]:
        """Predict every utterance, dialogue after dialogue."""
        raise NotImplementedError

    def predict_utterances(
        self,
        dialogues: Sequence[Dialogue],
        clips: Mapping[str, Sequence[Path | MediaFault]],
        *,
        batch_tokens: int = TOKENS_PER_BATCH,
        progress: Progress = False,
    ) -> list[Prediction]:
        """Predict every utterance from those of its modalities that are there."""
        raise NotImplementedError


def as_dialogue(turns: Sequence[tuple[str, str]], *, name: str) -> Dialogue:
    """Make a dialogue from (speaker, text) turns. Raises: MerError for an empty text."""
    utterances = []
    for number, (speaker, text) in enumerate(turns):
        refuse_halves(speaker + text, f"{name}, turn {number}")
        if not normalise(text):
            raise MerError(name, f"turn {number} is empty: there is nothing to classify", allowed="some text")
        utterances.append(Utterance("new", name, number, speaker.strip(), text, "", None, None, None))
    return Dialogue(f"new/{name}", tuple(utterances))
