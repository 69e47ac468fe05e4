"""The plan of the generated corpus: who speaks, with which emotion, and which modalities show it.

Text, voice and face are made from this plan. Every kind of random draw has its own generator per dialogue, so that
another modality, or another word in a template, changes no other draw.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mer.data.readers.labels import SENTIMENT_OF_EMOTION

MODALITIES = ("text", "audio", "video")
SHOWN = 0.55  # probability that a modality shows the emotion; otherwise it is neutral
STAYS = 0.25  # probability that a turn keeps the emotion of the turn before, so that context is informative

EMOTION_SHARES = {
    "neutral": 0.36,
    "joy": 0.17,
    "surprise": 0.12,
    "anger": 0.12,
    "sadness": 0.10,
    "fear": 0.065,
    "disgust": 0.065,
}

SPEAKERS = (
    "Adira", "Bastian", "Calla", "Dorian", "Edda", "Farid", "Greta", "Hamza", "Ines", "Jonas", "Kaveh", "Lotte",
    "Mirko", "Nadia", "Orla", "Pavel", "Quentin", "Rosa", "Samir", "Tilda", "Umar", "Vera", "Wim", "Yara",
)  # fmt: skip

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PlannedUtterance:
    """One utterance before it is rendered. `shows`: the modalities that show its emotion. Times in seconds."""

    split: str
    dialogue: int
    number: int
    speaker: str
    emotion: str
    sentiment: str
    shows: frozenset[str]
    start_s: float
    end_s: float


def generator(seed: int, split: str, dialogue: int, purpose: str) -> random.Random:
    """Make the random generator of one purpose. Seeding by text is stable across machines and Python versions."""
    return random.Random(f"mer-sample/{seed}/{split}/{dialogue}/{purpose}")


def pick(rng: random.Random, items: Sequence[Item]) -> Item:
    """Pick an item with `random()`, the only method that gives the same numbers in every Python version."""
    return items[int(rng.random() * len(items))]


def plan(seed: int, dialogues_per_split: Mapping[str, int]) -> Iterator[PlannedUtterance]:
    """Plan the utterances of all splits, in file order."""
    for split, count in dialogues_per_split.items():
        for dialogue in range(count):
            yield from _plan_dialogue(seed, split, dialogue)


def _plan_dialogue(seed: int, split: str, dialogue: int) -> Iterator[PlannedUtterance]:
    turns = generator(seed, split, dialogue, "turns")
    shows = {modality: generator(seed, split, dialogue, f"shows {modality}") for modality in MODALITIES}
    cast = _cast(turns, size=2 + int(turns.random() * 3))
    speaker, emotion, clock_s = "", "", 60.0 + 900.0 * turns.random()
    for number in range(4 + int(turns.random() * 6)):
        speaker = pick(turns, [name for name in cast if name != speaker])
        if turns.random() >= STAYS or not emotion:
            emotion = _emotion(turns)
        # MELD's surprise is half positive, half negative.
        sentiment = SENTIMENT_OF_EMOTION.get(emotion) or pick(turns, ("positive", "negative"))
        start_s = clock_s + 0.1 + 0.6 * turns.random()
        clock_s = start_s + 1.2 + 2.8 * turns.random()
        shown = frozenset(modality for modality in MODALITIES if shows[modality].random() < SHOWN)
        yield PlannedUtterance(
            split, dialogue, number, speaker, emotion, sentiment, shown, round(start_s, 3), round(clock_s, 3)
        )


def _cast(rng: random.Random, size: int) -> list[str]:
    cast: list[str] = []
    while len(cast) < size:
        cast.append(pick(rng, [name for name in SPEAKERS if name not in cast]))
    return cast


def _emotion(rng: random.Random) -> str:
    point, total = rng.random(), 0.0
    for emotion, share in EMOTION_SHARES.items():
        total += share
        if point < total:
            return emotion
    return "neutral"  # reached only if rounding leaves the sum of the shares below 1
