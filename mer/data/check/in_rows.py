"""What labels, texts and things that splits share say about a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mer.data.check.finding import Finding, Level, by_split
from mer.data.check.leakage import EXAMPLES, SHORT, Kind, Leak
from mer.data.check.media import MediaSummary
from mer.data.check.summary import SplitSummary

_LIKE_NONE = {"nan", "n/a", "#n/a", "na", "null", "none", "-", "?"}
MOST_SHARED_TEXTS = 0.10  # of a split's utterances; above it a model that remembers does better than one that reads


def label_findings(splits: Sequence[SplitSummary]) -> Iterator[Finding]:
    train = next((summary for summary in splits if summary.split == "train"), None)
    for summary in splits:
        for task, missing in summary.unlabelled.items():
            if missing == summary.utterances:
                yield Finding("wrong", "labels", f"no utterance of {summary.split} has a label ({task})")
            elif missing:
                yield Finding(
                    "note", "unlabelled",
                    f"{missing} of {summary.utterances} utterances of {summary.split} have no label ({task}): they are "
                    "context, and count in no score",
                )  # fmt: skip
        for task, counts in summary.label_counts.items() if summary is train else ():
            yield from _labels_like_none(task, counts)
        for task, counts in summary.label_counts.items() if train not in (None, summary) else ():
            assert train is not None
            unseen = {name: n for name, n in counts.items() if n and not train.label_counts[task].get(name)}
            for name, count in unseen.items():
                yield Finding(
                    "wrong", "unseen class",
                    f"{summary.split} has {count} {name!r} ({task}) and train none: no model can learn to answer it",
                )  # fmt: skip
            lacking = [name for name, n in counts.items() if not n and train.label_counts[task].get(name)]
            if lacking and summary.split == "dev" and _is_labelled(summary, task):
                names = ", ".join(map(repr, lacking))
                words = f"{names} ({task}) occur in train and not in dev: dev scores do not see them"
                yield Finding("note", "class not in dev", words)


def _labels_like_none(task: str, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Name classes that may mean no label: pandas writes nan where a cell was empty."""
    doubtful = [name for name, count in counts.items() if count and name.casefold() in _LIKE_NONE]
    if not doubtful:
        return
    others = ", ".join(name for name, count in counts.items() if count and name not in doubtful)
    told = ", ".join(f"{name!r} ({counts[name]})" for name in doubtful)
    yield Finding(
        "note", "label like none",
        f"train has labels ({task}) that may mean none: {told}; to leave them out: --set 'data.labels=[{others}]'",
    )  # fmt: skip


def _is_labelled(summary: SplitSummary, task: str) -> bool:
    """Tell whether the split has labels of a task at all."""
    return summary.unlabelled[task] < summary.utterances


def text_findings(splits: Sequence[SplitSummary], media: Sequence[MediaSummary], published: bool) -> Iterator[Finding]:
    empty = {summary.split: summary.empty for summary in splits if summary.empty}
    if not empty:
        return
    if sum(empty.values()) == sum(summary.utterances for summary in splits):
        level: Level = "note" if media else "wrong"
        yield Finding(level, "empty", "no utterance has a text" + ("" if media else ", and there are no clips"))
        return
    yield Finding("known" if published else "note", "empty", f"texts without a word: {by_split(empty)}")


_ABOUT: dict[Kind, tuple[str, str]] = {  # what is shared, what that means
    "speakers": ("speakers", "scores say little about new speakers"),
    "dialogues": ("dialogues", "put each dialogue into one split"),
    "texts": (f"texts of {SHORT} words or more that have one label", "a model may remember them"),
    "clips": (
        "clips, byte for byte",
        "a model has heard or seen what it is scored on; remove them from one of the splits",
    ),
}


def leak_findings(leaks: Sequence[Leak], published: bool) -> Iterator[Finding]:
    """Say what splits share. Shared dialogues and clips make results wrong, many shared texts too."""
    for kind, (what, meaning) in _ABOUT.items():
        of_kind = [leak for leak in leaks if leak.kind == kind]
        if not of_kind:
            continue
        many_texts = kind == "texts" and max(leak.share for leak in of_kind) > MOST_SHARED_TEXTS
        level: Level = "wrong" if many_texts or kind in ("dialogues", "clips") else "note"
        if published and kind != "clips":
            level = "known"
        counts = ", ".join(f"{leak.split} {leak.count} of {leak.of} with {leak.other}" for leak in of_kind)
        examples = tuple(example for leak in of_kind for example in leak.examples)
        more = " ..." if len(examples) > EXAMPLES else ""
        shown = "" if kind == "speakers" else f" ({', '.join(examples[:EXAMPLES])}{more})"
        yield Finding(level, kind, f"splits share {what}: {counts}{shown}; {meaning}", examples)
