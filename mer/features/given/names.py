"""Under which names the features of an utterance may lie, in the files of others.

The ids of data (`data.columns.id`), paths and names of clips, and what toolkits make of them: MERTools writes
`val_dia0_utt3`, MMSA `VIDEO$_$CLIP`. A name that two utterances share says nothing and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from mer.data import Utterance
from mer.data.media.paths import stem_of

PARTS = {"train": ("train",), "dev": ("dev", "valid", "val", "validation"), "test": ("test",)}
_PART_OF = {alias: part for part, aliases in PARTS.items() for alias in aliases}


@dataclass(frozen=True)
class Names:
    """Names of one utterance.

    Args:
        split: the part of the data that it belongs to.
        own: names that no other utterance of the data has.
        placed: names that mean it only among the features of its own part.
    """

    split: str
    own: tuple[str, ...]
    placed: tuple[str, ...]


def part_of(word: str) -> str:
    """Return train, dev or test for one of the words by which toolkits call them; "" for any other."""
    return _PART_OF.get(word.lower(), "")


def plain(name: str) -> str:
    """Write a name as it is compared: "/" between folders, "_" for MMSA's "$_$", without the ending of a clip."""
    name = name.strip().replace("\\", "/").replace("$_$", "_").removeprefix("./")
    return stem_of(name)


def names_of(utterances: Iterable[Utterance]) -> dict[str, Names]:
    """Name every utterance: `Utterance.id` -> its names, the most telling first."""
    every = {utterance.id: utterance for utterance in utterances}
    own = {key: tuple(dict.fromkeys(_own(utterance))) for key, utterance in every.items()}
    placed = {key: tuple(dict.fromkeys(_placed(utterance))) for key, utterance in every.items()}
    claims = Counter(name for names in own.values() for name in names)
    claims_in = Counter((every[key].split, name) for key, names in placed.items() for name in names)
    return {
        key: Names(
            utterance.split,
            tuple(name for name in own[key] if claims[name] == 1),
            tuple(name for name in placed[key] if claims_in[utterance.split, name] == 1),
        )
        for key, utterance in every.items()
    }


def _own(utterance: Utterance) -> Iterable[str]:
    """Names that hold wherever the features lie: its id, its place below the data, its place with its split."""
    if utterance.name:
        yield plain(utterance.name)
    for parts in _clips(utterance):
        told = max((place for place, part in enumerate(parts[:-1]) if part_of(part)), default=len(parts) - 1)
        for start in range(told + 1):  # from the folder that names the split on, a name would say nothing
            yield "/".join(parts[start:])
    rest = utterance.id.partition("/")[2]
    for alias in PARTS.get(utterance.split, (utterance.split,)):
        yield f"{alias}/{rest}"
        yield f"{alias}_{rest}"


def _placed(utterance: Utterance) -> Iterable[str]:
    if utterance.name:
        yield plain(utterance.name)
    for parts in _clips(utterance):
        for start in range(len(parts)):
            yield "/".join(parts[start:])
    yield utterance.id.partition("/")[2]
    yield f"{plain(utterance.dialogue)}_{utterance.number}"


def _clips(utterance: Utterance) -> Iterable[tuple[str, ...]]:
    """Yield the paths of its clips without their endings, in parts."""
    for path in (utterance.audio, utterance.video):
        if path and (parts := PurePosixPath(plain(path)).parts):
            yield tuple(part for part in parts if part != "/")
