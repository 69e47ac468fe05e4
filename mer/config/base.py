"""The base class and the shared types of every part of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Task = Literal["emotion", "sentiment"]
Speaker = Literal["none", "name", "name_says", "upper", "local"]


class Frozen(BaseModel):
    """Base of every configuration: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


RECORDED = {"recorded": True}  # validation context of a configuration that a trial was trained with


def is_recorded(info: ValidationInfo) -> bool:
    """Return whether a configuration is read back from a trial or an export, where a dead setting is no fault."""
    return bool(info.context and info.context.get("recorded"))
