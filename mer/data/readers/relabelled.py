"""The corpus of a published dataset: its classes as train has them, merged and ordered as the configuration says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mer.config import DataConfig
from mer.data.readers.class_names import class_names, label_reader
from mer.data.types import Corpus, Dialogue


def published_corpus(
    name: str,
    root: Path,
    found: Mapping[str, tuple[Dialogue, ...]],
    splits: Sequence[str],
    label_names: Mapping[str, tuple[str, ...]],
    data: DataConfig,
) -> Corpus:
    """Make the corpus of what was read. A class that train does not have has no output.

    Args:
        found: split -> its dialogues; train too, where the folder has it. Without it all published classes count.
        splits: those that were asked for.
        label_names: task -> the published labels in their usual order.
    Raises: MerError for a class of `data.labels` that train does not have.
    """
    names = dict(label_names)
    if data.merge_labels or data.labels:
        found = {split: _relabelled(dialogues, data, label_names[data.label]) for split, dialogues in found.items()}
    for task in label_names if "train" in found else ():
        counts = _counts(found["train"], task)
        said = data if task == data.label else DataConfig()
        if len(counts) > 1 or task == data.label:
            names[task] = class_names(counts, said, known=label_names[task])
    return Corpus(name=name, root=root, splits={split: found[split] for split in splits}, label_names=names)


def _relabelled(dialogues: tuple[Dialogue, ...], data: DataConfig, known: Sequence[str]) -> tuple[Dialogue, ...]:
    read = label_reader((), data, known)

    def label(cell: str | None) -> str:
        name = read(cell or "")
        return name if not data.labels or name in data.labels else ""

    return tuple(
        replace(d, utterances=tuple(u.changed(**{data.label: label(getattr(u, data.label))}) for u in d.utterances))
        for d in dialogues
    )


def _counts(dialogues: Sequence[Dialogue], task: str) -> Counter[str]:
    found = (getattr(u, task) for dialogue in dialogues for u in dialogue.utterances)
    return Counter(label for label in found if label)
