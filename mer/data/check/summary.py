"""Counts of a corpus, to compare with the published ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mer.data.check.leakage import text_words
from mer.data.registry import find_dataset
from mer.data.types import Corpus, Dialogue, Utterance


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """One split in numbers.

    Attributes:
        label_counts: task -> label -> utterances, every label named, in label order.
        gapped_dialogues: dialogues with missing utterance numbers, or not starting at the split's lowest number.
        untimed: utterances without a usable start and end.
        empty: utterances without a word of text.
        unlabelled: task -> utterances without that label.
        speaker_counts: speaker -> utterances, the most frequent first; "" where nobody is named.
        numbers: name of a number to predict -> least, mean and most of this split; {} of classes and labels.
        official: True if the file equals the published one byte for byte; None if that one's hash is not known.
    """

    split: str
    utterances: int
    dialogues: int
    longest_dialogue: int
    speaker_counts: dict[str, int]
    gapped_dialogues: int
    untimed: int
    empty: int
    unlabelled: dict[str, int]
    label_counts: dict[str, dict[str, int]]
    official: bool | None
    numbers: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def speakers(self) -> int:
        return sum(bool(name.strip()) for name in self.speaker_counts)


def check(corpus: Corpus) -> list[SplitSummary]:
    """Summarise each loaded split."""
    return [_summary(corpus, split) for split in corpus.splits]


def _summary(corpus: Corpus, split: str) -> SplitSummary:
    dialogues, utterances = corpus.dialogues(split), corpus.utterances(split)
    counts = {task: _counts(corpus, utterances, task) for task in corpus.label_names}
    first = min(utterance.number for utterance in utterances)  # MELD counts from 0, EmoryNLP from 1
    return SplitSummary(
        split=split,
        utterances=len(utterances),
        dialogues=len(dialogues),
        longest_dialogue=max(len(dialogue.utterances) for dialogue in dialogues),
        speaker_counts=dict(Counter(utterance.speaker for utterance in utterances).most_common()),
        gapped_dialogues=sum(_has_gap(dialogue, first) for dialogue in dialogues),
        untimed=sum(utterance.start_s is None or utterance.end_s is None for utterance in utterances),
        empty=sum(not text_words(utterance.text) for utterance in utterances),
        unlabelled={
            task: len(utterances) - sum(counts[task][name] for name in names)
            if corpus.kind == "class"
            else sum(all(map(math.isnan, u.targets)) for u in utterances)
            for task, names in corpus.label_names.items()
        },
        label_counts={task: {name: counts[task][name] for name in names} for task, names in corpus.label_names.items()},
        official=find_dataset(corpus.dataset or corpus.name).official(corpus.root, split),
        numbers=_numbers(corpus, utterances) if corpus.kind == "regression" else {},
    )


def _counts(corpus: Corpus, utterances: Sequence[Utterance], task: str) -> Counter[str]:
    """Count the rows of each class, of each label, or those that have a number."""
    if corpus.kind == "class":
        return Counter(getattr(u, task) for u in utterances)
    has: Callable[[float], bool] = bool if corpus.kind == "multilabel" else lambda value: True
    names = corpus.label_names[task]
    pairs = ((name, value) for u in utterances for name, value in zip(names, u.targets, strict=True))
    return Counter(name for name, value in pairs if not math.isnan(value) and has(value))


def _numbers(corpus: Corpus, utterances: Sequence[Utterance]) -> dict[str, tuple[float, float, float]]:
    told = {}
    (names,) = corpus.label_names.values()
    for place, name in enumerate(names):
        if said := [u.targets[place] for u in utterances if not math.isnan(u.targets[place])]:
            told[name] = (min(said), sum(said) / len(said), max(said))
    return told


def _has_gap(dialogue: Dialogue, first: int) -> bool:
    numbers = [utterance.number for utterance in dialogue.utterances]
    return numbers != list(range(first, first + len(numbers)))
