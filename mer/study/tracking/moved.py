"""Keep the places that MLflow's database records true when the folder of studies was moved or copied.

MLflow writes the absolute place of every experiment's and run's files into its database. The database and the files
move together, so what begins with another folder's `mlartifacts` is meant to be here: without this a moved study shows
no files, and a copy writes into its original.

A folder that is seen by another path from here (another host, a container) looks as if it had moved. So nothing is
rewritten while a driver works in it: its files would go to a place that it does not have.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mer.locks import acquire
from mer.study.folder.lock import nobody_at_work
from mer.study.tracking.store import FILES, TrackingStore

_PLACES = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"))


def follow_the_folder(where: TrackingStore, say: Callable[[str], None] = lambda _: None) -> int:
    """Rewrite recorded places to the folder in which the database lies. Returns how many were rewritten.

    Only places that end in `mlartifacts/NAME` as ours do are touched. A folder that is the same one under another
    path (a second mount, a link) is left alone, and one in which a driver works.

    Args: say: is told why nothing was rewritten though the places are others.
    Raises: sqlite3.Error; OSError.
    """
    database, here = where.database, where.artifacts
    if database is None or here is None or not database.is_file():
        return 0
    if not (former := _former_roots(database, here)):
        return 0
    with nobody_at_work(database.parent) as worker:
        if not worker:
            return _rewritten(database, here)
    say(f"files of trials are looked for in {_path(former[0])}, not here, as long as {worker}")
    return 0


def _rewritten(database: Path, here: str) -> int:
    with (
        acquire(database.with_name(f".{database.name}.lock")),
        contextlib.closing(sqlite3.connect(database, timeout=10)) as connection,
        connection,
    ):
        connection.execute("begin immediate")
        return sum(
            connection.execute(
                f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                (here, len(root) + 1, len(root) + 1, f"{root}/"),
            ).rowcount
            for root in _roots(connection, here)
            for table, column in _PLACES
        )


def _former_roots(database: Path, here: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return _roots(connection, here)


def _roots(connection: sqlite3.Connection, here: str) -> list[str]:
    """Find the folders of other places under which experiments keep files, as URIs, longest first."""
    try:
        rows = connection.execute("select name, artifact_location from experiments").fetchall()
    except sqlite3.OperationalError as fault:
        if "no such table" in str(fault):
            return []
        raise
    found = set()
    for _, location in rows:
        root = str(location).rpartition("/")[0]
        if root != here and root.startswith("file:") and root.endswith(f"/{FILES}") and not _same(root, here):
            found.add(root)
    return sorted(found, key=len, reverse=True)


def _same(one: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(_path(one)).samefile(_path(other))
    return False


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)
