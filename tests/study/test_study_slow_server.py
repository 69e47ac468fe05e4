"""A server that answers slowly, or is large: smaller answers, one line to the user, no search of all that it has."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_runs import FakeMLflow, FakeRuns
from recorded_study import Search

from mer.study.tracking import found_runs, slowness, study_runs
from mer.study.tracking.found_runs import Looking, find_experiment, find_runs
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.slowness import Slowness


class Page(list[Any]):
    token: str | None = None


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow:
    """A client whose server takes so long for a run that it lists, and gives up after ten seconds."""

    def __init__(self, clock: Clock, runs: int, each_s: float) -> None:
        self.clock, self.runs, self.each_s, self.asked = clock, runs, each_s, list[int]()

    def search_runs(self, where: Any, words: str, kind: Any, max_results: int, page_token: str | None) -> Page:
        self.asked.append(max_results)
        start = int(page_token or 0)
        count = min(max_results, self.runs - start)
        self.clock.now += min(10.0, count * self.each_s)
        if count * self.each_s > 10:
            raise TimeoutError("read timed out")
        info = SimpleNamespace(status="FINISHED", lifecycle_stage="active", start_time=1)
        page = Page(
            SimpleNamespace(
                info=SimpleNamespace(**vars(info), run_id=f"r{number}"),
                data=SimpleNamespace(tags={"mer.trial": str(number)}),
            )
            for number in range(start, start + count)
        )
        page.token = str(start + count) if start + count < self.runs else None
        return page


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(found_runs, "time", made)
    monkeypatch.setattr(slowness, "time", made)
    return made


@pytest.mark.parametrize(("each_s", "most"), [(0.0001, 1000), (0.03, 100), (0.3, 50), (0.9, 25)])
def test_every_run_is_found_in_answers_of_a_size_that_come_in_time(clock: Clock, each_s: float, most: int) -> None:
    server, answers = Slow(clock, 2000, each_s), list[None]()
    found = find_runs(server, "1", "g", lambda: answers.append(None))
    assert [run.trial for run in found] == [str(number) for number in range(2000)]
    assert max(server.asked[1:]) <= most and server.asked[0] == 100
    assert len(answers) == len([size for size in server.asked if size * each_s <= 10])


def test_a_server_that_is_away_is_asked_once_and_one_that_hangs_a_few_times(clock: Clock) -> None:
    class Away(Slow):
        def search_runs(self, *_: Any, **given: Any) -> Page:
            self.asked.append(given["max_results"])
            self.clock.now += self.each_s
            raise OSError("nobody answers")

    for each_s, asked in ((0.0, [100]), (10.0, [100, 25, 10])):
        with pytest.raises(OSError, match="nobody answers"):
            find_runs(server := Away(clock, 0, each_s), "1", "g")
        assert server.asked == asked


def test_one_line_is_said_of_a_server_that_answers_slowly(clock: Clock) -> None:
    said: list[str] = []
    slow = Slowness(said.append, "comparing goes on")
    for _ in range(4):
        clock.now += 1.0
        slow.answered()
    assert said == []
    for _ in range(20):
        clock.now += 2.0
        slow.answered()
    assert said == ["note: MLflow answers slowly (5 answers in 6 s): comparing goes on"]
    quick = Slowness(said.append, "")
    for _ in range(20):
        clock.now += 2.0
        quick.begins()
        quick.answered()
    assert len(said) == 1


class Experiments:
    """A client of a server with many experiments. The study's was renamed where `name` says so."""

    def __init__(self, name: str, *, runs: bool = True) -> None:
        self.mine, self.runs, self.asked = SimpleNamespace(experiment_id="7", name=name), runs, list[str]()

    def get_experiment_by_name(self, name: str) -> Any:
        self.asked.append("by name")
        return self.mine if self.mine.name == name else None

    def get_experiment(self, experiment_id: str) -> Any:
        return self.mine

    def search_experiments(self, **given: Any) -> Page:
        assert given["max_results"] <= 50
        self.asked.append("experiments")
        return Page([SimpleNamespace(experiment_id="1"), self.mine])

    def search_runs(self, experiments: list[str], *_: Any, **__: Any) -> list[Any]:
        self.asked.append(f"runs of {', '.join(experiments)}")
        found = SimpleNamespace(info=SimpleNamespace(experiment_id="7"))
        return [found] if self.runs and "7" in experiments else []


@pytest.mark.parametrize(
    ("client", "looking", "asked"),
    [
        (Experiments("small"), Looking("7"), ["by name"]),
        (Experiments("renamed"), Looking("7"), ["by name", "runs of 7"]),
        (Experiments("renamed", runs=False), Looking("7"), ["by name", "runs of 7"]),
        (Experiments("small", runs=False), Looking(everywhere=False), ["by name", "runs of 7"]),
        (Experiments("renamed"), Looking(), ["by name", "experiments", "runs of 1, 7"]),
    ],
    ids=["noted", "noted and renamed", "noted and emptied", "new study", "older study, renamed"],
)
def test_only_the_study_s_experiment_is_searched(client: Experiments, looking: Looking, asked: list[str]) -> None:
    find_experiment(client, "small", "g", looking)
    assert client.asked == asked


def test_a_driver_notes_its_experiment_and_searches_everywhere_only_for_an_older_study(tmp_path: Path) -> None:
    search, looked = Search(tmp_path), list[Looking]()

    class Watched(FakeMLflow):
        def open(self, where: Any, study: str, generation: str, *how: Any) -> FakeRuns:
            looked.append(how[0])
            return super().open(where, study, generation)

    mlflow = Watched()
    search.run(mlflow)
    assert Outbox(search.folder).experiment("http://host:1/") == "1" and Outbox(search.folder).experiment("x") == ""
    search.resume(mlflow)
    (search.folder / "mlflow.jsonl").unlink()
    search.resume(mlflow)
    assert [(one.known, one.everywhere) for one in looked] == [("", False), ("1", True), ("", True)]


def test_a_client_is_bounded_and_prints_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow prints two lines with addresses for each run that ends on a server, into the middle of a live table."""
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    study_runs._prepare()
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get() and os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
