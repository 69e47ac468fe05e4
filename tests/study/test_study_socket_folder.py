"""The folder for Ray's sockets: short, private, removed with its process or at the next start."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.cluster import socket_folder as socket_folder_module
from mer.study.cluster.socket_folder import socket_folder

MAKE = "import sys; from mer.study.cluster.socket_folder import socket_folder; print(socket_folder(), flush=True)"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose name is short enough."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="x") as folder:
        yield Path(folder)


def made(code: str = MAKE, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_TMPDIR", "TMPDIR")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60)


def test_it_is_private_and_goes_with_its_process(place: Path) -> None:
    code = f"{MAKE}; import os; print(oct(os.stat(socket_folder().parent).st_mode & 0o777))"
    folder, mode = made(code, TMPDIR=str(place)).stdout.split()
    assert Path(folder).parent.parent == place and mode == "0o700"
    assert list(place.iterdir()) == []


def test_a_long_tmpdir_is_passed_over(tmp_path: Path) -> None:
    long = tmp_path / ("t" * 90)
    long.mkdir()
    folder = Path(made(TMPDIR=str(long)).stdout.strip())
    assert folder.parent.parent == Path("/tmp")
    session = folder / "session_2026-11-28_01-02-03_123456_4194304" / "sockets" / "plasma_store"
    assert len(os.fsencode(session)) <= 107


def test_a_place_that_was_asked_for_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (tmp_path / ("t" * 90), Path("/proc/none")):
        monkeypatch.setenv("RAY_TMPDIR", str(wrong))
        with pytest.raises(MerError) as fault:
            socket_folder()
        assert str(fault.value).startswith("RAY_TMPDIR: no folder for Ray's sockets") and "next: " in str(fault.value)


def test_a_killed_process_s_folder_goes_at_the_next_start(place: Path) -> None:
    killed = made(f"{MAKE}; import os; os.kill(os.getpid(), 9)", TMPDIR=str(place))
    (left,) = place.iterdir()
    assert killed.returncode == -9 and left.is_dir()
    living = subprocess.Popen(
        [sys.executable, "-c", f"{MAKE}; sys.stdin.read()"],
        env=os.environ | {"TMPDIR": str(place), "RAY_TMPDIR": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert living.stdout and living.stdin
    folder = Path(living.stdout.readline().strip()).parent
    assert list(place.iterdir()) == [folder], "the left one is gone"
    made(TMPDIR=str(place))
    assert list(place.iterdir()) == [folder], "that of a living process stays"
    living.communicate("")
    assert list(place.iterdir()) == []


def test_a_folder_is_never_seen_with_a_lock_that_is_free(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process sweeps at the worst moment: when the lock is made and not yet taken."""
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    take, swept = fcntl.flock, []

    def sweep_first(handle: int, how: int) -> None:
        if how == fcntl.LOCK_EX:  # of the folder's owner
            with monkeypatch.context() as other:
                other.setattr(socket_folder_module.fcntl, "flock", take)
                socket_folder_module._sweep(place)
            swept.append(how)
        take(handle, how)

    monkeypatch.setattr(socket_folder_module.fcntl, "flock", sweep_first)
    monkeypatch.setattr(socket_folder_module.atexit, "register", lambda *_, **__: None)
    folder = socket_folder().parent
    assert swept and (folder / "lock").exists()
    monkeypatch.setattr(socket_folder_module.fcntl, "flock", take)
    socket_folder_module._sweep(place)
    assert folder.exists(), "its process lives"


def test_a_folder_whose_process_died_before_its_lock_goes_after_an_hour(place: Path) -> None:
    for name, age_s in (("old", 7200), ("young", 60)):
        folder = place / f"mer-ray-{name}"
        folder.mkdir()
        then = time.time() - age_s
        os.utime(folder, (then, then))
    socket_folder_module._sweep(place)
    assert [folder.name for folder in place.iterdir()] == ["mer-ray-young"]
