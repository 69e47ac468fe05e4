"""Refuse a store in which MLflow could not record a study, before anything is trained.

MLflow itself would say so late: it asks a server that is not there again and again, for minutes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import socket
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mer.errors import MerError
from mer.study.tracking.server import refusal, refuse_strange
from mer.study.tracking.store import TrackingStore, sqlite_uri

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_ANSWER_S = 3.0
_MIGRATIONS = "store/db_migrations/versions"


def refuse_unusable(store: TrackingStore, *, to_read: bool = False) -> None:
    """Refuse a server that is not MLflow's or does not answer, and a database that this MLflow cannot open.

    Leaves nothing behind. Other kinds of store are passed over.

    Args: to_read: a database need not take anything.
    Raises: MerError with the command that mends it.
    """
    if (path := store.database) is not None:
        _refuse_file(path)
        if not to_read:
            _refuse_unwritable(path)
        return
    parts = urlsplit(store.uri)
    scheme = parts.scheme.partition("+")[0]
    if parts.hostname and scheme in _PORTS:
        if getproxies().get(scheme) and not proxy_bypass(parts.hostname):
            return  # the proxy may reach it
        _refuse_silent(store, parts.hostname, parts.port or _PORTS[scheme])
        if scheme in ("http", "https"):
            refuse_strange(store)


def _refuse_silent(store: TrackingStore, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_ANSWER_S).close()
    except OSError as fault:
        raise refusal(store, f"nobody answers at {store.shown}: {fault.strerror or fault}") from None


def _refuse_file(path: Path) -> None:
    aside = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.old')}"
    anew = f"put it aside, and the study is recorded in a new one: {aside}"
    allowed = "a database of MLflow's, or none yet"
    if path.is_dir():
        raise MerError(path, "is a folder, where MLflow's database would lie", allowed=allowed, then=anew)
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise MerError(path, f"cannot be made: {folder} is no folder to write in", then="--studies FOLDER")
        return
    if not os.access(path, os.R_OK):
        raise MerError(path, "may not be read", then=f"chmod u+rw {shlex.quote(str(path))}")
    try:
        found = _schema(path)
    except sqlite3.DatabaseError:
        raise MerError(path, "is no SQLite database, or a damaged one", allowed=allowed, then=anew) from None
    known, newest = _schemas()
    if found is None or newest is None or found == newest:
        return
    kind = "an older MLflow" if found in known else "a newer MLflow than this one"
    upgrade = f"python -m mlflow db upgrade {shlex.quote(sqlite_uri(path))}"
    copied = f"cp {shlex.quote(str(path))} {shlex.quote(f'{path}.bak')} && {upgrade}"
    raise MerError(
        path,
        f"has the schema of {kind} ({found})",
        allowed=f"{newest}, that of the MLflow installed here",
        then=f"{copied}; if that fails, {anew}" if found in known else f"install that MLflow; or {anew}",
    )


def _refuse_unwritable(path: Path) -> None:
    """Write something and take it back: a file or a folder may be read-only, a disk full. Raises: MerError."""
    if not path.exists():
        return
    if not os.access(path, os.W_OK):
        raise MerError(path, "may not be written", then=f"chmod u+rw {shlex.quote(str(path))}")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as database:
            database.execute("begin immediate")
            database.execute("create table mer_takes_writes (x)")  # SQLite needs the folder from here on
            database.execute("rollback")
    except sqlite3.OperationalError as fault:
        if "locked" in str(fault):  # by somebody who writes
            return
        then = f"make the file and its folder writable, with room on the disk: {shlex.quote(str(path.parent))}"
        raise MerError(path, f"takes no records: {fault}", then=then) from None


def _schema(path: Path) -> str | None:
    """Read which of MLflow's schemas a database has; None for none, and for one that another process has locked.

    Raises: sqlite3.DatabaseError for a file that is no database.
    """
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        try:
            row = database.execute("select version_num from alembic_version").fetchone()
        except sqlite3.OperationalError:  # no such table; locked
            return None
    return str(row[0]) if row else None


def _schemas() -> tuple[set[str], str | None]:
    """Return the schemas that the installed MLflow can come from, and its own; read as text, for importing MLflow
    takes seconds. None where its files look otherwise than they do today."""
    found = importlib.util.find_spec("mlflow")
    if found is None or found.origin is None:
        return set(), None
    texts = [path.read_text(encoding="utf-8") for path in (Path(found.origin).parent / _MIGRATIONS).glob("*.py")]
    known = {name for text in texts for name in re.findall(r"^revision\b.*=\s*[\"'](\w+)", text, re.M)}
    left = {name for text in texts for name in re.findall(r"^down_revision\b.*=\s*[\"'](\w+)", text, re.M)}
    newest = known - left
    return known, newest.pop() if len(newest) == 1 else None
