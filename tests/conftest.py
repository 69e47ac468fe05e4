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


LONGER = ("slow", "real", "faults", "hostile", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files that take longest come first, so that two processes end together: Ray, then other slow tests."""
    ranks = {item.path: 2 for item in items}
    for item in items:
        ranks[item.path] = min(ranks[item.path], _rank(item))
    items.sort(key=lambda item: ranks[item.path])


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("ray") is not None:
        return 0
    return 1 if any(item.get_closest_marker(name) is not None for name in LONGER) else 2


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
