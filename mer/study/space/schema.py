"""Describe search spaces, generated from the models: as JSON Schema for editors, as `--keys` for people.

    python -m mer.study.schema > search_spaces/schema.json

writes the first again after a model has changed.
"""

from __future__ import annotations

import json
import os
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape

from mer.config import MAPPINGS, TrialConfig
from mer.study.space.keys import RESERVED, known_keys, models_in
from mer.study.space.params import PARAM_KINDS
from mer.study.space.spec import StudySpec
from trainables import TRAINABLES

SCHEMA = Path("search_spaces/schema.json")


def editor_line(file: Path | None) -> list[str]:
    """Return the line by which an editor finds the schema of a search space; [] where there is none to be found.

    Args: file: the search space; None: it has no place yet.
    """
    if file is None or not SCHEMA.is_file():
        return []
    return [f"# yaml-language-server: $schema={os.path.relpath(SCHEMA, file.parent)}"]


def search_space_schema() -> dict[str, Any]:
    """Build the JSON Schema of a search-space file. It lists every key under params, so that editors complete them."""
    schema = StudySpec.model_json_schema(by_alias=True)
    properties, definitions = schema["properties"], schema["$defs"]
    for kind, model in PARAM_KINDS.items():
        definitions[f"{kind}_param"] = model.model_json_schema(by_alias=True)
    parameter = {"oneOf": [{"$ref": f"#/$defs/{kind}_param"} for kind in PARAM_KINDS]}
    searchable = sorted(known_keys() - set(RESERVED))
    properties["trainable"]["enum"] = list(TRAINABLES)
    properties["params"] = {
        "type": "object",
        "properties": dict.fromkeys(searchable, parameter),
        "additionalProperties": False,
    }
    properties["points"] = {"type": "array", "items": {"type": "object", "propertyNames": {"enum": searchable}}}
    properties["fixed"] = {"type": "object", "description": "config keys, nested or dotted"}
    objective = definitions["StudyObjective"]
    properties["objective"] = {"oneOf": [objective, {"type": "array", "items": objective}]}
    schema["title"] = "mer search space"
    return schema


def schema_text() -> str:
    """Return the schema as the text of search_spaces/schema.json."""
    return json.dumps(search_space_schema(), indent=1, sort_keys=True) + "\n"


def print_keys(console: Console) -> None:
    """Print every configuration key with its default and its meaning."""
    for key, field in fields(TrialConfig, ""):
        default = (
            "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True), default=str)
        )
        meaning = f"set by {RESERVED[key]}" if key in RESERVED else field.description or ""
        details = "; ".join(part for part in (allowed_values(field), meaning) if part)
        console.print(f"[bold]{key}[/bold] = {escape(default)}", highlight=False, markup=True)
        if details:
            console.print(f"    {details}", highlight=False, markup=False)


def fields(model: type[BaseModel], prefix: str) -> list[tuple[str, FieldInfo]]:
    """List (dotted key, field) below `prefix`; a key that belongs to one kind of a union names it."""
    rows: list[tuple[str, FieldInfo]] = []
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation) if f"{prefix}{name}" not in MAPPINGS else []
        if len(inner) > 1:
            rows += [
                (f"{key}  ({sub.model_fields['kind'].default})", info)
                for sub in inner
                for key, info in fields(sub, f"{prefix}{name}.")
                if not key.endswith(".kind")
            ]
        elif inner:
            rows += fields(inner[0], f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", field))
    return rows


def allowed_values(field: FieldInfo) -> str:
    """Word the values that a field accepts: the choices, or type and bounds; "" for a form of its own."""
    if any(isinstance(one, BeforeValidator) for one in field.metadata):  # what is written is not what is kept
        return ""
    return _values(field.annotation, field.metadata)


_TYPES = {int: "whole number", float: "number", str: "text", bool: "true | false", type(None): "null"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _values(annotation: Any, metadata: Sequence[Any]) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        inner = [part for one in parts[1:] for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
        return _values(parts[0], [*inner, *metadata])
    if origin is typing.Literal:
        return " | ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        words = [_values(part, [] if part is type(None) else metadata) for part in parts]
        return " or ".join(dict.fromkeys(word for word in words if word))
    if origin in (tuple, list):
        item = _values(parts[0], []) if parts else ""
        return f"list of {item}" if item else "list"
    found = [f"{sign} {getattr(m, name):g}" for m in metadata for name, sign in _BOUNDS.items() if _bound(m, name)]
    return " ".join([_TYPES.get(annotation, ""), *found]).strip()


def _bound(constraint: Any, name: str) -> bool:
    return isinstance(getattr(constraint, name, None), int | float)
