"""Say whether the best value lies at the edge of its range, and advise to widen it only where values lie beyond."""

from __future__ import annotations

import math
import typing
from typing import Any

from pydantic import BaseModel

from analysis.page.words import plain
from analysis.stores.study import Range, Study
from mer.config import TrialConfig

EDGE = 0.05  # of the range, on its own scale
_ENOUGH = 5  # finished trials


def edge(study: Study, name: str) -> tuple[str, str]:
    """Locate the best trial's value in its range and say in a sentence whether the range was too narrow."""
    searched, best = study.ranges[name], study.best
    if best is None:
        return "", "No trial has finished."
    if name not in best.params:
        return "", f"Not drawn for the best trial (only when {searched.condition})."
    value = best.params[name]
    place = position(searched, value)
    if place is None:
        return "", "The choices have no order: there is no edge."
    low, high = _ends(searched)
    where = f"{100 * place:.0f} %"
    if EDGE < round(place, 2) < 1 - EDGE:  # as shown
        return where, "Inside: no sign that the range is too narrow."
    side, end, step = ("lower", low, -1) if place < 0.5 else ("upper", high, 1)
    if not is_open(name, float(end), step):  # type: ignore[arg-type]
        return where, f"At the {side} end ({plain(end)}), and nothing lies beyond it."
    if len(study.finished) < _ENOUGH:
        return where, f"At the {side} end ({plain(end)}); so few finished trials ask for no wider range yet."
    return where, f"At the {side} end ({plain(end)}): if values beyond it make sense, widen the range there."


def is_open(key: str, end: float, step: int) -> bool:
    """Tell whether a configuration may have values beyond `end`. Args: step: -1 for below, +1 for above."""
    limits = _limits(key)
    if step < 0:
        floor = max((limit for name, limit in limits if name in ("ge", "gt")), default=-math.inf)
        return end > floor and end != 0.0
    ceiling = min((limit for name, limit in limits if name in ("le", "lt")), default=math.inf)
    return end < ceiling


def _limits(key: str) -> list[tuple[str, float]]:
    """List the bounds that the configuration sets for a key, e.g. ("ge", 0.0)."""
    models: list[type[BaseModel]] = [TrialConfig]
    *path, last = key.split(".")
    for part in path:
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = [model for annotation in fields for model in _models_in(annotation)]
    fields_found = [model.model_fields[last] for model in models if last in model.model_fields]
    metadata = [bound for field in fields_found for bound in (*field.metadata, *_metadata_in(field.annotation))]
    found = [(name, getattr(bound, name, None)) for bound in metadata for name in ("ge", "gt", "le", "lt")]
    return [(name, float(limit)) for name, limit in found if isinstance(limit, int | float)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _metadata_in(annotation: Any) -> list[Any]:
    """List what Annotated says anywhere inside an annotation."""
    own = list(getattr(annotation, "__metadata__", ()))
    return own + [
        bound for part in typing.get_args(annotation) if part is not annotation for bound in _metadata_in(part)
    ]


def position(searched: Range, value: object) -> float | None:
    """Return the place of a value in its range: 0 at the low end, 1 at the high end.

    Logarithmic ranges are measured on their own scale. None for choices without an order.
    """
    if searched.kind == "choice":
        if not _ordered(searched) or value not in searched.choices:
            return None
        choices = sorted(searched.choices)
        return choices.index(value) / (len(choices) - 1)
    if not isinstance(value, int | float) or searched.low == searched.high:
        return None
    scale = math.log if searched.log else float
    low, high = scale(searched.low), scale(searched.high)
    return (scale(value) - low) / (high - low)


def _ordered(searched: Range) -> bool:
    numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in searched.choices)
    return numbers and len(searched.choices) >= 3


def _ends(searched: Range) -> tuple[object, object]:
    if searched.kind == "choice":
        return min(searched.choices), max(searched.choices)
    ends = (searched.low, searched.high)
    return (int(ends[0]), int(ends[1])) if searched.kind == "int" else ends
