"""The bar of an extraction: its total is there at once, and its rate is that of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from mer import progress
from mer.features import ensure


class LoadingTheBackbone(Exception):
    """Whatever takes seconds before the first row."""


def test_the_total_is_shown_before_the_backbone_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []

    @contextmanager
    def reporting(*_: object, **__: object) -> Iterator[object]:
        yield lambda done, total: shown.append((done, total))

    def extract(*_: object, **__: object) -> None:
        raise LoadingTheBackbone

    monkeypatch.setattr(ensure, "reporting", reporting)
    item = SimpleNamespace(split="dev", path=tmp_path / "x.safetensors", rows=["a", "b", "c"], key="k")
    reading = SimpleNamespace(name="minilm", unit="texts", extract=extract)
    with pytest.raises(LoadingTheBackbone):
        ensure._extract_missing(item, reading, "meld", None)  # type: ignore[arg-type]
    assert shown == [(0, 3)]


def test_the_rate_leaves_out_what_came_before_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    clock = progress._Clock()
    for seconds, done, rate in ((0, 5, 0.0), (10, 5, 0.0), (11, 7, 2.0), (12, 9, 2.0)):
        now[0] = float(seconds)
        assert clock.rate(done) == rate
