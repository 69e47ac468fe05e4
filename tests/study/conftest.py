"""What tests of studies have in common."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that no study has written to; MLflow takes seconds to make one."""
    from mer.study.tracking.store import create_database

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(f"sqlite:///{path}")
    return path
