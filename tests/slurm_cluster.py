"""A machine on which sbatch, srun and scontrol are found: the stand-in's, which run jobs right here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("slurm_stand_in.py")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's folder."""
    home = tmp_path_factory.mktemp("cluster")
    for name in ("sbatch", "srun", "scontrol"):
        command = home / name
        command.write_text(f"#!{sys.executable}\n{_SOURCE.read_text(encoding='utf-8')}", encoding="utf-8")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(home))
    return home
