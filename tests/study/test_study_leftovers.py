"""Leftovers of killed processes: each kind is found and swept, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from mer.checkpoints.proven import damaged, previous
from mer.files import write_text
from mer.study.folder import leftovers
from mer.study.folder.leftovers import (
    Leftover,
    forget_session,
    leftovers_beside,
    leftovers_of,
    note_session,
    sweep,
)
from mer.study.folder.lock import study_lock
from mer.study.paths import lock_file, trial_folder
from trainables.proof import Proof
from trainables.trial_files import LAST

TMP = ".history.csv.0123abcd.tmp"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with an ended trial 0, an ended trial 1 whose tables are not written, and an interrupted trial 2."""
    folder = tmp_path / "studies" / "small"
    for number in range(3):
        last = trial_folder(folder, number) / LAST
        for path in (last, previous(last), damaged(last)):
            write_text(path, "state")
    write_text(trial_folder(folder, 0) / "artifacts/history.csv", "epoch\n1\n")
    write_text(folder / "journal.log", "")
    return folder


def everything(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


def test_a_clean_study_has_none(study: Path) -> None:
    before = everything(study.parent)
    assert leftovers_of(study, ended=[]) == [] and leftovers_beside(study.parent) == [] and sweep(study, []) == []
    assert everything(study.parent) == before


def test_temporary_files_are_swept_wherever_they_lie(study: Path) -> None:
    places = [study / TMP, trial_folder(study, 2) / TMP, trial_folder(study, 0) / "artifacts" / TMP]
    places.append(trial_folder(study, 2) / ".tmprxdb9u")  # of safetensors, when its process is killed
    names = [".small.owner.json.0123abcd.tmp", ".mlflow.db.0123abcd.tmp", ".mlflow.db.0123abcd.tmp-journal"]
    for path in [*places, *(study.parent / name for name in names)]:
        path.write_text("half")
    others = [study.parent / ".other.owner.json.0123abcd.tmp", study / "notes.0123abcd.tmp"]
    others.append(study.parent / "..small.v2.owner.json.0123abcd.tmp")  # of a study that begins at this moment
    others += [study / ".hidden.tmp", study / ".tmpfile"]
    for path in others:
        path.write_text("not ours")
    (study.parent / "mlflow.db").write_text("a database")
    lock_file(study.parent, "mlflow.db").touch()
    with study_lock(study.parent, "small"):
        gone = {one.path for one in sweep(study, [])}
    assert gone == {*places, *(study.parent / name for name in names)}
    assert all(path.exists() for path in [*others, study.parent / "mlflow.db"])


def test_checkpoints_go_once_the_trial_has_ended_and_its_rows_are_written(study: Path) -> None:
    with study_lock(study.parent, "small"):
        gone = sweep(study, ended=[0, 1])
    assert {one.kind for one in gone} == {"checkpoint of an ended trial"} and len(gone) == 3
    assert not (trial_folder(study, 0) / LAST).exists()
    assert (trial_folder(study, 1) / LAST).exists() and (previous(trial_folder(study, 2) / LAST)).exists()


def test_what_a_refused_or_killed_start_leaves_is_swept_and_what_runs_is_not(study: Path) -> None:
    studies = study.parent
    for name in ("refused", "killed", "starting", "mine"):
        lock_file(studies, name).touch()
    for name in ("killed", "starting", "mine", "by_hand"):
        (studies / name).mkdir()
    (studies / ".killed.owner.json").write_text("{}")
    (studies / "mine/notes.txt").write_text("not ours")
    with FileLock(lock_file(studies, "starting")), study_lock(studies, "small"):
        listed = leftovers_beside(studies)
        gone = sweep(study, [])
    expected = {"killed", ".killed.owner.json", ".killed.lock", ".refused.lock"}
    assert {one.path.name for one in gone} == {one.path.name for one in listed} == expected
    left = everything(studies)
    assert {"by_hand", "mine/notes.txt", ".mine.lock", "starting", ".starting.lock", ".small.lock"} <= left


def dead_pid() -> int:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return int(done.stdout)


def test_sessions_of_dead_drivers_of_this_study_go_and_no_other(study: Path, tmp_path: Path) -> None:
    pid = dead_pid()
    root = tmp_path / "ray"
    ours, foreign = root / f"session_2026-01-01_00-00-00_1_{pid}", root / f"session_2026-01-01_00-00-01_1_{pid}"
    living, elsewhere = (root / f"session_2026-01-01_00-00-0{k}_1_{p}" for k, p in ((2, os.getpid()), (3, pid)))
    ended = root / f"session_2026-01-01_00-00-04_1_{pid}"
    for session in (ours, foreign, living, elsewhere, ended):
        (session / "logs").mkdir(parents=True)
    for session in (ours, living, elsewhere, ended):
        note_session(study, session)
    note = study / ".ray/sessions" / elsewhere.name
    note.write_text(json.dumps({"host": "another", "folder": str(elsewhere)}))
    (study / ".ray/sessions/session_x").write_text("garbage")
    forget_session(study, ended)
    assert [one.kind for one in leftovers_of(study, [])] == ["session of Ray"] * 2
    sweep(study, [])
    assert sorted(path.name for path in root.iterdir()) == sorted(
        session.name for session in (foreign, living, elsewhere, ended)
    )
    assert not (study / ".ray/sessions" / ours.name).exists() and note.exists()


def test_a_note_cannot_lead_elsewhere(study: Path, tmp_path: Path) -> None:
    """Only a folder with the name of the session goes, and no link."""
    name, target = f"session_2026-01-01_00-00-00_1_{dead_pid()}", tmp_path / "precious"
    target.mkdir()
    note_session(study, tmp_path / name)
    note = study / ".ray/sessions" / name
    note.write_text(note.read_text().replace(str(tmp_path / name), str(target)))
    sweep(study, [])
    note_session(study, tmp_path / name)
    (tmp_path / name).symlink_to(target)
    sweep(study, [])
    assert target.is_dir()


def test_a_session_that_is_still_used_stays(study: Path, tmp_path: Path) -> None:
    session = tmp_path / f"session_2026-01-01_00-00-00_1_{dead_pid()}"
    session.mkdir()
    note_session(study, session)
    program = "import time; print(flush=True); time.sleep(60)"
    raylet = subprocess.Popen([sys.executable, "-c", program, str(session)], stdout=subprocess.PIPE)
    try:
        assert raylet.stdout is not None and raylet.stdout.readline()
        assert leftovers_of(study, []) == []
    finally:
        raylet.kill()
        raylet.communicate()
    assert leftovers_of(study, []) != []


def test_a_proof_of_an_earlier_run_goes(study: Path) -> None:
    Proof.begin(study, "token")
    assert [one.kind for one in sweep(study, [])] == ["proof"] and not (study / ".proof").exists()


def test_what_cannot_be_removed_stays_without_a_word(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / TMP).write_text("half")

    def refused(_: Leftover) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(leftovers.Leftover, "remove", refused)
    assert sweep(study, []) == [] and (study / TMP).exists()
