"""What a line of `journal.log` may say: each of Optuna's operations with the types that Optuna takes for granted.

Our own attributes are looked at too, since the ledger, exports and the leaderboard read them without asking.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from optuna.distributions import CategoricalDistribution, json_to_distribution
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mer.study.space.choices import decode
from mer.validation_words import allowed_words

_MOST_LEVELS = 64  # of nesting in one line; ours have six


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True)


class _Operation(_Checked):
    worker_id: str


def _is_date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


@lru_cache(maxsize=1000)  # the same few in every trial
def _is_distribution(text: str) -> str:
    try:
        distribution = json_to_distribution(text)
        for choice in distribution.choices if isinstance(distribution, CategoricalDistribution) else ():
            decode(choice)
    except (LookupError, TypeError, AttributeError, RecursionError, ArithmeticError) as fault:
        raise ValueError("no distribution") from fault
    return text


Id = Annotated[int, Field(ge=0, le=10**9)]
Date = Annotated[str, AfterValidator(_is_date)]
Distribution = Annotated[str, AfterValidator(_is_distribution)]
Scalar = str | int | float | bool | None


class _Ending(_Checked):
    outcome: str
    reason: str = ""
    best: dict[str, float] | None = None
    last: Annotated[tuple[Id, float], Field(strict=False)] | None = None


class _Identity(_Checked):
    objective: Annotated[list[dict[str, Any]], Field(min_length=1)]


class _StudyAttributes(_Checked):
    identity: _Identity | None = None
    generation: str | None = None
    features: dict[str, dict[str, str]] | None = None


class _TrialAttributes(_Checked):
    ending: _Ending | None = None


class _SystemAttributes(_Checked):
    fixed_params: dict[str, Scalar] | None = None


class _StudyMade(_Operation):
    op_code: Literal[0]
    study_name: str
    directions: list[Annotated[int, Field(ge=0, le=2)]]


class _StudyAttribute(_Operation):
    op_code: Literal[2]
    study_id: Id
    user_attr: _StudyAttributes


class _StudySystemAttribute(_Operation):
    op_code: Literal[3]
    study_id: Id
    system_attr: dict[str, Any]


class _TrialMade(_Operation):
    op_code: Literal[4]
    study_id: Id
    datetime_start: Date | None
    datetime_complete: Date | None = None
    state: Annotated[int, Field(ge=0, le=4)] = 0
    values: list[float] | None = None
    value: float | None = None
    distributions: dict[str, Distribution] = {}
    params: dict[str, float] = {}
    user_attrs: _TrialAttributes = _TrialAttributes()
    system_attrs: _SystemAttributes = _SystemAttributes()
    intermediate_values: dict[str, float] = {}


class _Parameter(_Operation):
    op_code: Literal[5]
    trial_id: Id
    param_name: str
    param_value_internal: float
    distribution: Distribution


class _State(_Operation):
    op_code: Literal[6]
    trial_id: Id
    state: Annotated[int, Field(ge=0, le=4)]
    values: list[float] | None
    datetime_start: Date | None = None
    datetime_complete: Date | None = None


class _Score(_Operation):
    op_code: Literal[7]
    trial_id: Id
    step: Id
    intermediate_value: float


class _TrialAttribute(_Operation):
    op_code: Literal[8]
    trial_id: Id
    user_attr: _TrialAttributes


class _TrialSystemAttribute(_Operation):
    op_code: Literal[9]
    trial_id: Id
    system_attr: _SystemAttributes


_KNOWN: dict[int, type[_Operation]] = {
    0: _StudyMade, 2: _StudyAttribute, 3: _StudySystemAttribute, 4: _TrialMade, 5: _Parameter, 6: _State, 7: _Score,
    8: _TrialAttribute, 9: _TrialSystemAttribute,
}  # fmt: skip


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the operation that a line says; None where it is damaged: no JSON object with an operation's number."""
    try:
        operation = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_one = isinstance(operation, dict) and isinstance(operation.get("op_code"), int)
    return operation if is_one and not isinstance(operation["op_code"], bool) else None


def unfit(operation: dict[str, Any], line: bytes) -> str:
    """Say why Optuna, or we, could not work with an operation; "" when nothing is wrong with it."""
    if line.count(b"[") + line.count(b"{") > _MOST_LEVELS and _levels(operation) > _MOST_LEVELS:
        return f"its values are nested more than {_MOST_LEVELS} levels deep"
    model = _KNOWN.get(operation["op_code"])
    if model is None:
        return "" if operation["op_code"] in (1, 10) else f"this version knows no operation {operation['op_code']}"
    try:
        model.model_validate(operation)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            return f"{key} is missing"
        return f"{key} is not as it should be" + (f" ({words})" if (words := allowed_words(fault)) else "")
    return ""


def _levels(value: Any) -> int:
    """Count the levels of nesting, one level after another: recursion would end at a thousand."""
    level, inside = 0, [value]
    while inside:
        level += 1
        inside = [
            part
            for one in inside
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return level
