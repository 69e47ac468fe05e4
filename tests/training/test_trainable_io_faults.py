"""What the machine refuses a worker is tried again for some seconds; then the study stops, and no trial has failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ObjectLostError
from test_trainable_base import ToyTrainable, actor, files, slot, to_the_end, told_by
from test_trainable_members import pack, tasks
from test_trainable_members import told_by as all_told_by

from mer import io_faults
from mer.checkpoints import load_proven, save_proven, save_tensors
from mer.io_faults import is_of_the_machine, patiently, refusal
from trainables import saving

PASSING = [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.ENOLCK, errno.ETIMEDOUT]
LASTING = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none of them takes time."""
    made: list[float] = []
    monkeypatch.setattr(io_faults.time, "sleep", made.append)
    return made


def refusing(work: Callable[..., Any], number: int, times: float, name: str = "last.safetensors") -> Callable[..., Any]:
    """Do the work, but be refused so many times for files of this name."""
    left = [times]

    def refused(path: Path, *rest: Any, **named: Any) -> Any:
        if path.name == name and left[0] > 0:
            left[0] -= 1
            raise OSError(number, os.strerror(number), str(path))
        return work(path, *rest, **named)

    return refused


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
def test_a_write_that_is_refused_once_changes_nothing(tmp_path, monkeypatch, pauses, number, name):
    to_the_end(actor(slot(tmp_path / "whole")))
    monkeypatch.setattr(saving, "save_proven", refusing(save_proven, number, 1, name))
    monkeypatch.setattr(saving, "save_tensors", refusing(save_tensors, number, 1, name))
    assert to_the_end(actor(slot(tmp_path / "refused")))[-1]["outcome"] == "finished"
    assert files(tmp_path / "refused/00000") == files(tmp_path / "whole/00000") and pauses == [0.1]


@pytest.mark.parametrize("number", [*PASSING, *LASTING], ids=errno.errorcode.get)
def test_a_refusal_that_stays_stops_the_study_and_fails_no_trial(tmp_path, monkeypatch, pauses, number):
    monkeypatch.setattr(saving, "save_proven", refusing(save_proven, number, float("inf")))
    report = told_by(actor(slot(tmp_path)))
    assert report["outcome"] == "blocked"
    assert report["reason"] == f"{tmp_path}/00000/last.safetensors: {os.strerror(number)}"
    assert pauses == ([] if number in LASTING else [0.1, 0.4, 1.0, 2.0])


@pytest.mark.parametrize("times", [1, float("inf")])
def test_a_checkpoint_that_cannot_be_read_just_now_is_not_thrown_away(tmp_path, monkeypatch, pauses, times):
    actor(slot(tmp_path, interval=0.0)).step()
    with monkeypatch.context() as failing:
        failing.setattr(Path, "read_bytes", refusing(Path.read_bytes, errno.EIO, times))
        report = told_by(actor(slot(tmp_path, interval=0.0)))
    assert report["outcome"] == ("running" if times == 1 else "blocked") and not report["note"]
    assert load_proven(tmp_path / "00000/last.safetensors")[1]["epoch"] == 1


def test_a_folder_that_cannot_be_made_just_now(tmp_path, monkeypatch, pauses):
    monkeypatch.setattr(Path, "mkdir", refusing(Path.mkdir, errno.ESTALE, 1, "00000"))
    assert to_the_end(actor(slot(tmp_path)))[-1]["outcome"] == "finished" and pauses == [0.1]


def test_no_other_member_of_a_pack_hears_of_it(tmp_path, monkeypatch, pauses):
    def refused(path: Path, *rest: Any) -> None:
        if path.parent.name == "00001":
            raise OSError(errno.EIO, "Input/output error", str(path))
        save_proven(path, *rest)

    monkeypatch.setattr(saving, "save_proven", refused)
    told = all_told_by(actor(pack(tasks(tmp_path, {}, {}, {}))))
    assert {number: one["outcome"] for number, one in told.items()} == {0: "finished", 1: "blocked", 2: "finished"}


def test_features_that_cannot_be_had_lose_the_attempt_and_not_the_trial(tmp_path):
    class Cut(ToyTrainable):
        def build(self, task, device):
            raise ObjectLostError("ab" * 14, None, "")

    report = told_by(actor(slot(tmp_path), Cut))
    assert report["outcome"] == "lost" and report["reason"].startswith("ObjectLostError: ")


def test_a_fault_of_a_saving_thread_fails_its_member_alone(tmp_path, monkeypatch):
    def broken(path: Path, *rest: Any) -> None:
        if path.parent.name == "00000":
            raise ZeroDivisionError("in a thread")
        save_proven(path, *rest)

    monkeypatch.setattr(saving, "save_proven", broken)
    told = all_told_by(actor(pack(tasks(tmp_path, {}, {}))))
    assert {number: one["outcome"] for number, one in told.items()} == {0: "error", 1: "finished"}


def test_what_is_no_fault_of_the_machine_is_not_tried_again(pauses):
    tried = []

    def absent() -> None:
        tried.append(1)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    with pytest.raises(FileNotFoundError):
        patiently(absent)
    assert tried == [1] and not pauses
    assert not is_of_the_machine(FileNotFoundError(errno.ENOENT, "x")) and not is_of_the_machine(ValueError())
    assert refusal(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert refusal(OSError("odd")) == "odd"
