"""Small CSV folders to break on purpose, and the way to the real data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from meld_files import meld_csv


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
def real_data() -> Callable[[str], Path]:
    def folder(name: str) -> Path:
        root = os.environ.get("MER_REAL_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"MER_REAL_DATA does not name a folder with {name}/")
        return Path(root) / name

    return folder
