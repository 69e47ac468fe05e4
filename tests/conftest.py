"""Shared by all tests: where the real data is, and a quiet environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mer.console import quiet_libraries

quiet_libraries()
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for a model hub


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with meld/ and emorynlp/; a test that asks for it carries the marker `real`."""
    named = os.environ.get("MER_REAL_DATA")
    if not named:
        pytest.skip("MER_REAL_DATA is not set")
    folder = Path(named)
    assert (folder / "meld" / "train_sent_emo.csv").exists(), f"MER_REAL_DATA={named} holds no MELD"
    return folder
