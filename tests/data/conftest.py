"""Small CSV folders to break on purpose, and the way to the real data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from meld_files import meld_csv

from mer.data.__main__ import main


@pytest.fixture
def meld_folder(tmp_path: Path) -> Callable[..., Path]:
    """meld_folder(train=[row, ...], dev=b"bytes", test="text") -> the folder, with these files and no others."""

    def write(**splits: list[dict[str, Any]] | str | bytes) -> Path:
        for split, content in splits.items():
            text = meld_csv(*content) if isinstance(content, list) else content
            data = text if isinstance(text, bytes) else text.encode()
            (tmp_path / f"{split}_sent_emo.csv").write_bytes(data)
        return tmp_path

    return write


@pytest.fixture
def typed(monkeypatch, capsys):
    """typed("check", folder) -> exit code, standard output, standard error."""

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["python -m mer.data", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "120")
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run
