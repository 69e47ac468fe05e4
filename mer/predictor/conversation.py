"""A dialogue that somebody types, speaks or shows turn by turn, and what the model says of each turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mer.data import Dialogue, Utterance
from mer.data.media import MediaFault
from mer.data.text import normalise
from mer.errors import MerError
from mer.predictor.answers import SOMEBODY
from mer.predictor.ensemble import EnsemblePredictor
from mer.predictor.prediction import Prediction
from mer.predictor.predictor import Predictor


@dataclass(frozen=True)
class Turn:
    """One turn: its text, and clip by modality; what is missing is absent."""

    speaker: str = SOMEBODY
    text: str = ""
    clips: dict[str, str] = field(default_factory=dict)


def answer(predictor: Predictor | EnsemblePredictor, turns: Sequence[Turn]) -> list[Prediction]:
    """Predict every turn in the context that the model reads.

    Raises: MerError for a turn of which the model could read nothing.
    """
    for number, turn in enumerate(turns):
        if not (
            ("text" in predictor.modalities and normalise(turn.text)) or turn.clips.keys() & {*predictor.modalities}
        ):
            raise MerError(f"turn {number}", f"nothing was given of {', '.join(predictor.modalities)}")
    if predictor.modalities == ("text",):
        return predictor.predict_dialogue([(turn.speaker, turn.text) for turn in turns])
    clips: dict[str, list[Path | MediaFault]] = {
        modality: [Path(turn.clips[modality]) if modality in turn.clips else MediaFault("not given") for turn in turns]
        for modality in predictor.modalities
        if modality != "text"
    }
    utterances = [
        Utterance("new", "dialogue", number, turn.speaker, turn.text, "", None, None, None)
        for number, turn in enumerate(turns)
    ]
    return predictor.predict_utterances([Dialogue("new/dialogue", tuple(utterances))], clips)
