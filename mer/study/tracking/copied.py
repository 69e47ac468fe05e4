"""Tell a copy of a study from the study: on a server both would write to the same runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mer.errors import MerError
from mer.study.paths import ARTIFACTS, CONFIG, JOURNAL, TRIALS, is_study
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import TrackingStore


def original_of(folder: Path, store: TrackingStore) -> Path | None:
    """Return the study that `folder` is a copy of, where both have their record in one store; None for any other.

    The database beside a copy was copied with it, so there the two have nothing to do with each other. A study that was
    moved is not at its former place any more.
    """
    if store.artifacts is not None:
        return None
    if recorded := Outbox(folder).place:
        return Path(recorded) if _is_the_same(Path(recorded), folder) else None
    for place in _near(folder):  # an older version noted no place: of two, the copy is the one that was written later
        if _is_the_same(place, folder) and _written_ns(place) < _written_ns(folder):
            return place
    return None


def _near(folder: Path) -> Iterator[Path]:
    """Yield where a folder of studies was, in all likelihood, when it was copied: beside the copy, or a level away."""
    studies = folder.parent
    for above in list(studies.parents)[:2]:
        for place in (f"*/{folder.name}", f"*/{studies.name}/{folder.name}"):
            with contextlib.suppress(OSError):
                yield from sorted(above.glob(place))


def _is_the_same(place: Path, folder: Path) -> bool:
    """True when a study of the same search lies at another place; one that cannot be read is not taken for it."""
    with contextlib.suppress(OSError, MerError):
        return is_study(place) and not place.samefile(folder) and _generation(place) == _generation(folder)
    return False


def _written_ns(folder: Path) -> int:
    """When the first of what is never written again came to its place; copying gives another time, moving does not."""
    written = [*(folder / TRIALS).glob(f"*/{ARTIFACTS}/{CONFIG}")] or [folder / JOURNAL]
    return min(path.stat().st_ctime_ns for path in written)


def _generation(folder: Path) -> str:
    return StudyOnDisk.read(folder).identity.generation
