"""Define parameters with ranges and conditions, drawn through `suggest_*` calls like Optuna's.

Optuna's distributions are used as they are, without a translation: integer bounds stay inclusive and steps are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Protocol, Self

from pydantic import Field, model_validator

from mer.config import Frozen
from mer.errors import brief
from mer.study.space.choices import Scalar, decode, encode, frozen, place_of

_MOST_STEPS = 10**9  # of a range; more are as good as none
_LONGEST = 1000  # characters of one choice as JSON text


class Suggests(Protocol):
    """The part of `optuna.Trial` that a space needs."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int: ...
    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...


class _Param(Frozen):
    when: dict[str, Any] = Field({}, description="drawn only when every named key has the value, or one of the values")

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """True when all conditions hold in `values` (dotted key -> value)."""
        return all(
            values.get(key) in wanted if isinstance(wanted, list) else values.get(key) == wanted
            for key, wanted in self.when.items()
        )


class FloatParam(_Param):
    """`{float: [low, high], log: true}` or with `step`."""

    range: tuple[float, float] = Field(alias="float")
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self.range[0], self.range[1], self.log, self.step)
        return self

    def suggest(self, trial: Suggests, name: str) -> float:
        return trial.suggest_float(name, *self.range, log=self.log, step=self.step)

    def contains(self, value: Any) -> bool:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and _on_range(value, *self.range, self.step)
        )

    def extremes(self) -> list[Any]:
        return list(self.range)

    @property
    def size(self) -> int | None:
        """How many values there are; None for a continuous range."""
        return None if self.step is None else round((self.range[1] - self.range[0]) / self.step) + 1

    def values(self) -> Iterable[Any]:
        """Yield all values of a range with a step."""
        assert self.step is not None and self.size is not None
        low, step = Decimal(str(self.range[0])), Decimal(str(self.step))
        return (float(low + index * step) for index in range(self.size))

    def signature(self) -> list[Any]:
        return ["float", *self.range, self.log, self.step, self.when]


class IntParam(_Param):
    """`{int: [low, high]}`; both ends are included."""

    range: tuple[int, int] = Field(alias="int")
    log: bool = False
    step: Annotated[int, Field(gt=0)] = 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self.range[0], self.range[1], self.log, self.step if self.step != 1 else None)
        return self

    def suggest(self, trial: Suggests, name: str) -> int:
        return trial.suggest_int(name, *self.range, log=self.log, step=self.step)

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and _on_range(value, *self.range, self.step)

    def extremes(self) -> list[Any]:
        return list(self.range)

    @property
    def size(self) -> int:
        return len(self.values())

    def values(self) -> Sequence[Any]:
        return range(self.range[0], self.range[1] + 1, self.step)

    def signature(self) -> list[Any]:
        return ["int", *self.range, self.log, self.step, self.when]


class ChoiceParam(_Param):
    """`{choice: [...]}`; items may be lists, e.g. several layers."""

    choices: list[Any] = Field(alias="choice", min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for choice in self.choices:
            if not _is_plain(choice):
                raise ValueError(
                    f"a choice must be text, a number, true, false, null or a list of these, got {brief(choice)}"
                )
            if isinstance(choice, str | list) and len(str(encode(choice))) > _LONGEST:
                raise ValueError(f"a choice has at most {_LONGEST} characters, got {brief(choice)}")
        if len({frozen(choice) for choice in self.choices}) < len(self.choices):
            found = f"{brief(self.choices)}{boolean_hint(self.choices)}"
            raise ValueError(f"choices must differ from one another, got {found}")
        return self

    @cached_property
    def _encoded(self) -> list[Scalar]:
        return [encode(choice) for choice in self.choices]

    @cached_property
    def _places(self) -> frozenset[Any]:
        return frozenset(map(place_of, self.choices))

    def suggest(self, trial: Suggests, name: str) -> Any:
        return decode(trial.suggest_categorical(name, self._encoded))

    def contains(self, value: Any) -> bool:
        return _is_plain(value) and place_of(value) in self._places

    def extremes(self) -> list[Any]:
        return list(self.choices)

    @property
    def size(self) -> int:
        return len(self.choices)

    def values(self) -> Sequence[Any]:
        return self.choices

    def signature(self) -> list[Any]:
        return ["choice", self.choices, self.when]


Param = FloatParam | IntParam | ChoiceParam
PARAM_KINDS: dict[str, type[FloatParam] | type[IntParam] | type[ChoiceParam]] = {
    "float": FloatParam,
    "int": IntParam,
    "choice": ChoiceParam,
}


def _check_range(low: float, high: float, log: bool, step: float | None) -> None:
    if low >= high:
        raise ValueError(f"the range is inverted or empty: low < high must hold, got [{low:g}, {high:g}]")
    if not math.isfinite(high - low):
        raise ValueError(f"the range is too wide: high - low must be a finite number, got [{low:g}, {high:g}]")
    if log and low <= 0:
        raise ValueError(f"log: true needs low > 0, got {low:g}")
    if log and step is not None:
        raise ValueError("log and step cannot go together: drop one")
    if step is not None and (high - low) / step > _MOST_STEPS:
        raise ValueError(
            f"step {step:g} is too small: from {low:g} to {high:g} it must be at least {(high - low) / _MOST_STEPS:g}"
        )
    if step is not None and not _on_range(high, low, high, step):
        count = (Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step))
        last = Decimal(str(low)) + count * Decimal(str(step))
        raise ValueError(
            f"step {step:g} does not lead from {low:g} to {high:g}: "
            + (f"the last value is {last:g}, write it as the upper end" if count else "it is wider than the range")
        )


def _on_range(value: float, low: float, high: float, step: float | None) -> bool:
    """True when `value` lies in [low, high] and, with a step, a whole number of steps above `low`."""
    if not low <= value <= high:
        return False
    return step is None or abs((value - low) / step - round((value - low) / step)) < 1e-8


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool)


def boolean_hint(value: Any) -> str:
    """Return a hint where a value is boolean: the user may have written off, no, on or yes as words."""
    booleans = isinstance(value, bool) or (isinstance(value, list) and any(isinstance(item, bool) for item in value))
    return " (YAML reads no, off, yes and on as false and true: put words in quotes)" if booleans else ""
