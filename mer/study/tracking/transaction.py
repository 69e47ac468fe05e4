"""Let many calls to MLflow's SQL store be one transaction. By itself each call waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


def sql_store(client: Any) -> Any:
    """Return the SQL store of an MlflowClient; None when it has another kind."""
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    return store if hasattr(store, "ManagedSessionMaker") else None


@contextmanager
def one_transaction(client: Any) -> Iterator[None]:
    """Let all calls of this thread to MLflow's SQL store share one session, committed at the end or rolled back whole.

    Does nothing for other stores. Raises: whatever made the store give up; nothing is written then.
    """
    store = sql_store(client)
    if store is None:
        yield
        return
    maker, owner = store.ManagedSessionMaker, threading.get_ident()
    with maker(read_only=False) as session:
        own = session.commit, session.rollback

        def shared(read_only: bool = True) -> Any:
            return nullcontext(session) if threading.get_ident() == owner else maker(read_only=read_only)

        session.commit, session.rollback = session.flush, _give_up
        store.ManagedSessionMaker = shared
        try:
            yield
        finally:
            store.ManagedSessionMaker = maker
            session.commit, session.rollback = own


def _give_up() -> None:
    """MLflow repairs some faults (values that are there already) by rolling back and trying again: not in here."""
    raise RuntimeError("a write of the transaction was refused")
