"""Where and with what a study ran: enough to run any of its trials again and compare."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "mer",
    "ray",
    "torch",
    "optuna",
    "mlflow",
    "transformers",
    "numpy",
    "scikit-learn",
    "safetensors",
    "pydantic",
)


def describe_environment(command: list[str]) -> dict[str, Any]:
    """Code, packages, machine and command, JSON-able. Never environment variables: they hold secrets."""
    repository = Path(__file__).resolve().parent
    return {
        "command": " ".join(command),
        "git_sha": _git(repository, "rev-parse", "HEAD"),
        "git_dirty": bool(_git(repository, "status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": {"system": platform.platform(), "cpu_count": os.cpu_count(), "processor": _processor()},
        "executable": sys.executable,
    }


def code_diff() -> str:
    """Uncommitted changes of the code, as a patch; empty outside a git checkout."""
    return _git(Path(__file__).resolve().parent, "diff", "HEAD", "--no-color")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
