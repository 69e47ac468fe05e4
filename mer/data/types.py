"""Utterances in dialogues in splits: what every reader returns and everything else reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mer.config import TargetKind
from mer.errors import MerError, did_you_mean


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn of a dialogue, with its labels by name.

    Attributes:
        dialogue: name of the dialogue, unique within its split only ("dia0").
        number: the dataset's own utterance number; numbers may be missing in between.
        text: as in the file, with C1 control characters repaired, otherwise not normalised.
        emotion: "" for a turn without a label: it is context, never trained on nor scored.
        sentiment: None if the dataset has no such label; "" as above.
        start_s, end_s: seconds into the episode; None if the file has no usable time.
        audio, video: paths of its clips relative to the corpus's root; the files may be absent, or have other endings.
        name: the dataset's own id of it, where it has one.
        targets: what is predicted where that is no class (`Corpus.kind`), in the order of the names: numbers, or 1
            and 0 for a label that is there or not; NaN where the data do not say.
        session: recording session, "" where the data name none.
    """

    split: str
    dialogue: str
    number: int
    speaker: str
    text: str
    emotion: str
    sentiment: str | None
    start_s: float | None
    end_s: float | None
    audio: str | None = None
    video: str | None = None
    name: str = ""
    targets: tuple[float, ...] = ()
    session: str = ""

    @property
    def id(self) -> str:
        """Id that is unique in a corpus; it contains the split, since dialogue names restart in every split."""
        return f"{self.split}/{self.dialogue}_utt{self.number}"

    def clip_names(self, modality: str) -> tuple[str | None, ...]:
        """Return the names under which its clip is looked for, in this order: a video has sound too."""
        return (self.audio, self.video) if modality == "audio" else (self.video,)

    def changed(self, **values: Any) -> Utterance:
        """Return a copy with other values."""
        return replace(self, **values)


def dialogue_of(utterance_id: str) -> str:
    """Return the dialogue's part of `Utterance.id`, unique in a corpus: "dev/dia0_utt3" -> "dev/dia0"."""
    return utterance_id.rpartition("_utt")[0]


@dataclass(frozen=True, slots=True)
class Unit:
    """The independent unit of a dataset: utterances of one unit are alike, those of different units are not.

    Intervals and tests resample whole units. Single utterances would make them too narrow.

    Args:
        name: one word in the singular, for people: "dialogue".
        of: `Utterance.id` -> its unit.
    """

    name: str
    of: Callable[[str], str]


DIALOGUE = Unit("dialogue", dialogue_of)


def dialogue_numbers(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number the dialogues of rows, given `Utterance.id` of rows in dialogue order: [0, 0, 1].

    Raises: ValueError if the rows of a dialogue are not neighbours.
    """
    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(dialogue_of(row), len(number_of)) for row in ids]
    if numbers != sorted(numbers):
        raise ValueError("utterances are not dialogue after dialogue")
    return np.array(numbers, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Utterances in the order of their numbers. `id` is unique in a corpus: "train/dia0"."""

    id: str
    utterances: tuple[Utterance, ...]


def speaker_numbers(dialogues: Sequence[Dialogue]) -> npt.NDArray[np.int64]:
    """Number the speakers of each dialogue by first appearance, turn by turn; a turn without a name has its own number.

    Names mean nothing across dialogues: only which turns of a dialogue are of one speaker is kept.
    """
    numbers: list[int] = []
    for dialogue in dialogues:
        number_of: dict[str | int, int] = {}
        for place, utterance in enumerate(dialogue.utterances):
            numbers.append(number_of.setdefault(utterance.speaker or place, len(number_of)))
    return np.array(numbers, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class MadeSplits:
    """Splits that the data did not have (`mer.data.readers.made_splits`).

    Args:
        path: where they are kept.
        content: what is written there.
        kept: they are there already; else a new rule has just made them.
    """

    path: Path
    content: Mapping[str, Any]
    kept: bool


@dataclass(frozen=True, slots=True)
class Corpus:
    """The splits that were asked for, and the label names in the order of the label numbers.

    Args:
        dataset: its reader's name, where that is not `name`.
        root: folder that paths of clips are relative to.
        label_names: task -> classes, those of train in any case; of another kind the predicted task alone, with the
            names of its numbers or labels.
        notes: what a reader guessed or made, a line each, for people.
        links: where symbolic links to clips may lead (`ClipFinder`): anywhere where the layout names the paths, for the
            folder's owner made them; inside the root where a data file names them.
        made: splits that the data did not have; None where they have all.
        kind: what the predicted task is: a class of each utterance, numbers, or any number of labels.
    """

    name: str
    root: Path
    splits: Mapping[str, tuple[Dialogue, ...]]
    label_names: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    dataset: str = ""
    links: Literal["anywhere", "inside"] = "anywhere"
    made: MadeSplits | None = None
    kind: TargetKind = "class"

    def dialogues(self, split: str) -> tuple[Dialogue, ...]:
        """Return the dialogues of a split. Raises: MerError if it was not loaded."""
        if split not in self.splits:
            raise MerError(
                f"{self.name} in {self.root}",
                f"split {split!r} was not loaded.{did_you_mean(split, self.splits)}",
                allowed=", ".join(self.splits),
                then=f"ask for it: load_corpus({self.name!r}, root, splits=[..., {split!r}])",
            )
        return self.splits[split]

    def utterances(self, split: str) -> list[Utterance]:
        """List the utterances of a split, dialogue after dialogue: the row order of all features and labels."""
        return [utterance for dialogue in self.dialogues(split) for utterance in dialogue.utterances]

    def labels(self, split: str, task: str) -> npt.NDArray[Any]:
        """Return label numbers (N,) int64, in the order of `utterances(split)`; they index `label_names[task]`.

        A turn without a label, or with one that train does not have, is -1. Of another kind than classes: (N, T)
        float32, a column for each name, NaN where the data do not say.
        Raises: MerError if the dataset has no such label.
        """
        if task not in self.label_names:
            raise MerError(
                "data.label",
                f"{self.name} has no {task!r} labels.{did_you_mean(task, self.label_names)}",
                allowed=", ".join(self.label_names),
                then=f"--set data.label={next(iter(self.label_names))}",
            )
        if self.kind != "class":
            told = [utterance.targets for utterance in self.utterances(split)]
            return np.array(told, dtype=np.float32).reshape(len(told), len(self.label_names[task]))
        number_of = {name: number for number, name in enumerate(self.label_names[task])}
        names = [getattr(utterance, task) for utterance in self.utterances(split)]
        return np.array([number_of.get(name, -1) for name in names], dtype=np.int64)
