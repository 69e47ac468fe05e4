"""Writes to the journal: cut short by a kill, refused by the disk, made by others."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from io import FileIO

import optuna
import pytest
from ledger_lab import finish, uninterrupted
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from study_helpers import make_spec, open_ledger

from mer.study.search.stored_trial import params_of

DRIVER = """
    import sys
    sys.path.insert(0, {helpers!r})
    from pathlib import Path
    from study_helpers import open_ledger, row, score_of
    from mer.study.space.load import load_spec
    spec = load_spec(Path({space!r}), ["budget.trials=100000"])
    ledger = open_ledger(Path({folder!r}), spec)
    while assignment := ledger.next_assignment():
        for epoch in range(1, 4):
            ledger.report(assignment.number, epoch, epoch / 10)
        ledger.end(assignment.number, "finished", best=row(3, score_of(assignment)))
        print(assignment.number, flush=True)
"""


@pytest.mark.faults
def test_sigkill_in_the_middle_of_writes(tmp_path):
    make_spec(tmp_path)
    helpers = os.path.dirname(__file__)  # noqa: PTH120
    code = DRIVER.format(helpers=helpers, space=str(tmp_path / "space.yaml"), folder=str(tmp_path / "s"))
    for round_ in range(2):
        driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
        assert driver.stdout is not None and driver.stdout.readline()
        time.sleep(0.05 + 0.013 * round_)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        driver.stdout.close()
    spec = make_spec(tmp_path, overrides=("budget.trials=100000",))
    ledger = open_ledger(tmp_path / "s", spec)
    begun = ledger.begun()
    orphans = [t.number for t in ledger.trials() if t.state == TrialState.RUNNING]
    assert begun >= 2 and len(orphans) <= 1  # each driver took up what the one before it left
    finished = [t for t in ledger.trials() if t.state == TrialState.COMPLETE]
    assert all(t.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3} for t in finished)
    exact = make_spec(tmp_path, overrides=(f"budget.trials={begun}",))
    expected = uninterrupted(tmp_path / "t", exact)
    while orphans and (assignment := ledger.next_assignment()).number in orphans:
        finish(ledger, assignment)
        orphans.remove(assignment.number)
    stored = [(t.number, params_of(t)) for t in ledger.trials()[:begun]]
    assert stored == expected


@pytest.mark.parametrize("refuses", ["write", "fsync"])
def test_a_write_that_the_disk_refuses_leaves_whole_lines_and_is_the_last(tmp_path, monkeypatch, refuses):
    """A torn line with whole ones after it could not be read any more."""
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    journal = tmp_path / "s" / "journal.log"
    finish(ledger, ledger.next_assignment())
    whole = journal.read_bytes()
    with monkeypatch.context() as full:
        if refuses == "write":
            full.setattr(type(journal), "open", lambda path, *how, **also: TornFile(path))
        else:
            full.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match=r"No space left on device: '.*journal\.log'"):
            ledger.next_assignment()
    assert journal.read_bytes() == whole
    with pytest.raises(OSError, match="No space left"):  # memory is ahead of the file
        ledger.next_assignment()
    assert journal.read_bytes() == whole
    assert uninterrupted(tmp_path / "s", spec) == uninterrupted(tmp_path / "t", spec)[1:]


class TornFile(FileIO):
    """A file on a disk that has room for ten bytes more."""

    def __init__(self, path):
        super().__init__(path, "ab")
        self.room = 10

    def write(self, data):
        if not self.room:
            refused()
        self.room, took = 0, super().write(bytes(data[: self.room]))
        return took


def refused(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_notes_of_a_dashboard_are_left_to_the_next_driver(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").set_user_attr("note", "mine")
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").set_user_attr("note", "yours")
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.study.user_attrs["note"] == "yours"
    assert [trial.state.name for trial in heir.trials()] == ["COMPLETE"] * 2


def test_a_trial_of_another_program_stops_the_study_before_numbers_mix(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").ask()
    with pytest.raises(OSError, match=r"another program wrote into it while this study ran: '.*journal\.log'"):
        ledger.next_assignment()
    assert [trial.state.name for trial in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE", "RUNNING"]


def as_others_open_it(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name="small", storage=storage)
