"""Tell a copy of a study from the study: on a server both would write to the same runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mer.study.paths import is_study
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import TrackingStore


def original_of(folder: Path, store: TrackingStore) -> Path | None:
    """Return the study that `folder` is a copy of, where both have their record in one store; None for any other.

    The database beside a copy was copied with it, so there the two have nothing to do with each other. A study that was
    moved is not at its former place any more. Raises: OSError; MerError for damaged journals.
    """
    recorded = Outbox(folder).place
    if store.artifacts is not None or not recorded:
        return None
    place = Path(recorded)
    with contextlib.suppress(OSError):
        if is_study(place) and not place.samefile(folder) and _generation(place) == _generation(folder):
            return place
    return None


def _generation(folder: Path) -> str:
    return StudyOnDisk.read(folder).identity.generation
