"""Check the folders of trials: tables and pictures of those that ended, and rows that agree with the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from mer.config import TargetKind
from mer.study.audit.findings import RESUME, Finding, trial_words
from mer.study.folder.recorded import read_config, read_history
from mer.study.paths import (
    ARTIFACTS,
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    tables_of,
    trial_folder,
    trial_numbers,
)
from mer.study.search.stored_trial import ENDED
from mer.study.tracking.from_disk import StudyOnDisk

_ALWAYS = (CONFIG, HISTORY, ENVIRONMENT)
_COPY = "bring it back from a copy"


def folder_findings(disk: StudyOnDisk) -> Iterator[Finding]:
    """Yield what is wrong with the folders of trials of a study on which nobody works."""
    known = {trial.number for trial in disk.trials}
    for number in trial_numbers(disk.folder):
        if number not in known:
            place = trial_folder(disk.folder, number)
            yield Finding("trial", str(place), "the journal knows no such trial", then="move it away")
    for trial in disk.trials:
        if trial.state in ENDED:
            yield from _of_trial(disk, trial, trial_folder(disk.folder, trial.number))


def _of_trial(disk: StudyOnDisk, trial: FrozenTrial, place: Path) -> Iterator[Finding]:
    ending: dict[str, Any] = trial.user_attrs.get("ending", {})
    said = trial_words(trial.number)
    if disk.unfinished_files(trial.number):
        yield Finding("trial", said, "its tables are not made yet", RESUME)
        return
    has_model = ending.get("outcome") == "finished"
    for name in (*_ALWAYS, *(tables_of(_task_of(place)) if has_model else ())):
        if not (place / ARTIFACTS / name).is_file():
            yield Finding("trial", said, f"{ARTIFACTS}/{name} is not there", then=_COPY)
    try:
        rows = read_history(place)
    except ValueError as fault:
        yield Finding("trial", said, f"{ARTIFACTS}/{HISTORY} cannot be read: {fault}", then=_COPY)
        return
    for words in _of_rows(rows, trial, ending, disk.identity.metrics):
        yield Finding("trial", said, f"{ARTIFACTS}/{HISTORY}: {words}", then=_COPY)


def _task_of(place: Path) -> TargetKind:
    """Read what a trial predicts; classes where its configuration cannot be read, which is another finding."""
    try:
        return read_config(place).data.task
    except (OSError, ValueError):
        return "class"


def _of_rows(
    rows: list[dict[str, float]], trial: FrozenTrial, ending: dict[str, Any], metrics: tuple[str, ...]
) -> Iterator[str]:
    epochs = [int(row["epoch"]) for row in rows]
    if epochs != list(range(1, len(rows) + 1)):
        yield f"epochs {_shown(epochs)} instead of 1 to {max(epochs, default=0)}"
    told = sorted(trial.intermediate_values)
    last = max([*told, *([int(ending["last"][0])] if ending.get("last") else [])], default=0)
    if last > len(rows):
        yield f"{len(rows)} epochs, and the journal has heard of {last}"
    best = ending.get("best")
    if not best:
        return
    there = next((row for row in rows if row["epoch"] == best["epoch"]), None)
    if there is None:
        yield f"epoch {best['epoch']:.0f}, the best, is not in it"
    elif any(there.get(metric) != best[metric] for metric in metrics):
        yield f"epoch {best['epoch']:.0f}, the best, has other scores than in the journal"


def _shown(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
