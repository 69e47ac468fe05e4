"""The clips of the generated corpus in the layout of MELD's archive: mp4 files only, some of them faulty.

The faults are those of MELD (methods 7.4), placed by the seed: test clips that exist twice, one of the two cut wrongly;
an absent clip; one that cannot be decoded; clips that no CSV file lists.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from mer.data.prepare.raw_clips import FOLDERS, PREFIX
from mer.data.readers.csv_dataset import SPLITS
from mer.data.sample.media import SampleClip
from mer.data.sample.plan import PlannedUtterance, pick

TWINS = 0.05  # share of the test utterances, as in MELD; at least two
UNANNOTATED = 2


class Twins(TypedDict):
    right: str
    wrong: str


@dataclass(slots=True)
class Oddities:
    """Faults of the archive, as paths below it."""

    twins: list[Twins] = field(default_factory=list)  # the wrong one contains the next turn as well
    absent: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)
    unannotated: list[str] = field(default_factory=list)


def raw_clips(out: Path, utterances: Sequence[PlannedUtterance], seed: int) -> tuple[list[SampleClip], Oddities]:
    """List the clips to write, and their faults. A missing split has no faults; its unannotated clips go elsewhere."""
    rng, odd = random.Random(f"mer-sample/{seed}/oddities"), Oddities()
    turns = {split: [u for u in utterances if u.split == split] for split in SPLITS}
    clips = {_name(u): SampleClip((u,), video=out / _name(u)) for u in utterances}
    if turns["test"]:
        clips |= _twins(out, turns["test"], rng, odd)
    if turns["dev"]:
        odd.absent = [_name(pick(rng, turns["dev"]))]
        del clips[odd.absent[0]]
    if turns["train"]:
        odd.undecodable = [name := _name(pick(rng, turns["train"]))]
        clips[name] = replace(clips[name], spoilt=_broken_video(f"mer-sample/{seed}/{name}"))
    there = [split for split in ("dev", "test", "train") if turns[split]]
    for number in range(UNANNOTATED):
        turn = pick(rng, turns[there[number % len(there)]])
        last = max(u.number for u in turns[turn.split] if u.dialogue == turn.dialogue)
        extra = replace(turn, number=last + 1 + number)  # has its own voice and face, since they are drawn by number
        odd.unannotated.append(_name(extra))
        clips[_name(extra)] = SampleClip((extra,), video=out / _name(extra))
    return list(clips.values()), odd


def _twins(out: Path, turns: Sequence[PlannedUtterance], rng: random.Random, odd: Oddities) -> dict[str, SampleClip]:
    """Make the clips of utterances that exist twice; the right one is alternately the prefixed and the plain one."""
    followed = [(turn, after) for turn, after in pairwise(turns) if turn.dialogue == after.dialogue]
    clips = {}
    for number in range(min(len(followed), max(2, round(TWINS * len(turns))))):
        turn, after = followed.pop(int(rng.random() * len(followed)))
        right, wrong = (_name(turn), _name(turn, PREFIX)) if number % 2 else (_name(turn, PREFIX), _name(turn))
        clips[right] = SampleClip((turn,), video=out / right)
        clips[wrong] = SampleClip((turn, after), video=out / wrong)
        odd.twins.append({"right": right, "wrong": wrong})
    return clips


def _name(utterance: PlannedUtterance, prefix: str = "") -> str:
    return f"{FOLDERS[utterance.split]}/{prefix}dia{utterance.dialogue}_utt{utterance.number}.mp4"


def _broken_video(key: str) -> bytes:
    """Make the first bytes of an mp4 file, then noise."""
    return b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + hashlib.shake_256(key.encode()).digest(4000)
