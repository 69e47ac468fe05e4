"""The base class and the shared types of every part of the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from mer.config.strict import refuse_other_types

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
# No setting that makes sense is beyond these; what is would end in an allocation that no machine can make.
Count = Annotated[int, Field(ge=1, le=10**6)]
CountOrNone = Annotated[int, Field(ge=0, le=10**6)]  # 0: none
Width = Annotated[int, Field(ge=1, le=2**14)]
Depth = Annotated[int, Field(ge=1, le=100)]
Task = Literal["emotion", "sentiment"]
TargetKind = Literal["class", "regression", "multilabel"]
Speaker = Literal["none", "name", "name_says", "upper", "local"]


class Frozen(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no NaN or infinity, no `true` or "5" for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _types_as_they_are(cls, data: Any) -> Any:
        refuse_other_types(cls, data)
        return data


RECORDED = {"recorded": True}  # validation context of a configuration that a trial was trained with


def is_recorded(info: ValidationInfo) -> bool:
    """Return whether a configuration is read back from a trial or an export, where a dead setting is no fault."""
    return bool(info.context and info.context.get("recorded"))
