"""Imports point one way, and the core trains without ray, optuna or mlflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
QUIET_HELP = """
sys.argv, sys.stdout = ["mer", "--help"], sys.stderr
import mer.cli
mer.cli.main()
sys.stdout = sys.__stdout__
"""


def imported(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


@pytest.mark.slow
def test_the_core_needs_no_search_library():
    """Every module of the core, also those that its folders do not import by themselves."""
    folders = ("training", "losses", "features", "data", "models", "checkpoints")
    files = [path for folder in folders for path in (REPOSITORY / "mer" / folder).rglob("*.py")]
    names = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in files}
    names = {name.removesuffix(".__init__") for name in names if not name.endswith("__main__")}
    modules = imported("\n".join(f"import {name}" for name in sorted(names)))
    assert len(names) > 90 and names <= modules
    assert not modules & {"ray", "optuna", "mlflow", "mer.study", "trainables", "transformers"}


def test_import_mer_is_light():
    modules = imported("import mer")
    assert "mer" in modules and not modules & {"torch", "numpy", "ray", "optuna", "mlflow", "transformers", "pydantic"}


def test_help_is_light():
    modules = imported(QUIET_HELP)
    assert "mer.cli" in modules and not modules & {"torch", "ray", "mlflow"}


def test_the_layers_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter, "--no-logo"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 broken" in ended.stdout
