"""MLflow's record survives every fault of every call: it ends as if there had been none, in that run or by a sync."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runs import WRITES, FakeMLflow, FakeRuns
from recorded_study import Search, content
from study_helpers import open_ledger, row

from mer import files
from mer.files import atomic_path
from mer.study.paths import trial_folder
from mer.study.tracking import patience, writer
from mer.study.tracking.differences import EARLIER_FORM
from mer.study.tracking.from_disk import StudyOnDisk
from mer.training.member import identity_of

ENVIRONMENT = {"command": "mer tune space.yaml", "git_sha": "abc"}
AWAY = OSError("nobody answers at http://ann:secret@host:1/")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GATHER_S", 0.01)
    monkeypatch.setattr(patience, "PAUSES_S", (0.01,) * 7)
    monkeypatch.setattr(writer, "_PATIENCE_S", 0.5)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """What MLflow holds in the end, and what it was asked for."""
    search, mlflow = Search(tmp_path_factory.mktemp("faultless")), FakeMLflow()
    assert not search.run(mlflow) and search.said == [] and search.words(mlflow) == []
    return content(mlflow), mlflow.calls


def test_without_faults_all_is_there_and_nothing_is_left_to_sync(search: Search) -> None:
    mlflow = FakeMLflow()
    assert not search.run(mlflow)
    found = mlflow.trials()
    assert {trial: run.status for trial, (run,) in found.items()} == {
        "study": "KILLED", "0": "FINISHED", "1": "FINISHED", "2": "FAILED", "3": "KILLED",
    }  # fmt: skip
    (whole,) = found["0"]
    assert {step for _, step in whole.points} == {1, 2, 3} and "confusion.svg" in whole.files
    assert {step for _, step in found["1"][0].points} == {1, 2}, "the third epoch is beyond the verdict"
    assert search.words(mlflow) == []
    before = len(mlflow.calls)
    for thorough in (False, True):
        done = search.sync(mlflow, thorough=thorough)
        assert (done.trials, done.written, done.left, done.extra) == (4, {}, {}, 0)
    assert not set(mlflow.calls[before:]) & set(WRITES)


def once(call: str, which: int, after: bool) -> Callable[[str, int], Exception | None]:
    """Fail one call of a kind: before it is done, or after, as when its answer is lost."""
    seen = [0]

    def fault(name: str, count: int) -> Exception | None:
        seen[0] += name == call
        if name == call and seen[0] == which:
            if after:
                return AWAY
            raise AWAY
        return None

    return fault


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["open", "find", "create", "log", "upload", "set_status", "held"])
def test_one_fault_at_any_call_leaves_no_trace(
    tmp_path: Path, faultless: tuple[dict[str, Any], list[str]], call: str, after: bool
) -> None:
    """Every call of a kind fails once, each in a study of its own."""
    expected, calls = faultless
    for which in range(1, max(2, calls.count(call) + 1)):
        (place := tmp_path / str(which)).mkdir()
        search, mlflow = Search(place), FakeMLflow(once(call, which, after))
        behind = search.run(mlflow)
        mlflow.fault = lambda name, count: None
        assert not behind, f"fault {which}: {behind}"
        assert content(mlflow) == expected, f"fault {which}"
        assert search.words(mlflow) == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_driver_killed_at_any_call_is_mended_by_a_sync(
    tmp_path: Path, faultless: tuple[dict[str, Any], list[str]], after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer never comes back: from one call on, nothing is written."""
    monkeypatch.setattr(writer, "_PATIENCE_S", 0.0)
    expected, calls = faultless
    for dies in range(1, len(calls) + 1):
        (place := tmp_path / str(dies)).mkdir()

        def fault(name: str, count: int, dies: int = dies) -> Exception | None:
            if count < dies:
                return None
            if count == dies and after:
                return AWAY
            raise AWAY

        search, mlflow = Search(place), FakeMLflow(fault)
        behind = search.run(mlflow)
        mlflow.fault = lambda name, count: None
        done = search.sync(mlflow)
        assert done.left == {} and content(mlflow) == expected, f"call {dies}: {behind}"
        assert search.words(mlflow) == []


def test_a_store_that_is_away_costs_one_warning_and_the_end_comes_in_time(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, count: int) -> None:
        raise AWAY

    mlflow = FakeMLflow(away)
    tracker_said = search.said
    started = time.monotonic()
    held: list[bool] = []  # whether the writer holds more than the folder tells, of each trial that has ended
    usual = writer.Writer.put

    def watched(self: writer.Writer, facts: Any, content: Any) -> None:
        usual(self, facts, content)
        held.extend(kept is not None for one, kept in self._due.values() if one.outcome in ("finished", "cut", "error"))

    monkeypatch.setattr(writer.Writer, "put", watched)
    behind = search.run(mlflow)
    assert time.monotonic() - started < 5 and held and not any(held)
    assert behind.trials == (0, 1, 2, 3) and behind.study and behind.words == "4 trials not yet in MLflow"
    assert len(tracker_said) <= 1 and "secret" not in behind.cause + "".join(tracker_said)
    history = trial_folder(search.folder, 0) / "artifacts/history.csv"
    assert history.exists() and not (trial_folder(search.folder, 0) / "last.safetensors").exists()
    mlflow.fault = lambda name, count: None
    done = search.sync(mlflow)
    assert sorted(done.written) == [0, 1, 2, 3] and mlflow.trials()["study"][0].status == "KILLED"
    assert search.words(mlflow) == []


@pytest.mark.parametrize("call", ["upload", "set_status"])
def test_a_store_that_answers_but_takes_nothing_does_not_hold_up_the_end(search: Search, call: str) -> None:
    """As on a full disk, or with an artifact store that refuses: what is only read works all the time."""

    def refuses(name: str, count: int) -> Exception | None:
        if name == call or name == "probe":
            raise AWAY
        return None

    started = time.monotonic()
    behind = search.run(FakeMLflow(refuses))
    assert time.monotonic() - started < 5 and behind.study


def test_a_resume_that_finds_nothing_to_do_leaves_everything_as_it_was(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    before = content(mlflow)
    for _ in range(2):
        tracker = search.tracker(mlflow)
        search.ledger = open_ledger(search.folder, search.spec)
        tracker.start(search.ledger.trials())
        assert not tracker.close("KILLED", {"best": 0.5}, "**note**")
        assert content(mlflow) == before and search.words(mlflow) == []


def test_a_file_that_cannot_be_read_keeps_no_other_trial_from_being_written(search: Search) -> None:
    """A study whose record was lost, resumed: trial 0 has a damaged configuration."""
    search.run(FakeMLflow())
    damaged = trial_folder(search.folder, 0) / "artifacts/config.json"
    whole = damaged.read_text()
    damaged.write_text("{")
    mlflow = FakeMLflow()
    tracker = search.tracker(mlflow)
    search.ledger = open_ledger(search.folder, search.spec)
    tracker.start(search.ledger.trials())
    behind = tracker.close("KILLED", {"best": 0.5}, "**note**")
    assert behind.trials == (0,) and not behind.study and "config.json" in behind.cause
    assert set(mlflow.trials()) == {"1", "2", "3", "study"}
    assert "config.json" in search.words(mlflow)[0] and list(search.sync(mlflow).left) == [0]
    damaged.write_text(whole)
    assert list(search.sync(mlflow).written) == [0] and search.words(mlflow) == []


def test_a_trial_of_which_only_its_worker_has_written_gets_its_run_whole(search: Search) -> None:
    """Its driver could not write what it was begun with, and died. Without the configuration nobody knows its name."""
    search.run(FakeMLflow())
    for name in ("config.json", "environment.json"):
        (trial_folder(search.folder, 3) / "artifacts" / name).unlink()
    assert list(StudyOnDisk.read(search.folder).recorded()) == [0, 1, 2]
    mlflow = FakeMLflow()
    tracker = search.tracker(mlflow)
    search.ledger = open_ledger(search.folder, search.spec)
    tracker.start(search.ledger.trials())
    assert not tracker.close("KILLED", {"best": 0.5}, "**note**")
    (run,) = mlflow.trials()["3"]
    assert run.name.startswith("00003 spcl ") and len(run.params) == 4 and search.words(mlflow) == []


def test_a_disk_that_refuses_files_once_costs_nothing(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every first write of a trial's beginning and ending fails; they are tried again at the end."""
    tried: set[Path] = set()
    usual = atomic_path

    @contextlib.contextmanager
    def atomic(target: Path, **how: Any) -> Iterator[Path]:
        if target not in tried and target.name in ("environment.json", "history.csv"):
            tried.add(target)
            raise OSError(5, "Input/output error", str(target))
        with usual(target, **how) as path:
            yield path

    monkeypatch.setattr(files, "atomic_path", atomic)
    mlflow = FakeMLflow()
    assert not search.run(mlflow)
    assert len(tried) == 7 and search.words(mlflow) == []
    assert {trial: run.status for trial, (run,) in mlflow.trials().items()} == {
        "study": "KILLED", "0": "FINISHED", "1": "FINISHED", "2": "FAILED", "3": "KILLED",
    }  # fmt: skip


def test_what_was_confirmed_before_is_not_counted_as_missing(search: Search) -> None:
    """A resumed study whose store is away: only its new trial is not in."""
    mlflow = FakeMLflow()
    search.run(mlflow)

    def away(name: str, count: int) -> None:
        raise AWAY

    mlflow.fault = away
    search.ledger = open_ledger(search.folder, search.spec)
    tracker = search.tracker(mlflow)
    tracker.start(search.ledger.trials())
    tracker.trial_started(4, {"head.hidden": 8}, None)
    tracker.trial_ended(4, "error", None, "refused")
    assert tracker.close("FINISHED", {}, "note").trials == (4,)
    tracker._writer._thread.join(10)


def test_a_password_in_the_store_s_address_is_written_nowhere(search: Search) -> None:
    failed = [0]

    def at_first(name: str, count: int) -> None:
        failed[0] += 1
        if failed[0] <= 3:
            raise AWAY

    mlflow = FakeMLflow(at_first)
    search.run(mlflow)
    assert len(search.said) == 1 and "(nobody answers at http://host:1/)" in search.said[0]
    files = [path for path in search.folder.parent.rglob("*") if path.is_file()]
    assert len(files) > 10 and not [path for path in files if b"secret" in path.read_bytes()]
    assert "secret" not in repr(mlflow.runs)


def test_a_run_that_is_refused_keeps_no_other_from_being_written(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PATIENCE_S", 5.0)  # the store works, so the end may take the time of a busy machine
    mlflow = FakeMLflow()
    refused: set[str] = set()
    usual = FakeRuns.log

    class Picky(FakeRuns):
        def log(self, run_id: str, *args: Any, **given: Any) -> None:
            if self.server.runs[run_id].tags["mer.trial"] == "1":
                refused.add(run_id)
                raise ValueError("a value that it does not take")
            usual(self, run_id, *args, **given)

    mlflow.open = lambda *_: Picky(mlflow, search.ledger.generation)  # type: ignore[method-assign, assignment]
    behind = search.run(mlflow)
    assert behind.trials == (1,) and not behind.study and "does not take" in behind.cause
    assert behind.words == "1 trial not yet in MLflow"
    found = mlflow.trials()
    assert len(found["1"]) == 1 and {trial: run.status for trial, (run,) in found.items() if trial != "1"} == {
        "study": "KILLED", "0": "FINISHED", "2": "FAILED", "3": "KILLED",
    }  # fmt: skip
    assert search.sync(mlflow).left == {} and search.words(mlflow) == []


def test_two_runs_of_a_trial_become_one_and_none_stays_open(search: Search) -> None:
    """The server made a run after all, long after its answer was given up."""
    mlflow = FakeMLflow()
    search.run(mlflow)
    late = FakeRuns(mlflow, search.ledger.generation)
    for trial in ("0", "study"):
        late.create("late", mlflow.trials()[trial][0].tags | {"mer.digest": ""}, 10**15)
    assert sum("a second run of trial" in words for words in search.words(mlflow)) == 2
    done = search.sync(mlflow)
    assert done.extra == 2 and {len(runs) for runs in mlflow.trials().values()} == {1}
    assert "RUNNING" not in {run.status for run in mlflow.runs.values()}


def test_what_its_owner_deleted_stays_deleted_unless_the_trial_goes_on(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    for trial in ("0", "3", "study"):
        mlflow.trials()[trial][0].deleted = True
    ids = set(mlflow.runs)
    tracker = search.tracker(mlflow)
    search.ledger = open_ledger(search.folder, search.spec)
    tracker.start(search.ledger.trials())
    assignment = search.ledger.next_assignment()
    assert assignment is not None and assignment.number == 3
    config = search.spec.trial_config(assignment.params)
    tracker.trial_started(3, assignment.params, config)
    rows = [row(epoch, 0.1 * epoch, seconds=1.0) for epoch in range(1, 5)]
    search.worker_saves(3, rows, identity_of(config))
    tracker.trial_rows(3, rows)
    assert not tracker.close("KILLED", {}, "note")
    assert set(mlflow.runs) == ids and set(mlflow.trials()) == {"1", "2", "3", "study"}
    assert search.words(mlflow) == []


def test_a_parent_that_is_gone_for_good_leaves_no_trial_twice(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    (gone,) = [key for key, run in mlflow.runs.items() if run.tags["mer.trial"] == "study"]
    del mlflow.runs[gone]
    assert search.words(mlflow) == ["the study has no run of its own"]
    search.sync(mlflow)
    (parent,) = [key for key, run in mlflow.runs.items() if run.tags["mer.trial"] == "study"]
    assert {len(runs) for runs in mlflow.trials().values()} == {1} and len(mlflow.runs) == 5
    children = [run for run in mlflow.runs.values() if run.tags["mer.trial"] != "study"]
    assert {run.tags["mlflow.parentRunId"] for run in children} == {parent}
    assert search.words(mlflow) == []


def test_what_somebody_has_lost_is_told_in_words_and_written_again(search: Search) -> None:
    mlflow = FakeMLflow()
    search.run(mlflow)
    ((run,), (other,)) = mlflow.trials()["0"], mlflow.trials()["1"]
    run.params.pop("optim.head_lr")
    run.points = {place: value for place, value in run.points.items() if place[1] != 2}
    run.files.pop("history.csv")
    run.status, other.tags["mer.digest"] = "RUNNING", ""
    words = search.words(mlflow)
    assert "1 parameters missing: optim.head_lr" in words
    assert "1 files missing or other than on disk: history.csv" in words
    assert "its status should be FINISHED" in words and "it is not proven: it has no digest" in words
    assert "of 1 epochs (2 to 2) not all metrics are there" in words
    assert sorted(search.sync(mlflow).written) == [0, 1]
    assert search.words(mlflow) == [] and run.status == "FINISHED"


def test_runs_that_an_earlier_version_wrote_are_brought_to_today_s_form_once(search: Search) -> None:
    """Then a trial that was stopped early was KILLED, and digests had no form."""
    mlflow = FakeMLflow()
    search.run(mlflow)
    expected = content(mlflow)
    outbox = search.folder / "mlflow.jsonl"
    for trial in ("0", "1"):
        (run,) = mlflow.trials()[trial]
        digest, run.tags["mer.digest"] = run.tags["mer.digest"], f"of then {trial}"
        run.status, before = "KILLED" if trial == "1" else run.status, outbox.read_text()
        outbox.write_text(before.replace(digest, f"of then {trial}"))
        for place in [place for place in run.points if place[0].startswith("best_")]:
            del run.points[place]
    assert search.words(mlflow) == [EARLIER_FORM] * 2
    tracker = search.tracker(mlflow)
    tracker.start(search.ledger.trials())
    assert not tracker.close("KILLED", {"best": 0.5}, "**note**")
    assert content(mlflow) == expected and search.words(mlflow) == []
    assert search.sync(mlflow).written == {}
