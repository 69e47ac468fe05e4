"""Gather what is to be written of many runs, and write it in two transactions: values, then statuses.

MLflow commits every call by itself, which costs a wait for the disk and a look-up of the run each time. Its SQL store
takes many calls in one session; a server takes them one by one as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Pending:
    """What is to be written of one run.

    Args:
        create: its name, tags and start time in ms, when the run is not there yet.
        reopen: set its status to RUNNING first.
        metrics, params, tags: MLflow's own entities.
        artifacts: a folder whose files go to the run.
        ending: status and end time in ms; written last, so it proves that the rest is in.
        afterwards: called in this order once all of it is written.
    """

    create: tuple[str, dict[str, str], int] | None = None
    reopen: bool = False
    metrics: list[Any] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    tags: list[Any] = field(default_factory=list)
    artifacts: Path | None = None
    ending: tuple[str, int] | None = None
    afterwards: list[Callable[[], None]] = field(default_factory=list)


class RunBatch:
    """Runs of one experiment, by trial number.

    Args:
        client: an MlflowClient.
        runs: trial number -> run id; runs that are created are added.
        failed: told of every write that the store refused.
    """

    def __init__(
        self, client: Any, experiment_id: str, runs: dict[int, str], failed: Callable[[Exception], None]
    ) -> None:
        self.client, self.experiment_id, self.runs, self.failed = client, experiment_id, runs, failed
        self._pending: dict[int, Pending] = {}
        self._places: dict[str, str] = {}  # run id -> where its files go, of runs that were created here

    def __len__(self) -> int:
        return len(self._pending)

    def of(self, number: int) -> Pending:
        """What is gathered for a trial; add to it."""
        return self._pending.setdefault(number, Pending())

    def write(self) -> None:
        """Write all that was gathered. What is refused of one run keeps no other run from being written."""
        pending, self._pending = self._pending, {}
        whole = self._together(pending, self._log)
        whole = [number for number in whole if self._tried(self._upload, number, pending[number])]
        whole = self._together({n: pending[n] for n in whole if pending[n].ending}, self._end) + [
            number for number in whole if not pending[number].ending
        ]
        for number in whole:
            for job in pending[number].afterwards:
                self._tried(lambda *_, job=job: job(), number, pending[number])

    def _together(self, pending: dict[int, Pending], step: Callable[[int, Pending], None]) -> list[int]:
        """Do a step for all runs in one transaction, or one by one when one fails. Returns numbers that are done."""
        before = dict(self.runs)
        try:
            with one_transaction(self.client):
                for number, entry in pending.items():
                    step(number, entry)
        except Exception:  # nothing of it is written: find out which run it was
            self.runs.clear()
            self.runs.update(before)
            return [number for number, entry in pending.items() if self._tried(step, number, entry)]
        return list(pending)

    def _tried(self, step: Callable[[int, Pending], None], number: int, entry: Pending) -> bool:
        try:
            step(number, entry)
        except Exception as fault:
            self.failed(fault)
            return False
        return True

    def _log(self, number: int, entry: Pending) -> None:
        if number not in self.runs and entry.create:
            name, tags, start = entry.create
            run = self.client.create_run(self.experiment_id, run_name=name, tags=tags, start_time=start)
            self.runs[number] = run.info.run_id
            self._places[run.info.run_id] = run.info.artifact_uri
        if entry.reopen:
            self.client.update_run(self.runs[number], status="RUNNING")
        self.client.log_batch(self.runs[number], metrics=entry.metrics, params=entry.params, tags=entry.tags)

    def _upload(self, number: int, entry: Pending) -> None:
        if entry.artifacts is None:
            return
        place = self._places.pop(self.runs[number], "")
        if place.startswith("file:"):  # else MLflow reads the whole run to learn the place
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            get_artifact_repository(place).log_artifacts(str(entry.artifacts))
        else:
            self.client.log_artifacts(self.runs[number], str(entry.artifacts))

    def _end(self, number: int, entry: Pending) -> None:
        assert entry.ending is not None
        status, time_ms = entry.ending
        self.client.set_terminated(self.runs[number], status=status, end_time=time_ms)


@contextmanager
def one_transaction(client: Any) -> Iterator[None]:
    """Let all calls of this thread to MLflow's SQL store share one session, committed at the end or rolled back whole.

    Does nothing for other stores. Raises: whatever made the store give up; nothing is written then.
    """
    store: Any = getattr(getattr(client, "_tracking_client", None), "store", None)
    maker = getattr(store, "ManagedSessionMaker", None)
    if maker is None:
        yield
        return
    owner = threading.get_ident()
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
