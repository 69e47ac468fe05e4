"""Refuse to go on with the journal of another search: other ranges, another sampler, another study's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage

from mer.errors import MerError
from mer.study.paths import JOURNAL
from mer.study.search.journal import readable_journal, readable_storage
from mer.study.space.spec import StudySpec


def refuse_other_study(folder: Path, storage: JournalStorage, spec: StudySpec) -> None:
    """Refuse a folder renamed by hand: it would begin again at trial 0, on top of former trials' weights.

    Raises: MerError.
    """
    names = [study.study_name for study in storage.get_all_studies()]
    if names and spec.study not in names:
        raise MerError(
            folder,
            f"holds the study {names[0]!r}, not {spec.study!r}: was the folder renamed?",
            then="rename it back, or start over with --fresh, or name it anew with --set study=NAME",
        )


def refuse_other_search(folder: Path, known: dict[str, Any], spec: StudySpec) -> None:
    """Raise MerError when a study that began as `known` may not go on with this search space."""
    if changes := list(_differences(known, spec.identity(), "")):
        raise MerError(
            folder,
            "the search space is not the one this study began with:\n    " + "\n    ".join(changes),
            allowed="between runs: the budget (but budget.epochs), resources, keep_weights, points, data.root",
            then=f"give the new search another name (--set study={spec.study}-2), or start over with --fresh",
        )


def check_journal(folder: Path, spec: StudySpec) -> None:
    """Refuse the journal of another search, as `Ledger` does, but only read it. Raises: MerError."""
    refuse_other_study(folder, readable_storage(folder / JOURNAL), spec)
    with contextlib.suppress(KeyError), readable_journal(folder, spec.study) as found:  # KeyError: nothing in it yet
        if known := found.user_attrs.get("identity"):
            refuse_other_search(folder, known, spec)


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield the differences of two JSON-able trees, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            below = f"{path}.{key}" if path else key
            if key not in old:
                yield f"{below}: new, {new[key]!r}"
            elif key not in new:
                yield f"{below}: gone, was {old[key]!r}"
            else:
                yield from _differences(old[key], new[key], below)
    elif _plain(old) != _plain(new):
        yield f"{path}: was {old!r}, now {new!r}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
