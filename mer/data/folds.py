"""Folds: all utterances of a corpus in parts, each of which is test once and dev once (`data.folds`).

In fold k, part k is test and the part after it dev; all others are train. So every utterance is scored as test exactly
once, what chooses an epoch or a setting is never test of the same fold, and no two of the three share a speaker.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mer.config.folds import LEAST_FOLDS, FoldRule
from mer.data.types import Corpus, Unit, Utterance
from mer.errors import MerError

POOL = "all"  # the split that holds every utterance


@dataclass(frozen=True)
class Fold:
    """One division. Rows count the utterances of the corpus, in their order.

    Args: name: what is test in it: "session 5", "Actor_01", "part 1".
    """

    name: str
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Folds:
    """All folds of a corpus.

    Args:
        ids: `Utterance.id` of each row.
        folds: in order; those of a search may be fewer than there are parts.
        groups: of each row, what is never cut.
        by: what that is, in the singular.
        speakers: of each row; () where some row has none.
        notes: lines for people.
    """

    ids: tuple[str, ...]
    folds: tuple[Fold, ...]
    groups: tuple[str, ...]
    by: str
    notes: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()

    @property
    def unit(self) -> Unit:
        """What is independent, for intervals: the groups; where these are smaller than a speaker, speakers."""
        finer = self.by in ("dialogue", "row") and bool(self.speakers)
        of = dict(zip(self.ids, self.speakers if finer else self.groups, strict=True))
        return Unit("speaker" if finer else self.by, of.__getitem__)

    @property
    def dev_rows(self) -> np.ndarray:
        """Rows that are dev in some fold, fold after fold: each is there once."""
        return np.concatenate([fold.dev for fold in self.folds])

    @property
    def test_rows(self) -> np.ndarray:
        """Rows that are test in some fold, fold after fold: each is there once."""
        return np.concatenate([fold.test for fold in self.folds])

    @property
    def train_count(self) -> int:
        """Rows that all folds train on together."""
        return sum(len(fold.train) for fold in self.folds)


def make_folds(corpus: Corpus, rule: FoldRule, task: str) -> Folds:
    """Divide a corpus of one split, POOL.

    Args: task: what is predicted; single rows are divided label by label.
    Raises: MerError for parts that cannot be made, a speaker who would be in two parts, a class that train would lack.
    """
    utterances = corpus.utterances(POOL)
    by = rule.by or _usual(utterances)
    groups = _groups(utterances, by, corpus)
    parts = _parts(utterances, groups, rule, by, task, corpus)
    _refuse_crossing(utterances, groups, parts, rule, by, corpus)
    ids = tuple(utterance.id for utterance in utterances)
    number_of = {group: number for number, (_, inside) in enumerate(parts) for group in inside}
    part_N = np.array([number_of[group] for group in groups])
    count = len(parts)
    folds = []
    for number, (name, _) in enumerate(parts):
        test, dev = part_N == number, part_N == (number + 1) % count
        folds.append(Fold(name, np.flatnonzero(~test & ~dev), np.flatnonzero(dev), np.flatnonzero(test)))
    if corpus.kind == "class":
        for fold in folds:
            _refuse_unlearnt(fold, utterances, task, corpus)
    wanted = tuple(folds[: rule.search_folds])
    speakers = tuple(utterance.speaker for utterance in utterances)
    notes = (_words(folds, wanted, by, utterances),)
    return Folds(ids, wanted, tuple(groups), by, notes, speakers if all(speakers) else ())


def _usual(utterances: Sequence[Utterance]) -> str:
    if all(utterance.speaker for utterance in utterances):
        return "speaker"
    has_dialogues = len({utterance.dialogue for utterance in utterances}) < len(utterances)
    return "dialogue" if has_dialogues else "row"


def _groups(utterances: Sequence[Utterance], by: str, corpus: Corpus) -> list[str]:
    """Name what each row may not be parted from. Raises: MerError where the data do not say it."""
    dialogues = [utterance.id.rpartition("_utt")[0] for utterance in utterances]
    if by == "dialogue":
        return dialogues
    if by == "row":
        if len(set(dialogues)) < len(dialogues):
            raise _refused(f"{corpus.name} has dialogues, which rows would cut", "by: dialogue, or by: speaker")
        return [utterance.id for utterance in utterances]
    named = [utterance.session if by == "session" else utterance.speaker for utterance in utterances]
    if not all(named):
        lacking = sum(not name for name in named)
        own = by == "session" and corpus.dataset == "csv"
        then = "name the column of sessions: --set data.columns.session=COLUMN" if own else ""
        then = then or _way_out(utterances, FoldRule(k=LEAST_FOLDS), by)
        raise _refused(f"{lacking} of {len(named)} rows of {corpus.name} have no {by}", "another data.folds.by", then)
    return _joined(named, dialogues)


def _joined(named: Sequence[str], dialogues: Sequence[str]) -> list[str]:
    """Join those who speak in one dialogue: it is never cut. Returns the name of each row's group."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    first: dict[str, str] = {}
    for name, dialogue in zip(named, dialogues, strict=True):
        one, other = sorted((root(first.setdefault(dialogue, name)), root(name)))
        parent[other] = one
    members: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name in named:
        members[root(name)][name] = None
    return [" and ".join(sorted(members[root(name)])) for name in named]


Parts = list[tuple[str, tuple[str, ...]]]  # name, and the groups in it


def _parts(
    utterances: Sequence[Utterance], groups: Sequence[str], rule: FoldRule, by: str, task: str, corpus: Corpus
) -> Parts:
    """Put groups together: one each, or so many parts of about equal size."""
    sizes = Counter(groups)
    wanted = rule.k or len(sizes)
    if len(sizes) < max(wanted, LEAST_FOLDS):
        joined = len(sizes) < len({utterance.speaker for utterance in utterances}) and by == "speaker"
        together = " (those who speak in one dialogue count as one)" if joined else ""
        raise _refused(
            f"{corpus.name} has {len(sizes)} {by}{'s' if len(sizes) != 1 else ''}{together}: too few for "
            f"{max(wanted, LEAST_FOLDS)} folds",
            f"data.folds of {LEAST_FOLDS} to {len(sizes)}" if len(sizes) >= LEAST_FOLDS else "another data.folds.by",
            "" if len(sizes) >= LEAST_FOLDS else _way_out(utterances, rule, by),
        )
    if rule.k is None:
        return [(f"session {name}" if by == "session" else name, (name,)) for name in sorted(sizes, key=_natural)]
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{rule.seed}:{name}".encode()).digest())
    strata: defaultdict[str, list[str]] = defaultdict(list)
    label_of = {group: getattr(u, task, "") or "" for u, group in zip(utterances, groups, strict=True)}
    for name in order:
        strata[label_of[name] if by == "row" else ""].append(name)
    inside: list[list[str]] = [[] for _ in range(wanted)]
    rows = [0] * wanted
    for _, names in sorted(strata.items()):
        for name in sorted(names, key=lambda name: -sizes[name]):  # the order of equal ones stays drawn
            least = min(range(wanted), key=lambda part: rows[part])
            inside[least].append(name)
            rows[least] += sizes[name]
    return [(f"part {number}", tuple(names)) for number, names in enumerate(inside, start=1)]


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _refuse_crossing(
    utterances: Sequence[Utterance], groups: Sequence[str], parts: Parts, rule: FoldRule, by: str, corpus: Corpus
) -> None:
    """Refuse a speaker who is in two parts, unless that is wanted. Raises: MerError."""
    if rule.mixed_speakers:
        return
    part_of = {group: number for number, (_, inside) in enumerate(parts) for group in inside}
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for utterance, group in zip(utterances, groups, strict=True):
        if utterance.speaker:
            seen[utterance.speaker].add(part_of[group])
    crossing = [name for name, where in seen.items() if len(where) > 1]
    if not crossing:
        return
    raise _refused(
        f"{len(crossing)} of {len(seen)} speakers of {corpus.name} would be in train and in test of a fold, e.g. "
        f"{crossing[0]!r}: by {by} they are not kept apart",
        "by: speaker; or mixed_speakers: true, to see what it costs",
        _way_out(utterances, rule, by),
    )


def _way_out(utterances: Sequence[Utterance], rule: FoldRule, by: str) -> str:
    """Advise on folds that these data allow: of whole speakers where there are enough, else of the same by choice."""
    named = [utterance.speaker for utterance in utterances]
    dialogues = [utterance.id.rpartition("_utt")[0] for utterance in utterances]
    apart = len(set(_joined(named, dialogues))) if all(named) else 0
    if apart >= LEAST_FOLDS and by != "speaker":
        return f"--set 'data.folds={{by: speaker, k: {min(apart, rule.k or apart)}}}'"
    if len(set(dialogues)) < LEAST_FOLDS:
        return "use the splits of the data, or data.split: --set data.folds=null"
    k = min(rule.k or 5, len(set(dialogues)))
    if not any(named):
        return f"--set 'data.folds={{by: dialogue, k: {k}}}'"
    return f"or let speakers cross: --set 'data.folds={{by: dialogue, k: {k}, mixed_speakers: true}}'"


def _refuse_unlearnt(fold: Fold, utterances: Sequence[Utterance], task: str, corpus: Corpus) -> None:
    """Refuse a fold whose train lacks a class that its dev or test has. Raises: MerError."""
    known, asked = (
        {getattr(utterances[row], task) for row in rows} - {"", None}
        for rows in (fold.train, np.concatenate([fold.dev, fold.test]))
    )
    if lacking := sorted(asked - known):
        raise _refused(
            f"train of the fold whose test is {fold.name} has no {', '.join(map(repr, lacking))}",
            "folds in which train has every class",
            "draw other parts (another seed in data.folds), merge the class with another (data.merge_labels), or leave "
            "it out (data.labels)",
        )


def _words(folds: Sequence[Fold], wanted: Sequence[Fold], by: str, utterances: Sequence[Utterance]) -> str:
    sizes = sorted({len(fold.test) for fold in folds})
    rows = f"{sizes[0]} rows" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} rows"
    some = "" if len(wanted) == len(folds) else f", of which {len(wanted)} are trained here"
    unknown = "" if any(u.speaker for u in utterances) else "; the data name no speakers, who may be in several"
    crossing = by in ("dialogue", "row") and not unknown
    unknown = "; speakers are in train and in test: the scores say nothing of other people" if crossing else unknown
    return f"folds by {by}: {len(folds)}{some}, each with {rows} of test, the next one's are its dev{unknown}"


def _refused(found: str, allowed: str, then: str = "") -> MerError:
    return MerError("data.folds", found, allowed=allowed, then=then)
