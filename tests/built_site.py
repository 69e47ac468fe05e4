"""Build the site of a checkout as `make site` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def build_site(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout. Not with --quiet: mkdocs then drops the warnings that --strict counts."""
    pytest.importorskip("material", reason='the extra docs is not installed: pip install "mer[docs]"')
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)
