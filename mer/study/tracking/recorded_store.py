"""Find the store that holds a study's record: one answer for every command."""

from __future__ import annotations

import os
from pathlib import Path

from mer.read_files import read_object
from mer.study.paths import SUMMARY
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.store import DATABASE, TrackingStore, sqlite_uri
from mer.terminal.commands import quoted

VARIABLE = "MLFLOW_TRACKING_URI"


def store_of(folder: Path) -> TrackingStore:
    """Return the store that MLFLOW_TRACKING_URI names, else the server on which the study was recorded last, else the
    database beside the study.

    A database that was recorded elsewhere means that the study was copied: the copy's is beside it.

    Args: folder: of the study; it need not be there yet.
    """
    server = _server(folder)
    if given := os.environ.get(VARIABLE):
        return TrackingStore.under(folder.parent, given, instead=_beside(folder) if server else "")
    if server:
        return TrackingStore.under(folder.parent, server, named_by=f"{folder}, recorded there", instead=_beside(folder))
    return TrackingStore.under(folder.parent, None)


def is_as_before(store: TrackingStore) -> bool:
    """True when the store is the server on which the study was recorded, and nothing in the environment says so."""
    return store.artifacts is None and not os.environ.get(VARIABLE)


def _server(folder: Path) -> str:
    recorded = Outbox(folder).store or _in_summary(folder)
    return "" if recorded.startswith("sqlite:") else recorded


def _in_summary(folder: Path) -> str:
    """The address that an older version wrote."""
    try:
        uri = read_object(folder / SUMMARY)["mlflow"]["uri"]
        return uri if isinstance(uri, str) else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _beside(folder: Path) -> str:
    return f"export {VARIABLE}={quoted(sqlite_uri(folder.parent.resolve() / DATABASE))}"
