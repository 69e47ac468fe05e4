"""Utterances typed one by one, or read line by line: each a dialogue of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mer.data.text import refuse_halves, repair_c1
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError

SPLIT = "new"


@dataclass(frozen=True)
class Inputs:
    """Utterances to classify.

    Args:
        dialogues: utterances in their dialogues.
        rows: position in the input of each utterance, listed dialogue after dialogue.
        labels: true class of each utterance, listed dialogue after dialogue; "" where it has none that the model knows.
        notes: what was guessed about a file, a line each, for people.
        links: as `Corpus.links`: inside where the file names the paths of clips.
    """

    dialogues: tuple[Dialogue, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    links: Literal["anywhere", "inside"] = "anywhere"

    @property
    def utterances(self) -> list[Utterance]:
        return [utterance for dialogue in self.dialogues for utterance in dialogue.utterances]


def from_texts(texts: Sequence[str], *, speaker: str) -> Inputs:
    """Take each text as a dialogue of its own; it may be empty."""
    refuse_halves(speaker, "--speaker")
    for place, text in enumerate(texts, start=1):
        refuse_halves(text, f"text {place}")
    dialogues = [_dialogue(f"text{place}", [(speaker, text)]) for place, text in enumerate(texts, start=1)]
    return Inputs(tuple(dialogues), tuple(range(len(dialogues))))


def absent_texts(count: int, *, speaker: str) -> Inputs:
    """Make `count` utterances without text, for input that has clips only."""
    return Inputs(tuple(_dialogue(f"clip{place}", [(speaker, "")]) for place in range(count)), tuple(range(count)))


def from_names(names: Sequence[tuple[str, str]], *, speaker: str) -> Inputs:
    """Make an utterance of each name under which features of others lie, a dialogue of its own; its text is the name.

    Args: names: (part of the data, or "", name).
    """
    dialogues = []
    for part, name in names:
        shown = f"{part}/{name}" if part else name
        one = Utterance(part or SPLIT, shown, 0, speaker.strip(), shown, "", None, None, None, name=name)
        dialogues.append(Dialogue(f"{SPLIT}/{shown}", (one,)))
    return Inputs(tuple(dialogues), tuple(range(len(dialogues))))


def decode(content: bytes, where: str) -> str:
    """Decode UTF-8. Raises: MerError naming the line of the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        byte = fault.object[fault.start]
        raise MerError(f"{where}:{line}", f"byte 0x{byte:02x} is not UTF-8", allowed="UTF-8 text") from fault


def _dialogue(name: str, turns: Sequence[tuple[str, str]]) -> Dialogue:
    made = [
        Utterance(SPLIT, name, number, speaker.strip(), repair_c1(text), "", None, None, None)
        for number, (speaker, text) in enumerate(turns)
    ]
    return Dialogue(f"{SPLIT}/{name}", tuple(made))
