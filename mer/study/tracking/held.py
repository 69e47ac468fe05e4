"""What a run holds in MLflow, and how that differs from what it must hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mer.study.tracking.content import Content
from mer.study.tracking.points import Point
from mer.study.tracking.store import PARENT_TAG

_LARGEST = 1.797e308  # MLflow stores infinity as about this
_OF_THE_CLOCK = ("seconds",)
_SHORTEST_CUT = 250  # characters of a parameter, in the oldest servers


@dataclass(frozen=True)
class Held:
    """What MLflow has of one run.

    Args:
        points: (key, step) -> values that were logged there; several when somebody logged another one.
        files: name -> size in bytes, of those at the top.
        deleted: the run lies in MLflow's trash.
    """

    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Mapping[tuple[str, int], tuple[float, ...]]
    files: Mapping[str, int]
    deleted: bool = False


@dataclass
class Missing:
    """What has to be written so that a run holds what it must. False when nothing is.

    Args: others: parameters that are there with another value, which MLflow never changes -> that value.
    """

    params: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    status: str = ""  # what it should be, when it is another

    def __bool__(self) -> bool:
        return bool(self.params or self.others or self.tags or self.points or self.files or self.status)

    def words(self) -> Iterator[str]:
        """Say each kind of thing that is missing, in words."""
        if self.others:
            yield (
                f"{len(self.others)} parameters other than on disk, which MLflow never changes: "
                f"{_shown(sorted(self.others))}; a new run takes the place of this one"
            )
        for kind, names in (
            ("parameters", sorted(self.params)),
            ("metrics", sorted({point.key for point in self.points})),
            ("tags", sorted(self.tags)),
            ("files", sorted(file.name for file in self.files)),
        ):
            if names:
                than = "missing" if kind == "parameters" else "missing or other than on disk"
                yield f"{len(names)} {kind} {than}: {_shown(names)}"
        if self.points:
            steps = sorted({point.step for point in self.points})
            yield f"of {len(steps)} epochs ({steps[0]} to {steps[-1]}) not all metrics are there"
        if self.status:
            yield f"its status should be {self.status}"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def missing(must: Content, held: Held, parent: str = "") -> Missing:
    """Compare. What a run holds beside what it must (a person's tags, notes, metrics) is left alone.

    Args: parent: id of the study's run, which a trial's run names.
    """
    tags = {**must.tags, **({PARENT_TAG: parent} if parent else {})}
    return Missing(
        params={key: value for key, value in must.params.items() if key not in held.params},
        others={key: there for key, there in held.params.items() if _is_other(there, must.params.get(key))},
        tags={key: value for key, value in tags.items() if held.tags.get(key) != value},
        points=[point for point in must.points() if not has_value(held.points, point)],
        files=[file for file in must.files if held.files.get(file.name) != must.sizes[file.name]],
        status=must.status if held.status != must.status else "",
    )


def _is_other(there: str, wanted: str | None) -> bool:
    """True when a parameter has another value than it must. A server may have cut what it found too long."""
    if wanted is None or there == wanted:
        return False
    return not (len(there) >= _SHORTEST_CUT and wanted.startswith(there))


def has_value(points: Mapping[tuple[str, int], tuple[float, ...]], wanted: Point) -> bool:
    """True when a value was logged at its step. NaN equals NaN; infinity is stored as the largest number."""
    if wanted.key in _OF_THE_CLOCK and (wanted.key, wanted.step) in points:
        return True  # an epoch that was trained again, since its checkpoint was damaged: the first time counts
    for value in points.get((wanted.key, wanted.step), ()):
        if value == wanted.value or (math.isnan(value) and math.isnan(wanted.value)):
            return True
        if math.isinf(wanted.value) and abs(value) >= _LARGEST and (value > 0) == (wanted.value > 0):
            return True
    return False
