"""Windows: an utterance with its neighbouring turns, as the text that an encoder reads (methods 7.7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from mer.config import Speaker
from mer.data.text import normalise
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError, did_you_mean


@dataclass(frozen=True, slots=True)
class Window:
    """An utterance to classify, with the turns around it.

    Attributes:
        id: id of the utterance to classify.
        turns: rendered turns, oldest first: normalised text with the speaker in the chosen style.
        target: index in `turns` of the utterance to classify.
        speaker: its speaker, as a prompt should name them.
    """

    id: str
    turns: tuple[str, ...]
    target: int
    speaker: str


def windows(dialogues: Iterable[Dialogue], *, past: int | str, future: int, speaker: str) -> list[Window]:
    """Make one window per utterance, in utterance order. A window never leaves its dialogue.

    Args:
        past: turns before the utterance, or "all".
        future: turns after it; more than 0 is the offline setting.
        speaker: a style of `mer.config.Speaker`.
    Raises: MerError for an unknown style, or a past or future that is not allowed.
    """
    if speaker not in get_args(Speaker):
        styles = get_args(Speaker)
        raise MerError(
            "speaker", f"unknown style {speaker!r}.{did_you_mean(speaker, styles)}", allowed=", ".join(styles)
        )
    if past != "all" and not (isinstance(past, int) and past >= 0):
        raise MerError("past", f"{past!r}", allowed="a number of turns, 0 or more, or 'all'")
    if future < 0:
        raise MerError("future", f"{future!r}", allowed="a number of turns, 0 or more")
    return [window for dialogue in dialogues for window in _of_dialogue(dialogue, past, future, speaker)]


def _of_dialogue(dialogue: Dialogue, past: int | str, future: int, style: str) -> list[Window]:
    utterances = dialogue.utterances
    names = _speaker_names(utterances, style)
    turns = [_render(name, utterance.text, style) for name, utterance in zip(names, utterances, strict=True)]
    made = []
    for index, utterance in enumerate(utterances):
        first = 0 if past == "all" else max(0, index - int(past))
        rendered = tuple(turns[first : index + future + 1])
        made.append(Window(utterance.id, rendered, target=index - first, speaker=names[index]))
    return made


def _speaker_names(utterances: Iterable[Utterance], style: str) -> list[str]:
    names = [normalise(utterance.speaker) for utterance in utterances]
    if style == "upper":
        return [name.upper() for name in names]
    if style == "local":
        # numbered anew in each dialogue: numbers say who speaks again, not who it is
        number = {name: index for index, name in enumerate(dict.fromkeys(names), start=1)}
        return [f"<s{number[name]}>" for name in names]
    return names


def _render(name: str, text: str, style: str) -> str:
    if not name:  # nobody is named
        return normalise(text)
    prefix = {"none": "", "name": f"{name}: ", "name_says": f"{name} says: ", "upper": f"{name}: ", "local": f"{name} "}
    return (prefix[style] + normalise(text)).strip()
