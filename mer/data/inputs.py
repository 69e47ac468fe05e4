"""Utterances that a person hands in for prediction: texts, a CSV file in MELD's layout, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer.data.readers.csv_dataset import SPLITS
from mer.data.readers.meld import meld_clips
from mer.data.tables import Row, parse_rows, raise_faults, read_rows
from mer.data.text import repair_c1
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError

SPLIT = "new"
CSV_COLUMNS = ("Utterance", "Speaker", "Dialogue_ID", "Utterance_ID")
LABEL_COLUMNS = {"emotion": "Emotion", "sentiment": "Sentiment"}
JSON_LINE = '{"text": "Hi!", "dialogue": "d1", "speaker": "Ross"}; dialogue and speaker may be left out'


@dataclass(frozen=True)
class Inputs:
    """Utterances to classify.

    Args:
        dialogues: utterances in their dialogues.
        rows: position in the input of each utterance, listed dialogue after dialogue.
        labels: true label of each utterance, listed dialogue after dialogue; None if the input has none.
    """

    dialogues: tuple[Dialogue, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...] | None = None

    @property
    def utterances(self) -> list[Utterance]:
        return [utterance for dialogue in self.dialogues for utterance in dialogue.utterances]


def from_texts(texts: Sequence[str], *, speaker: str) -> Inputs:
    """Take each text as a dialogue of its own; it may be empty."""
    dialogues = [_dialogue(f"text{place}", [(speaker, text)]) for place, text in enumerate(texts, start=1)]
    return Inputs(tuple(dialogues), tuple(range(len(dialogues))))


def absent_texts(count: int, *, speaker: str) -> Inputs:
    """Make `count` utterances without text, for input that has clips only."""
    return Inputs(tuple(_dialogue(f"clip{place}", [(speaker, "")]) for place in range(count)), tuple(range(count)))


def from_csv(path: Path, *, task: str, class_names: Sequence[str]) -> Inputs:
    """Read a CSV file with MELD's columns; other columns are ignored, labels are read if the file has them.

    The clips of a file named like MELD's (dev_sent_emo.csv) are looked for in MELD's folders beside it (audios/dev/).

    Raises: MerError or Faults, naming file and line.
    """
    column = LABEL_COLUMNS.get(task, "Emotion")
    advice = f"give a CSV file with the columns {', '.join(CSV_COLUMNS)} ({column} is optional), or JSON lines"
    rows = read_rows(path, CSV_COLUMNS, advice, optional=(column,))
    labelled = any(row.cells.get(column, "").strip() for row in rows)
    lines: dict[tuple[int, int], int] = {}
    folder = next((split for split in SPLITS if path.name == f"{split}_sent_emo.csv"), None)

    def parse(row: Row) -> tuple[int, Utterance, str]:
        dialogue, number = row.integer("Dialogue_ID"), row.integer("Utterance_ID")
        if (dialogue, number) in lines:
            raise row.fault(
                f"dialogue {dialogue} utterance {number} is there twice",
                f"each utterance once; line {lines[dialogue, number]} has it already",
            )
        lines[dialogue, number] = row.line
        label = row.label(column, class_names) if labelled else ""
        speaker, text = row.text("Speaker").strip(), row.text("Utterance")
        clips = meld_clips(folder, f"dia{dialogue}", number) if folder else (None, None)
        utterance = Utterance(SPLIT, f"dia{dialogue}", number, speaker, text, "", None, None, None, *clips)
        return dialogue, utterance, label

    parsed, faults = parse_rows(rows, parse)
    raise_faults(path, faults, advice)
    groups: dict[int, list[tuple[int, Utterance, str]]] = {}
    for place, (dialogue, utterance, label) in enumerate(parsed):
        groups.setdefault(dialogue, []).append((place, utterance, label))
    ordered = {name: sorted(turns, key=lambda turn: turn[1].number) for name, turns in groups.items()}
    flat = [turn for turns in ordered.values() for turn in turns]
    return Inputs(
        tuple(Dialogue(f"{SPLIT}/dia{name}", tuple(turn[1] for turn in turns)) for name, turns in ordered.items()),
        tuple(place for place, _, _ in flat),
        tuple(label for _, _, label in flat) if labelled else None,
    )


def from_json_lines(path: Path, *, speaker: str) -> Inputs:
    """Read one utterance per line; lines of the same dialogue are its turns, in file order. Empty lines are skipped.

    Args: speaker: name for lines without a speaker.
    Raises: MerError or Faults, naming file and line.
    """
    groups: dict[str, list[tuple[int, str, str]]] = {}
    faults: list[MerError] = []
    place = 0
    for number, line in enumerate(decode(path.read_bytes(), str(path)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            turn = _json_turn(line, f"{path}:{number}")
        except MerError as fault:
            faults.append(fault)
            continue
        name = turn.get("dialogue", f"line {number}")
        groups.setdefault(str(name), []).append((place, str(turn.get("speaker", speaker)), turn["text"]))
        place += 1
    raise_faults(path, faults, f"one object a line, e.g. {JSON_LINE}")
    if not groups:
        raise MerError(path, "no utterance in it: there is nothing to classify", allowed=JSON_LINE)
    dialogues = [_dialogue(name, [(who, text) for _, who, text in turns]) for name, turns in groups.items()]
    return Inputs(tuple(dialogues), tuple(place for turns in groups.values() for place, _, _ in turns))


def decode(content: bytes, where: str) -> str:
    """Decode UTF-8. Raises: MerError naming the line of the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        byte = fault.object[fault.start]
        raise MerError(f"{where}:{line}", f"byte 0x{byte:02x} is not UTF-8", allowed="UTF-8 text") from fault


def _json_turn(line: str, where: str) -> dict[str, Any]:
    try:
        turn = json.loads(line)
    except ValueError as fault:
        raise MerError(where, f"not JSON: {fault}") from fault
    if not isinstance(turn, dict) or not isinstance(turn.get("text"), str):
        raise MerError(where, 'no "text" in it' if isinstance(turn, dict) else "not an object", allowed=JSON_LINE)
    for name in ("dialogue", "speaker"):
        if name in turn and not isinstance(turn[name], str | int):
            raise MerError(where, f"{name} is {turn[name]!r}", allowed="text or a number")
    return turn


def _dialogue(name: str, turns: Sequence[tuple[str, str]]) -> Dialogue:
    made = [
        Utterance(SPLIT, name, number, speaker.strip(), repair_c1(text), "", None, None, None)
        for number, (speaker, text) in enumerate(turns)
    ]
    return Dialogue(f"{SPLIT}/{name}", tuple(made))
