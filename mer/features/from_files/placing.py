"""Where the features of utterances lie, and what is wrong with that or with what lies there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mer.errors import MerError
from mer.features.failures import reasons_of
from mer.features.given.names import Names
from mer.features.given.source import Source

ABSENT = "no features of this name"
ZEROS = "its features are all zero"
MEND = "extract the features of these utterances too"
_NAMED = 5


def find_places(source: Source, names: Mapping[str, Names], of: str) -> dict[str, str | None]:
    """Find the features of each utterance by its names: id -> place; None where there are none. Reads no array.

    Args:
        names: of each utterance by its id; at least one.
        of: where the utterances are from, for messages: " of dev".
    Raises: MerError when not one utterance has features, or two would read the same.
    """
    places = {name: source.index.find(known) for name, known in names.items()}
    if not any(places.values()):
        wanted = next(iter(names.values()))
        raise MerError(
            source.path,
            f"holds features of none of the {len(places)} utterances{of}: it names "
            f"{', '.join(source.index.examples)} ..., the data {', '.join((*wanted.own, *wanted.placed)[:3])}",
            allowed="files or ids that are called as the data call their utterances",
            then="name the column of the data that has these ids: --set data.columns.id=COLUMN; or rename them",
        )
    readers = Counter(place for place in places.values() if place)
    if twice := [place for place, count in readers.items() if count > 1]:
        both = [name for name, place in places.items() if place == twice[0]]
        raise MerError(
            source.path,
            f"{twice[0]} would be read for {len(both)} utterances: {', '.join(both[:3])}",
            allowed="features for each utterance",
            then="put the features of train, dev and test into folders of these names",
        )
    return places


def refuse_unfit(source: Source, unfit: Mapping[str, str], of: str) -> None:
    """Raise MerError for features that are there and cannot be used, all of them in one message.

    Args: unfit: id -> place and fault, "PLACE: FAULT".
    """
    if not unfit:
        return
    kinds = reasons_of({name: words.partition(": ")[2] for name, words in unfit.items()})
    said = "; ".join(f"{kind.count} {_times(kind.count)}: {kind.kind}" for kind in kinds[:_NAMED])
    raise MerError(
        source.path,
        f"the features of {len(unfit)} utterances{of} cannot be used: {said}; the first is "
        f"{next(iter(unfit.values()))}",
        allowed="finite numbers of shape (width,) or (frames, width) for each utterance",
        then="extract these again, or take their files away: they then count as missing",
    )


def widths_words(places: Sequence[str], widths: Sequence[int], wanted: int) -> str:
    """Say how wide the features are, where they are not of the wanted width; "" where all are.

    Args: places, widths: of the utterances that have features.
    """
    counts = Counter(widths)
    if set(counts) <= {wanted}:
        return ""
    odd = next(place for place, width in zip(places, widths, strict=True) if width != wanted)
    told = ", ".join(f"{width} in {count}" for width, count in counts.most_common(_NAMED))
    return f"{told} (e.g. {odd})"


def _times(count: int) -> str:
    return "time" if count == 1 else "times"
