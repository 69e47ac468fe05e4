"""A study on a machine that others share, run by people who have little there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_ray import Workshop, histories

pytestmark = [pytest.mark.ray, pytest.mark.hostile, pytest.mark.timeout(600)]
PYTHON = sys.executable


def test_a_study_where_little_is_allowed(workshop: Workshop, uninterrupted: Path, tmp_path: Path) -> None:
    """No home, a TMPDIR too long for sockets, an ASCII locale, names that a shell takes apart, files for oneself only;
    then the export that was printed is pasted."""
    long = tmp_path / ("t" * 90)
    long.mkdir()
    here = tmp_path / 'étude 学习; it\'s "50% done?" #2'
    here.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "RAY_AUTH_TOKEN")}
    environment = kept | {
        "HOME": "/proc/none",
        "TMPDIR": str(long),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}",
    }

    def paste(line: str, umask: str = "077") -> str:
        typed = subprocess.run(
            ["bash", "-c", f"umask {umask}; {line}"], cwd=here, env=environment, capture_output=True, timeout=240
        )
        assert typed.returncode == 0, (line, typed.stdout, typed.stderr)
        return typed.stdout.decode("ascii")

    places = f"--studies {shlex.quote('my studies')} --cache {shlex.quote(str(workshop.cache))}"
    printed = paste(f"python -m mer.tune {shlex.quote(str(workshop.space))} {places}")
    study = here / "my studies" / "small"
    assert histories(study) == histories(uninterrupted / "small")
    assert json.loads((study / "summary.json").read_text(encoding="utf-8"))["study"] == "small"
    assert study.stat().st_mode & 0o077 == 0
    commands = [line[line.index("python -m") :] for line in printed.splitlines() if "python -m" in line]
    assert {words.split()[2] for words in commands} >= {"mer.tune", "mer.ui", "mer.export", "mer.evaluate"}
    for line in commands:
        if "mer.export" in line:
            paste(line)
    assert (here / "exports" / "small" / "model.safetensors").is_file()
