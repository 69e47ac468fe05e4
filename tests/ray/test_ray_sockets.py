"""What a study and `mer.ui` listen to and reach for: this machine only (docs/security.md)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from conftest_ray import Workshop
from sockets import watched

from benchmarks.kills.commands import typed

pytestmark = pytest.mark.ray
CLOUD = ("169.254.169.254", 80)  # Ray asks in which cloud it is; it has no switch for that


def test_a_study_listens_on_this_machine_only_and_reaches_for_nothing(workshop: Workshop, tmp_path: Path) -> None:
    shop = replace(workshop, starter=typed, database=None)  # its workers are its descendants
    study = shop.start(tmp_path / "studies")
    with watched(study.pid) as seen:
        output, _ = study.communicate(timeout=240)
    assert study.returncode == 0, output
    listening, connected = seen.beyond()
    assert len(seen.processes) > 5 and seen.listening and seen.connected, "nothing was watched"
    assert not listening
    names = {name for name, _, port in connected if port == 53}  # of metadata.google.internal
    others = {one for one in connected if one[1:] != CLOUD and one[2] != 53}
    assert not others
    assert all("ray" in name for name in names | {one[0] for one in connected if one[1:] == CLOUD}), connected


def test_the_ui_listens_on_this_machine_only(uninterrupted: Path, tmp_path: Path) -> None:
    studies = shutil.copytree(uninterrupted, tmp_path / "studies")
    port = 5993
    command = [sys.executable, "-m", "mer.ui", "small", "--port", str(port), "--studies", str(studies)]
    ui = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with watched(ui.pid) as seen:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                        assert answer.status == 200
                    break
                except OSError:
                    time.sleep(0.2)
            time.sleep(1)
        assert ("127.0.0.1", port) in {one[1:] for one in seen.listening}
        assert seen.beyond() == (set(), set())
    finally:
        ui.terminate()
        ui.wait(timeout=30)
