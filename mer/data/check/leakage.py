"""What splits share that they should not: speakers, dialogues, texts, clips."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from mer.data.media.faults import MediaFault
from mer.data.media.paths import ClipFinder, Modality
from mer.data.text import HAN_AND_KANA, normalise
from mer.data.types import Corpus, Dialogue, Utterance
from mer.files import sha256_file

SHORT = 5  # words; shorter texts ("Yeah.", "Oh my God!") are said by everybody
EXAMPLES = 3
_WORD = re.compile(rf"[{HAN_AND_KANA}\uac00-\ud7af]|[^\W_]+(?:'[^\W_]+)*")  # a CJK character is a word

Kind = Literal["speakers", "dialogues", "texts", "common texts", "clips"]


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that two splits share, seen from the later one.

    Args:
        kind: what is shared.
        split, other: of the pair, `split` is the one whose scores suffer (dev or test).
        count: how many speakers, dialogues, utterances or clips of `split` are in `other` too.
        of: how many `split` has.
        utterances: of `split`, those concerned.
        examples: a few pairs of ids, or names of speakers.
    """

    kind: Kind
    split: str
    other: str
    count: int
    of: int
    utterances: int
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.count / self.of


def text_leaks(corpus: Corpus) -> list[Leak]:
    """Compare speakers, dialogues and texts of every two splits, train before dev before test. Opens no clip.

    Two dialogues are one when all their texts are equal, or when one name stands in both splits for different turns: a
    dialogue that was torn apart. Datasets that count dialogues anew in every split use the same turns again.
    """
    leaks: list[Leak] = []
    for other, split in combinations(corpus.splits, 2):
        theirs, ours = corpus.utterances(other), corpus.utterances(split)
        speakers = _names(ours) & _names(theirs)
        concerned = sum(utterance.speaker in speakers for utterance in ours)
        known = sorted(speakers)[:EXAMPLES]
        leaks += _leak("speakers", split, other, len(speakers), len(_names(ours)), concerned, known)
        pairs = _same_dialogues(corpus.dialogues(split), corpus.dialogues(other))
        turns = sum(len(one.utterances) for one, _ in pairs)
        named = [f"{one.id} = {two.id}" if one.id != two.id else one.id for one, two in pairs]
        leaks += _leak("dialogues", split, other, len(pairs), len(corpus.dialogues(split)), turns, named)
        leaks += _same_texts(split, ours, other, theirs, next(iter(corpus.label_names)))
    return leaks


def clip_leaks(corpus: Corpus) -> list[Leak]:
    """Compare the bytes of clips across splits. Only files of equal size are read, so most are not."""
    finder, leaks, seen = ClipFinder(corpus.root, corpus.links), list[Leak](), set[Path]()
    modalities: tuple[Modality, ...] = ("video", "audio")
    for modality in modalities:  # the sound of a video is no second clip
        by_size: defaultdict[int, list[tuple[Utterance, Path]]] = defaultdict(list)
        for split in corpus.splits:
            for utterance in corpus.utterances(split):
                path = _clip(finder, utterance, modality)
                if path is not None and path not in seen:
                    by_size[path.stat().st_size].append((utterance, path))
        seen.update(path for same in by_size.values() for _, path in same)
        first: dict[str, dict[str, Utterance]] = defaultdict(dict)  # hash -> split -> its first utterance
        copies: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for size, same in by_size.items():
            if not size or len({utterance.split for utterance, _ in same}) < 2:
                continue
            for utterance, path in same:
                known = first[sha256_file(path)]
                for other in [split for split in known if split != utterance.split]:
                    copies[other, utterance.split].append(f"{modality} {utterance.id} = {known[other].id}")
                known.setdefault(utterance.split, utterance)
        for (other, split), pairs in copies.items():
            total = sum(utterance.split == split for same in by_size.values() for utterance, _ in same)
            leaks += _leak("clips", split, other, len(pairs), total, len(pairs), pairs)
    return leaks


def text_words(text: str) -> tuple[str, ...]:
    """Split a text into lower-case words, without punctuation; a character of Chinese, Japanese or Korean is a word."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", normalise(text)).casefold()))


def _leak(
    kind: Kind, split: str, other: str, count: int, of: int, utterances: int, examples: Iterable[str]
) -> list[Leak]:
    return [Leak(kind, split, other, count, of, utterances, tuple(examples)[:EXAMPLES])] if count else []


def _names(utterances: Iterable[Utterance]) -> set[str]:
    return {utterance.speaker for utterance in utterances if utterance.speaker.strip()}


def _same_texts(split: str, ours: list[Utterance], other: str, theirs: list[Utterance], task: str) -> list[Leak]:
    """Find equal texts. Short ones, and sentences that actors speak in every emotion, tell nothing: they are apart."""
    first: dict[tuple[str, ...], str] = {}
    labels: defaultdict[tuple[str, ...], set[object]] = defaultdict(set)
    for utterance in theirs:
        words = text_words(utterance.text)
        first.setdefault(words, utterance.id)
        labels[words].add(utterance.targets or getattr(utterance, task))
    telling: list[str] = []
    common: list[str] = []
    for utterance in ours:
        words = text_words(utterance.text)
        if words and words in first:
            tells = len(words) >= SHORT and len(labels[words]) == 1 and "" not in labels[words]
            (telling if tells else common).append(f"{utterance.id} = {first[words]}")
    return [
        *_leak("texts", split, other, len(telling), len(ours), len(telling), telling),
        *_leak("common texts", split, other, len(common), len(ours), len(common), common),
    ]


def _same_dialogues(ours: Iterable[Dialogue], theirs: Iterable[Dialogue]) -> list[tuple[Dialogue, Dialogue]]:
    by_texts: dict[tuple[tuple[str, ...], ...], Dialogue] = {}
    by_name: dict[str, Dialogue] = {}
    for dialogue in theirs:
        by_texts.setdefault(_texts(dialogue), dialogue)
        by_name[dialogue.utterances[0].dialogue] = dialogue
    pairs = []
    for dialogue in ours:
        texts, named = _texts(dialogue), by_name.get(dialogue.utterances[0].dialogue)
        if sum(map(len, texts)) >= SHORT and len(texts) > 1 and texts in by_texts:
            pairs.append((dialogue, by_texts[texts]))
        elif named is not None and not _numbers(dialogue) & _numbers(named):
            pairs.append((dialogue, named))
    return pairs


def _texts(dialogue: Dialogue) -> tuple[tuple[str, ...], ...]:
    return tuple(text_words(utterance.text) for utterance in dialogue.utterances)


def _numbers(dialogue: Dialogue) -> set[int]:
    return {utterance.number for utterance in dialogue.utterances}


def _clip(finder: ClipFinder, utterance: Utterance, modality: Modality) -> Path | None:
    try:
        return finder.find(modality, *utterance.clip_names(modality)).path
    except (MediaFault, OSError):
        return None
