"""Check the weights of trials that ended: all there, links that lead into the store, cards that fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from mer.checkpoints import Store
from mer.read_files import read_object
from mer.study.audit.findings import EITHER, REPAIR, Finding, trial_words
from mer.study.folder.standings import rank, standings_of
from mer.study.paths import SPACE, trial_folder
from mer.study.search.stored_trial import ENDED
from mer.study.space.spec import StudyObjective
from mer.study.tracking.from_disk import StudyOnDisk
from trainables.trial_files import BEST, state_files

_SUFFIX = ".safetensors"
_LOST = "bring it back from a copy"


def weight_findings(disk: StudyOnDisk, store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the weights of trials that ended. Hashes no file: `mer.store verify` does."""
    kept = _kept(disk)
    for trial in disk.trials:
        if trial.state not in ENDED:
            continue
        place = trial_folder(disk.folder, trial.number)
        if _has_model(trial) and (kept is None or trial.number in kept) and not os.path.lexists(place / BEST):
            yield Finding("weights", trial_words(trial.number), f"{BEST} is not there", then=_LOST)
        for path in _tensors(place):
            yield from _of_file(store, trial.number, path)


def relink(store: Store, disk: StudyOnDisk) -> None:
    """Lead links that lead nowhere to the objects that they name, where those are there. Raises: OSError."""
    for trial in disk.trials:
        for path in _tensors(trial_folder(disk.folder, trial.number)):
            if path.is_symlink() and store.link_fault(path) and store.named(path):
                store.relink(path)


def publish(store: Store, disk: StudyOnDisk) -> None:
    """Move weights of ended trials into the store that a killed driver had not moved. Raises: OSError; MerError."""
    for trial in disk.trials:
        if trial.state in ENDED:
            for path in _tensors(trial_folder(disk.folder, trial.number)):
                if not path.is_symlink() and store.links:
                    store.publish(path, split_card=True)


def _of_file(store: Store, number: int, path: Path) -> Iterator[Finding]:
    said = trial_words(number, path)
    if not path.is_symlink():
        if store.root.is_dir() and any(store.root.glob("??")):  # else this file system has no links
            yield Finding("weights", said, "it is not in the store yet", EITHER)
        return
    fault = store.link_fault(path)
    if fault is not None:
        there = store.named(path)
        yield Finding("weights", said, fault.found, REPAIR if there else "", "" if there else _LOST)
    elif words := _card_fault(path, number):
        yield Finding("weights", said, words, then="bring its card back from a copy")


def _card_fault(path: Path, number: int) -> str:
    """Say what is wrong with the card beside published weights; "" when nothing is."""
    try:
        note = read_object(path.with_suffix(".json"))
        card = note["card"]
        if note["tensors_sha256"] != Path(os.path.realpath(path)).stem:
            return "its card belongs to other tensors"
        return "" if card.get("number", number) == number else f"its card is that of trial {card['number']}"
    except FileNotFoundError:
        return "its card is not there"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "its card cannot be read"


def _has_model(trial: FrozenTrial) -> bool:
    ending: dict[str, Any] = trial.user_attrs.get("ending", {})
    return ending.get("outcome") in ("finished", "cut") and bool(ending.get("best"))


def _kept(disk: StudyOnDisk) -> set[int] | None:
    """Numbers of trials whose weights stay; None for all. Those of a Pareto front are not asked for."""
    try:
        most = read_object(disk.folder / SPACE).get("keep_weights")
    except (OSError, ValueError):
        return None
    return None if most is None else {one.number for one in rank(standings_of(disk.trials), _aim(disk))[:most]}


def _aim(disk: StudyOnDisk) -> StudyObjective:
    metric = disk.identity.metrics[0]
    try:
        return StudyObjective(metric=metric)
    except ValueError:  # it allows one direction for each metric
        return StudyObjective(metric=metric, mode="min")


def _tensors(place: Path) -> list[Path]:
    states = set(state_files(place))
    return sorted(path for path in place.glob(f"*{_SUFFIX}") if path not in states and not path.name.startswith("."))
