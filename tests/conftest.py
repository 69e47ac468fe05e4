"""Shared by all tests: where the real data is, and a quiet environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mer.console import quiet_libraries

quiet_libraries()
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for a model hub
os.environ.pop("COLUMNS", None)  # processes of pytest-xdist may have it; pages in a pipe go by it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests with Ray come first: their files take longest, and two processes should end together."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """real_data("meld") is that folder of the real data; a test that asks carries the marker `real`.

    Skips only where MER_REAL_DATA is unset: where it is set the data must be there."""
    named = os.environ.get("MER_REAL_DATA")

    def folder(name: str) -> Path:
        if not named:
            pytest.skip("MER_REAL_DATA is not set")
        assert (Path(named) / name).is_dir(), f"MER_REAL_DATA={named} holds no {name}/"
        return Path(named) / name

    return folder
