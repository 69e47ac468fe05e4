"""Locks, also where the file system has none: one process at a time either way."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from mer.errors import MerError
from mer.locks import acquire, marker
from mer.study.folder.lock import live_owner, study_lock


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_the_systems(tmp_path: Path) -> None:
    with acquire(tmp_path / "lock") as lock:
        assert not lock.makeshift and not marker(tmp_path / "lock").exists()
        with pytest.raises(Timeout):
            acquire(tmp_path / "lock", timeout_s=0)
    acquire(tmp_path / "lock", timeout_s=0).release()


def test_a_file_stands_for_the_lock_where_there_are_none(tmp_path: Path, no_locks: None) -> None:
    with acquire(tmp_path / "lock") as lock:
        assert lock.makeshift and marker(tmp_path / "lock").exists()
        with pytest.raises(Timeout):
            acquire(tmp_path / "lock", timeout_s=0)
    assert not marker(tmp_path / "lock").exists()
    acquire(tmp_path / "lock", timeout_s=0).release()


def test_a_killed_process_leaves_no_lock(tmp_path: Path, no_locks: None) -> None:
    code = (
        "import os, sys; from filelock import SoftFileLock; lock = SoftFileLock(sys.argv[1]); lock.acquire(); "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, marker(tmp_path / "lock")], timeout=60)
    assert marker(tmp_path / "lock").exists()
    acquire(tmp_path / "lock", timeout_s=5).release()


def test_one_driver_a_study_without_locks(tmp_path: Path, no_locks: None, capsys: pytest.CaptureFixture[str]) -> None:
    held = marker(tmp_path / ".s.lock")
    with study_lock(tmp_path, "s"):
        note = f"note: no locks on this file system: {held} keeps other drivers away; do not remove it\n"
        assert capsys.readouterr().err == note
        assert live_owner(tmp_path, "s")
        with pytest.raises(MerError) as fault, study_lock(tmp_path, "s"):
            pass
        assert "a live driver works on this study: pid " in str(fault.value)
        assert str(fault.value).endswith(f"run again with --resume; if its machine is gone: rm {held}")
    assert live_owner(tmp_path, "s") is None and not held.exists()
