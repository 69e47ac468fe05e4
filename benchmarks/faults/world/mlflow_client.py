"""MLflow's client as the simulated world has it: each call may fail, or its answer is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.world.clock import Clock
from benchmarks.faults.world.faults import Operation, Plan
from benchmarks.faults.world.mlflow_server import Page, Refused, Server, StoredRun
from benchmarks.faults.world.processes import Running

_TIMEOUT_S, _SLOW_S = 60.0, 20.0
_PAGE = 1000
_STAGES = {1: frozenset({"active"}), 2: frozenset({"deleted"}), 3: frozenset({"active", "deleted"})}


class Wire:
    """The way to the server: counts calls, asks the plan about each, and does what it says.

    Nothing fails while no process of the world runs.
    """

    def __init__(self, server: Server, clock: Clock, running: Running, plan: Plan) -> None:
        self.server, self.clock, self.running, self.plan = server, clock, running, plan
        self._count = 0

    def begin(self, plan: Plan) -> None:
        """Count from zero, for another command."""
        self.plan, self._count = plan, 0

    def call(self, name: str, of: str, do: Callable[[], Any], half: Callable[[], object] = lambda: None) -> Any:
        """Make a call, or let it fail. Raises: MlflowException; Crash."""
        from mlflow.exceptions import MlflowException

        try:
            return self._call(name, of, do, half, MlflowException)
        except Refused as fault:
            raise MlflowException(str(fault)) from fault

    def _call(
        self, name: str, of: str, do: Callable[[], Any], half: Callable[[], object], error: type[Exception]
    ) -> Any:
        if self.running.now is self.running.outside:
            return do()
        self.running.check()
        operation = Operation("mlflow", self._count, name, of, self.running.now.name)
        self._count += 1
        fault = self.plan.fault(operation)
        if fault == "slow":
            self.clock.sleep(_SLOW_S)
        if fault in ("", "slow"):
            return do()
        if fault == "crash before":
            raise self.running.now.die()
        if fault == "error inside":
            half()
        elif fault in ("error after", "lost answer", "crash after"):
            do()
        if fault == "crash after":
            raise self.running.now.die()
        if fault in ("lost answer", "down"):
            self.clock.sleep(_TIMEOUT_S)
            raise error(f"API request to http://mlflow/{name} failed with exception: read timed out")
        raise error(f"INTERNAL_ERROR: {name}")


class Client:
    """Stands in for `mlflow.MlflowClient`, as far as the product uses it."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._server = wire, wire.server

    # -- experiments ---------------------------------------------------------------------------------------------

    def get_experiment_by_name(self, name: str) -> Any:
        found = lambda: next((e for e in self._server.experiments.values() if e.name == name), None)  # noqa: E731
        return self._wire.call("get_experiment_by_name", "", found)

    def get_experiment(self, experiment_id: str) -> Any:
        return self._wire.call("get_experiment", "", lambda: self._server.experiments[experiment_id])

    def search_experiments(self, *_: Any, **__: Any) -> Any:
        return self._wire.call("search_experiments", "", lambda: Page(self._server.experiments.values()))

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        make = lambda: self._server.create_experiment(name, artifact_location)  # noqa: E731
        return str(self._wire.call("create_experiment", "", make))

    def restore_experiment(self, experiment_id: str) -> None:
        experiment = self._server.experiments[experiment_id]
        self._wire.call("restore_experiment", "", lambda: setattr(experiment, "lifecycle_stage", "active"))

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        tags = self._server.experiments[experiment_id].tags
        self._wire.call("set_experiment_tag", "", lambda: tags.update({key: str(value)}))

    # -- runs ----------------------------------------------------------------------------------------------------

    def create_run(
        self, experiment_id: str, start_time: int | None = None, tags: Any = None, run_name: str | None = None
    ) -> Any:
        now = start_time or int(self._wire.clock.time() * 1000)
        make = lambda: self._server.create_run(experiment_id, run_name or "", tags or {}, now)  # noqa: E731
        run = self._wire.call("create_run", (tags or {}).get("mer.trial", ""), make)
        return run.seen()

    def get_run(self, run_id: str) -> Any:
        return self._wire.call("get_run", self._of(run_id), lambda: self._server.run(run_id).seen())

    def search_runs(
        self, experiment_ids: Sequence[str], filter_string: str = "", run_view_type: int = 1,
        max_results: int = _PAGE, order_by: Any = None, page_token: str | None = None,
    ) -> Any:  # fmt: skip
        def find() -> Any:
            start = int(page_token or 0)
            found = self._server.search(experiment_ids, filter_string, _STAGES[run_view_type])
            page = Page(run.seen() for run in found[start : start + max_results])
            page.token = str(start + max_results) if len(found) > start + max_results else None
            return page

        return self._wire.call("search_runs", "", find)

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        def update() -> None:
            run = self._server.active(run_id)
            run.status, run.name = status or run.status, name or run.name

        self._wire.call("update_run", self._of(run_id), update)

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        def end() -> None:
            run = self._server.active(run_id)
            run.status, run.end_time = status or "FINISHED", end_time

        self._wire.call("set_terminated", self._of(run_id), end)

    def delete_run(self, run_id: str) -> None:
        run = self._server.run(run_id)
        self._wire.call("delete_run", self._of(run_id), lambda: setattr(run, "lifecycle_stage", "deleted"))

    def restore_run(self, run_id: str) -> None:
        run = self._server.run(run_id)
        self._wire.call("restore_run", self._of(run_id), lambda: setattr(run, "lifecycle_stage", "active"))

    # -- what is in a run ----------------------------------------------------------------------------------------

    def log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = (), **_: Any
    ) -> None:
        def log(whole: bool = True) -> None:
            run = self._server.active(run_id)
            self._server.log_params(run, params)
            self._server.log_metrics(run, metrics if whole else metrics[: len(metrics) // 2])
            run.tags |= {tag.key: tag.value for tag in tags} if whole else {}

        self._wire.call("log_batch", self._of(run_id), log, lambda: log(whole=False))

    def log_inputs(self, run_id: str, datasets: Sequence[Any]) -> None:
        self._wire.call("log_inputs", self._of(run_id), lambda: self._server.active(run_id))

    def set_tag(self, run_id: str, key: str, value: Any, **_: Any) -> None:
        self.log_batch(run_id, tags=[SimpleNamespace(key=key, value=str(value))])

    def delete_tag(self, run_id: str, key: str) -> None:
        self._wire.call("delete_tag", self._of(run_id), lambda: self._server.active(run_id).tags.pop(key, None))

    def get_metric_history(self, run_id: str, key: str) -> Any:
        def read() -> Any:
            points = sorted(self._server.run(run_id).metrics.get(key, ()))
            return [SimpleNamespace(key=key, step=s, timestamp=t, value=v) for s, t, v in points]

        return self._wire.call("get_metric_history", self._of(run_id), read)

    # -- files of a run ------------------------------------------------------------------------------------------

    def log_artifact(self, run_id: str, local_path: Any, artifact_path: str | None = None) -> None:
        path = Path(local_path)
        self._upload("log_artifact", run_id, {_below(artifact_path, path.name): path.read_bytes()})

    def log_artifacts(self, run_id: str, local_dir: Any, artifact_path: str | None = None) -> None:
        root = Path(local_dir)
        names = sorted(
            os.path.relpath(Path(folder) / name, root) for folder, _, files in os.walk(root) for name in files
        )
        content = {_below(artifact_path, name): (root / name).read_bytes() for name in names}
        self._upload("log_artifacts", run_id, content)

    def list_artifacts(self, run_id: str, path: str | None = None) -> Any:
        def look() -> Any:
            files = self._server.run(run_id).files
            return [SimpleNamespace(path=n, is_dir=False, file_size=len(files[n])) for n in sorted(files)]

        return self._wire.call("list_artifacts", self._of(run_id), look)

    def _upload(self, name: str, run_id: str, content: dict[str, bytes]) -> None:
        half = dict(list(content.items())[: len(content) // 2])
        upload = lambda files: self._server.active(run_id).files.update(files)  # noqa: E731
        self._wire.call(name, self._of(run_id), lambda: upload(content), lambda: upload(half))

    def _of(self, run_id: str) -> str:
        run: StoredRun | None = self._server.runs.get(run_id)
        return run.tags.get("mer.trial", "") if run else "?"


def _below(folder: str | None, name: str) -> str:
    return f"{folder}/{name}" if folder else name
