"""docs/notebook.ipynb: its cells run from top to bottom on an export, and it is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"


def test_the_notebook_runs(exported, monkeypatch, capsys):
    monkeypatch.setenv("EXPORT", str(exported.folder.absolute()))
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in code:
        exec(compile(cell, NOTEBOOK.name, "exec"), names)
    printed = capsys.readouterr().out
    assert "Ann: You sold the car?  ->  " in printed and printed.count("in the dialogue") == 3
    assert all(not cell.get("outputs") for cell in cells)
