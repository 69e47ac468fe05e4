"""`python -m mer.predict`, typed in this process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mer import console
from mer.predict import app


class Typed:
    """Runs the command on one export: exit code, standard output, standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], export: Path) -> None:
        self.monkeypatch, self.capsys, self.export = monkeypatch, capsys, export

    def __call__(self, *arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        words = [str(self.export), *map(str, arguments)]
        self.monkeypatch.setattr("sys.argv", ["mer.predict", *words])
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = 0
        try:
            console.run(lambda: app(words, standalone_mode=True))
        except SystemExit as end:
            code = int(end.code or 0)
        said = self.capsys.readouterr()
        return code, said.out, said.err
