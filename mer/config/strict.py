"""Numbers are numbers: what pydantic would turn into one, or into true, is refused instead.

`trials: true` would be one trial, `epochs: "5"` five epochs, `log: 0` false. A whole number is fine where a fraction is
allowed, and `2.0` where a whole number is.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails

_UNIONS = (typing.Union, types.UnionType)


def refuse_other_types(model: type[BaseModel], data: Any) -> None:
    """Look at the fields of a model as they were given, by name or alias.

    Raises: ValidationError naming every field that would have to be turned into another type.
    """
    if not isinstance(data, dict):
        return
    faults: list[InitErrorDetails] = []
    for name, kinds in _kinds(model).items():
        value = data.get(name)
        listed = value if isinstance(value, list | tuple) else None
        for index, item in enumerate([value] if listed is None else listed):
            place = (name,) if listed is None else (name, index)
            if expected := _other_type(item, kinds):
                faults.append(InitErrorDetails(type=expected, loc=place, input=item))
                break
    if faults:
        raise ValidationError.from_exception_data(model.__name__, faults)


def _other_type(item: Any, kinds: frozenset[Any]) -> str:
    """Return pydantic's name of the fault where `item` would be turned into one of `kinds`; "" where it is as it is."""
    number = "float_type" if float in kinds else "int_type"
    numbers = kinds & {int, float}
    if isinstance(item, bool):
        return "" if bool in kinds else number
    if isinstance(item, int | float):
        return "" if numbers else "bool_type"
    if isinstance(item, str) and str not in kinds and (not numbers or _is_number(item)):
        return number if numbers else "bool_type"
    return ""


@cache
def _kinds(model: type[BaseModel]) -> dict[str, frozenset[Any]]:
    """Return the plain types that a field holds, by itself or in lists, for fields that hold numbers or true and false.

    Fields that a validator of their own reads first are left out.
    """
    found: dict[str, frozenset[Any]] = {}
    own = {name for one in model.__pydantic_decorators__.field_validators.values() for name in one.info.fields}
    for name, field in model.model_fields.items():
        kinds = frozenset(_leaves(field.annotation))
        if any(isinstance(part, BeforeValidator) for part in field.metadata) or Any in kinds or name in own:
            continue
        if kinds & {int, float, bool}:
            found[field.alias or name] = kinds
    return found


def _leaves(annotation: Any) -> set[Any]:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return {Any} if any(isinstance(part, BeforeValidator) for part in parts[1:]) else _leaves(parts[0])
    if origin in (*_UNIONS, tuple, list):
        return {leaf for part in parts for leaf in _leaves(part)}
    return {annotation} & {int, float, bool, str, Any}  # pydantic turns nothing into a model, a literal, a mapping


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
