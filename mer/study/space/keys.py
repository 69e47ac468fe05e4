"""Name the dotted keys that `TrialConfig` knows, and word pydantic's complaints with them."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from mer.config import MAPPINGS, FoldRule, TrialConfig
from mer.errors import brief
from mer.validation_words import allowed_words

# Set by other parts of a search space, with the key to use instead.
RESERVED = {
    "training.epochs": "budget.epochs",
    "training.metric": "objective.metric",
    "training.mode": "objective.mode",
}


@cache
def known_keys() -> frozenset[str]:
    """Return every dotted path to a value of `TrialConfig`, over all kinds of its unions."""
    return frozenset(_walk(TrialConfig, ""))


def _walk(model: type[BaseModel], prefix: str) -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        if inner and f"{prefix}{name}" not in MAPPINGS:
            for submodel in inner:
                keys |= _walk(submodel, f"{prefix}{name}.")
        else:
            keys.add(f"{prefix}{name}")
    return keys


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """List the models that an annotation (a model, or a union or Annotated of models) may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [model for part in typing.get_args(annotation) for model in models_in(part)]
    return []


def complaints(error: ValidationError) -> list[tuple[str, str, str]]:
    """Return (dotted key, found, allowed) for each fault of a rejected TrialConfig."""
    return [(_key(fault), *_words(fault)) for fault in error.errors(include_url=False)]


def reason(fault: ValueError) -> str:
    """Say in one line why no TrialConfig could be made: a combination that the ranges allow and the methods do not."""
    if not isinstance(fault, ValidationError):
        return str(fault)
    lines = [
        f"{key}: {found}" + (f" (allowed: {allowed})" if allowed else "") for key, found, allowed in complaints(fault)
    ]
    return "; ".join(dict.fromkeys(lines))


def _key(fault: Any) -> str:
    key, last = _dotted(fault["loc"], fault["type"] == "extra_forbidden"), fault["loc"][-1:]
    if key == "data.folds" and last[0] in FoldRule.model_fields:
        return f"{key}.{last[0]}"
    if fault["type"] == "union_tag_invalid":
        return f"{key}.{fault['ctx']['discriminator'].strip(chr(39))}"
    return key


def _dotted(loc: tuple[str | int, ...], extra: bool) -> str:
    """Drop the tags that pydantic adds to a location for unions: loss.contrastive.spcl.x -> loss.contrastive.x."""
    known = known_keys()
    parts: list[str] = []
    for part in map(str, loc):
        longer = ".".join([*parts, part])
        is_known = longer in known or any(key.startswith(f"{longer}.") for key in known)
        if is_known or (extra and part is loc[-1]):
            parts.append(part)
    if len(parts) > 1 and ".".join(parts) not in known and ".".join(parts[:-1]) in known:
        parts.pop()  # the tag of a union of plain types, e.g. 'past.int'
    return ".".join(parts)


def _words(fault: Any) -> tuple[str, str]:
    """Word one complaint: what was found, what is allowed."""
    kind, context, value = fault["type"], fault.get("ctx", {}), fault["input"]
    found = f"got {brief(value)}"
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "extra_forbidden":
        return "has no meaning with this choice of kind", ""
    if kind == "union_tag_invalid":
        found = f"got {brief(value.get(context['discriminator'].strip(chr(39))))}"
    if kind == "union_tag_not_found":
        return "the key 'kind' is missing", "one of its kinds; python -m mer.tune --keys lists them"
    if kind == "missing":
        found = "is missing"
    return found, allowed_words(fault)
