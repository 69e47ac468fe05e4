"""An MLflow in memory, as `StudyRuns` asks it, that fails where a test says so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mer.study.tracking.found_runs import FoundRun
from mer.study.tracking.held import Held
from mer.study.tracking.points import Point
from mer.study.tracking.store import TAG_DIGEST, TAG_GENERATION, TAG_OUTCOME, TAG_TRIAL

WRITES = ("create", "log", "upload", "set_status", "delete", "restore")


@dataclass
class FakeRun:
    name: str
    tags: dict[str, str]
    start_ms: int
    status: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    points: dict[tuple[str, int], tuple[float, ...]] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    deleted: bool = False
    data: tuple[Any, ...] = ()

    def content(self) -> Any:
        """All but what differs from one history to another: ids and times."""
        tags = {key: value for key, value in self.tags.items() if key != "mlflow.parentRunId"}
        return self.status, tags, self.params, self.points, self.files, self.deleted


@dataclass
class FakeMLflow:
    """A server with runs of any studies.

    Args: fault: told the name and count of every call; raises to fail it before, returns an exception to fail it after.
    """

    fault: Callable[[str, int], Exception | None] = lambda name, count: None
    runs: dict[str, FakeRun] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    view: str = ""

    def open(self, where: Any, study: str, generation: str, *_: Any) -> FakeRuns:
        self.called("open", lambda: None)
        return FakeRuns(self, generation)

    def called(self, name: str, do: Callable[[], Any]) -> Any:
        self.calls.append(name)
        after = self.fault(name, len(self.calls))
        done = do()
        if after is not None:
            raise after
        return done

    def trials(self) -> dict[str, list[FakeRun]]:
        """Runs that are not deleted, by trial."""
        found: dict[str, list[FakeRun]] = {}
        for run in self.runs.values():
            if not run.deleted:
                found.setdefault(run.tags[TAG_TRIAL], []).append(run)
        return found


class FakeRuns:
    """One study's runs; see `StudyRuns`."""

    transactional, experiment_id = False, "1"
    _ids = itertools.count()

    def __init__(self, server: FakeMLflow, generation: str) -> None:
        self.server, self.generation = server, generation

    def together(self) -> Any:
        return nullcontext()

    def probe(self) -> None:
        self.server.called("probe", lambda: None)

    def find(self) -> list[FoundRun]:
        def do() -> list[FoundRun]:
            return [
                FoundRun(
                    key, run.tags[TAG_TRIAL], run.status, run.tags.get(TAG_OUTCOME, ""), run.tags.get(TAG_DIGEST, ""),
                    run.deleted, run.start_ms,
                )
                for key, run in self.server.runs.items()
                if run.tags[TAG_GENERATION] == self.generation
            ]  # fmt: skip

        return self.server.called("find", do)

    def held(self, run_id: str) -> Held:
        run = self.server.runs[run_id]
        parts = dict(run.params), dict(run.tags), dict(run.points), dict(run.files)
        return self.server.called("held", lambda: Held(run.status, *parts, run.deleted))

    def create(self, name: str, tags: Mapping[str, str], start_ms: int) -> str:
        def do() -> str:
            run_id = f"run{next(self._ids)}"
            self.server.runs[run_id] = FakeRun(name, dict(tags), start_ms)
            return run_id

        return self.server.called("create", do)

    def log(
        self, run_id: str, points: Iterable[Point] = (), params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        def do() -> None:
            run = self._active(run_id)
            for point in points:
                known = run.points.get((point.key, point.step), ())
                run.points[point.key, point.step] = known if point.value in known else (*known, point.value)
            run.params |= params
            run.tags |= tags

        self.server.called("log", do)

    def show(self, view: str) -> None:
        self.server.called("show", lambda: setattr(self.server, "view", view))

    def log_data(self, run_id: str, data: Iterable[Any]) -> None:
        self.server.called("log_data", lambda: setattr(self._active(run_id), "data", tuple(data)))

    def upload(self, run_id: str, files: Iterable[Path]) -> None:
        def do() -> None:
            self._active(run_id).files |= {file.name: file.stat().st_size for file in files}

        self.server.called("upload", do)

    def set_status(self, run_id: str, status: str, end_ms: int | None = None) -> None:
        self.server.called("set_status", lambda: setattr(self._active(run_id), "status", status))

    def delete(self, run_id: str) -> None:
        self.server.called("delete", lambda: setattr(self.server.runs[run_id], "deleted", True))

    def restore(self, run_id: str) -> None:
        self.server.called("restore", lambda: setattr(self.server.runs[run_id], "deleted", False))

    def _active(self, run_id: str) -> FakeRun:
        run = self.server.runs[run_id]
        assert not run.deleted, "MLflow refuses to write to a deleted run"
        return run
