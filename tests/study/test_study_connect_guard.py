"""A driver that hangs on a dead GCS, with the interpreter held: its guard speaks and ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mer.study.cluster import connect_guard

# A "GCS" dies, then the whole process is held without letting any thread run, as Ray's connecting does.
HANGS = """
import ctypes, subprocess, sys, time
from mer.study.cluster import connect_guard
with connect_guard.guarded("error: it died"):
    server = subprocess.Popen([sys.argv[1], "60"])
    {then}
print("connected", flush=True)
"""
HOLDS = "time.sleep(1); server.kill(); ctypes.PyDLL(None).sleep(60)"


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A program that the system knows as gcs_server."""
    program = tmp_path / connect_guard.GCS
    program.symlink_to("/bin/sleep")
    return program


def driver(then: str, server: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", HANGS.format(then=then), str(server)]
    return subprocess.run(words, capture_output=True, text=True, timeout=50)


def test_a_driver_that_hangs_is_ended_in_words(server: Path) -> None:
    ended = driver(HOLDS, server)
    assert (ended.returncode, ended.stderr, ended.stdout) == (-signal.SIGKILL, "error: it died\n", "")


def test_a_driver_that_connects_is_left_alone(server: Path) -> None:
    ended = driver("time.sleep(0.6); server.kill(); server.wait()", server)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "connected\n", "")
