"""What `python -m mer.study sync` does and says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mer.errors import MerError
from mer.study.folder.lock import study_lock
from mer.study.folder.read_study import find_study
from mer.study.tracking.copied import original_of
from mer.study.tracking.found_runs import Looking
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.recorded_store import store_of
from mer.study.tracking.slowness import Slowness
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.study_runs import StudyRuns
from mer.study.tracking.sync import Synced, sync_study, sync_words
from mer.study.tracking.usable import refuse_unusable

_SHOWN = 10  # trials that are named with what was wrong


def sync_command(study: str, studies: Path, *, thorough: bool) -> None:
    """Sync one study and print what was done. Raises: MerError when not all of it is in MLflow now."""
    folder = find_study(study, studies)
    store = store_of(folder)
    refuse_unusable(store)
    with study_lock(folder.parent, folder.name):
        if origin := original_of(folder, store):
            raise MerError(
                folder,
                f"is a copy of {origin}, whose runs are in {store.shown}",
                then="go on with the copy, which gives it runs of its own: python -m mer.tune SPACE.yaml --resume",
            )
        disk, outbox = StudyOnDisk.read(folder), Outbox(folder)
        slowness = Slowness(lambda words: print(words, flush=True), "comparing goes on")
        with refusals(store, folder):
            looking = Looking(outbox.experiment(store.shown), answered=slowness.answered)
            runs = open_runs(store, disk, looking)
            outbox.note_experiment(store.shown, runs.experiment_id)
            done = sync_study(disk, outbox, runs, thorough=thorough)
    _print(done, store)
    if done.left:
        numbers = ", ".join(str(number) for number in sorted(done.left))
        raise MerError(
            store.shown,
            f"{len(done.left)} of {done.trials} trials are not in it ({numbers}): {next(iter(done.left.values()))}",
            then="mend the cause, then type the same command again",
        )


def open_runs(store: TrackingStore, disk: StudyOnDisk, looking: Looking = Looking()) -> StudyRuns:  # noqa: B008
    """Open the runs of a study that is on disk. Raises: whatever MLflow raises."""
    return StudyRuns.open(store, disk.identity.name, disk.identity.generation, looking)


@contextmanager
def refusals(store: TrackingStore, folder: Path) -> Iterator[None]:
    """Say in one message why MLflow could not be used: stores and clients of files raise what their transport raises.

    Raises: MerError.
    """
    try:
        yield
    except MerError:
        raise
    except Exception as fault:
        raise MerError(
            store.shown,
            f"MLflow does not take records just now: {store.words(fault)}",
            then=f"when it does, type again: {sync_words(folder)}",
        ) from fault


def _print(done: Synced, store: TrackingStore) -> None:
    for number in sorted(done.written)[:_SHOWN]:
        print(f"trial {number}: {'; '.join(done.written[number])}: written")
    if len(done.written) > _SHOWN:
        print(f"and {len(done.written) - _SHOWN} more")
    if done.extra:
        print(f"{done.extra} superfluous runs were put into MLflow's trash")
    print(
        f"{done.trials - len(done.left)} of {done.trials} trials are in {store.shown}, {len(done.written)} written now"
    )
