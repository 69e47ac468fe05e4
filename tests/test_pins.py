"""One set of versions, wherever it is written down."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = dict(line.lower().split("==") for line in LINES if "==" in line)


def test_uv_gets_the_versions_of_the_constraints_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for line in project["tool"]["uv"]["constraint-dependencies"]:
        name, version = line.split("==")
        assert PINS[name] == version


@pytest.mark.parametrize("name", ["torch", "ray", "optuna", "mlflow", "transformers", "peft", "accelerate"])
def test_the_tests_run_on_the_pinned_versions(name: str) -> None:
    assert metadata.version(name).split("+")[0] == PINS[name]
