"""Describe code, packages and machine of a run: enough to run any of its trials again and compare."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mer.redaction import without_secrets, words_without_secrets

_HERE = Path(__file__).resolve()
_PACKAGES = (
    "mer",
    "ray",
    "torch",
    "optuna",
    "mlflow",
    "transformers",
    "peft",
    "numpy",
    "scikit-learn",
    "safetensors",
    "pydantic",
)


def describe_environment(command: list[str]) -> dict[str, Any]:
    """Return code, packages, machine and command as JSON-able data. Environment variables stay out: they hold secrets.

    Args: command: the arguments of this process.
    """
    return {
        "command": shlex.join(words_without_secrets(command)),
        "git_sha": _git("rev-parse", "HEAD"),
        "code_diff_sha256": hashlib.sha256(code_diff().encode()).hexdigest(),
        "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "machine": {"system": platform.platform(), "cpu_count": os.cpu_count(), "processor": _processor()},
        "executable": sys.executable,
    }


def code_diff() -> str:
    """Return uncommitted changes of the code as a patch; "" outside a git checkout."""
    return _git("diff", "HEAD", "--no-color", "--no-ext-diff")


def stored_diff() -> str:
    """Return `code_diff` as it is kept: without what looks like a secret, which its first line then says."""
    text, found = without_secrets(code_diff())
    said = "1 text that looks like a secret is" if found == 1 else f"{found} texts that look like secrets are"
    return f"# {said} left out of this patch; provenance: {{diff: false}} keeps none\n{text}" if found else text


def _git(*arguments: str) -> str:
    """Ask git about the checkout that this file is part of; "" when there is none."""
    if _run_git("ls-files", "--error-unmatch", _HERE.name) is None:
        return ""  # installed inside somebody else's repository, or outside any
    return (_run_git(*arguments) or "").strip()


def _run_git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_HERE.parent), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", errors="replace") if done.returncode == 0 else None


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
