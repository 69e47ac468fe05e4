"""The metrics of a trial's run, point by point: those of every epoch, and those of the best epoch so far before them.

MLflow lists the metrics of a run in the order in which they came, and shows the last value of each: the last epoch's.
So `best_...` is written from the first epoch on, and comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mer.study.tracking.store import metric_name
from mer.training import Row

_NOT_METRICS = ("epoch", "timestamp_ms")


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp_ms: int
    step: int


def points_of(
    rows: Sequence[Row], metric: str, mode: str, *, first_row: int = 0, best_epoch: float | None = None
) -> Iterator[Point]:
    """Yield the metrics of some epochs, those of an epoch that is the best so far also as `best_...`.

    Args:
        rows: all so far.
        metric, mode: by which epochs are compared.
        first_row: yield those from here on.
        best_epoch: the one that dev chose, when that is known: no later one is the best.
    """
    names: dict[str, str] = {}
    best: float | None = None
    for index, row in enumerate(rows):
        value = row.get(metric)
        improves = value is not None and (best is None or (value > best if mode == "max" else value < best))
        if improves and (best_epoch is None or row["epoch"] <= best_epoch):
            best = value
            if index >= first_row:
                yield from best_points(row)
        if index >= first_row:
            stamp, step = int(row["timestamp_ms"]), int(row["epoch"])
            for key, number in row.items():
                if key not in _NOT_METRICS:
                    yield Point(names.setdefault(key, metric_name(key)), number, stamp, step)


def best_points(row: Row) -> Iterator[Point]:
    """Yield the dev metrics of an epoch as those of the best one."""
    stamp, step = int(row["timestamp_ms"]), int(row["epoch"])
    for key, value in row.items():
        if key.startswith("dev_"):
            yield Point(metric_name(f"best_{key}"), value, stamp, step)
    yield Point("best_epoch", row["epoch"], stamp, step)
