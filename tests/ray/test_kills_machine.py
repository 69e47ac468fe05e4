"""A study on a machine that gives less than usual: few open files, little shared memory, no MLflow."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest_ray import Workshop, wait_until

from benchmarks.kills.commands import started
from benchmarks.kills.judge import compare
from benchmarks.kills.mlflow_http import MlflowServer
from benchmarks.kills.snapshot import Snapshot
from benchmarks.kills.workshop import STUDY

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(600)]


def run_limited(shop: Workshop, before: str, studies: Path, apart: Sequence[str] = ()) -> tuple[int, str]:
    """Type the command in a shell after other words. Args: apart: words before the shell, such as `unshare`."""
    typed = [*apart, "bash", "-c", f"{before} && exec {shlex.join(shop.command(studies))}"]
    process = started(typed, cwd=shop.home, environment=shop.environment())
    return process.wait(120), process.output()


def assert_equal(studies: Path, undisturbed: Path) -> None:
    verdict = compare(Snapshot.of(studies, STUDY), Snapshot.of(undisturbed, STUDY), studies)
    assert verdict.is_clean, str(verdict)


def test_usual_limits_of_files_and_little_shared_memory_change_nothing(
    workshop: Workshop, uninterrupted: Path, tmp_path: Path
) -> None:
    """1024 files, as most systems allow, and where one may mount 16 MB of shared memory, as in a container."""
    small = "mount -t tmpfs -o size=16m tmpfs /dev/shm"
    may_mount = not subprocess.run(["unshare", "-m", "sh", "-c", small], capture_output=True).returncode
    apart = ["unshare", "-m"] if may_mount else []
    code, said = run_limited(workshop, f"ulimit -n 1024; {small if may_mount else 'true'}", tmp_path / "studies", apart)
    assert code == 0 and "Traceback" not in said, said
    assert_equal(tmp_path / "studies", uninterrupted)


def test_few_open_files(workshop: Workshop, uninterrupted: Path, tmp_path: Path) -> None:
    """With next to none the study is whole, or ends in words and can be gone on."""
    code, said = run_limited(workshop, "ulimit -n 64", tmp_path / "studies")
    assert "Traceback" not in said, said
    if code != 0:
        assert code == 2 and "ulimit -n" in said, said
        workshop.run(tmp_path / "studies", "--resume")
    assert_equal(tmp_path / "studies", uninterrupted)


def test_a_server_that_goes_away_for_ever_holds_nothing_up(
    workshop: Workshop, uninterrupted: Path, tmp_path: Path
) -> None:
    """The study ends as it would; what MLflow lacks is written by one command when it is there again."""
    server, studies = MlflowServer(tmp_path / "server", workshop.starter), tmp_path / "studies"
    shop = replace(workshop, settings={**workshop.settings, "MLFLOW_TRACKING_URI": server.uri})
    server.start()
    process = shop.start(studies)
    wait_until(lambda: bool(list(studies.glob("*/trials/*/last.safetensors"))) or process.poll() is not None)
    server.stop()
    wait_until(lambda: "all numbers:" in process.output() or process.poll() is not None)
    ended = time.monotonic()
    assert process.wait(60) == 2, process.output()
    assert time.monotonic() - ended < 20
    said = process.output()
    assert said.count("the study goes on") == 1 and "not yet in MLflow" in said and "Traceback" not in said
    advice = re.findall(r"(python -m mer\.study sync .*)$", said, re.M)[-1]
    server.start()
    try:
        _, _, module, *arguments = shlex.split(advice)
        sync = shop.starter(module, arguments, cwd=shop.home, environment=shop.environment(), own_group=False)
        assert sync.wait(120) == 0, sync.output()
        verdict = compare(Snapshot.of(studies, STUDY, server), Snapshot.of(uninterrupted, STUDY), server.files)
        assert verdict.is_clean, str(verdict)
    finally:
        server.stop()
