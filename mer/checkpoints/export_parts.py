"""The JSON files of an export as models: what a reader of an export stands on, of the right types.

They may hold more, which versions of mer add; nothing is turned into another type.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mer.config import Modality, TargetKind, Task

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class Labels(_Part):
    """labels.json: the classes, numbers or labels in the order of the model's outputs."""

    task: Task
    kind: TargetKind = "class"
    class_names: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=10_000)]
    threshold: float | None = None
    thresholds: dict[str, float] | None = None
    temperature: float | None = None
    range: list[float] | None = None

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("two of them have one name")
        return self


class Card(_Part):
    """The card in the header of the weights."""

    class_names: list[str]


class _Backbone(_Part):
    name: str
    revision: str | None = None
    weights_sha256: str | None
    tokenizer_sha256: str | None = None


class _Input(_Part):
    max_tokens: int | None = None


class _Reads(_Part):
    modality: Modality
    backbone: _Backbone
    input: _Input
    layers: Annotated[list[int], Field(min_length=1, max_length=1001)]
    hidden_states: Annotated[int, Field(ge=1, le=1001)]
    width: Annotated[int, Field(ge=1, le=2**20)]

    @model_validator(mode="after")
    def _are_there(self) -> Self:
        if not all(0 <= layer < self.hidden_states for layer in self.layers):
            raise ValueError(f"layers must be hidden states, 0 to {self.hidden_states - 1}")
        return self


class OneReads(_Reads):
    """preprocessor.json of a model of one modality: how that becomes features."""

    bundled: bool = False


class SeveralRead(_Part):
    """preprocessor.json of a model of several modalities."""

    modalities: dict[Modality, _Reads]
    bundled: bool = False


class _Threshold(_Part):
    metric: str | None = None


class _Temperature(_Part):
    value: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    bins: int


class Provenance(_Part):
    """provenance.json: what of it decides anything."""

    format: int
    features: dict[str, str] = {}
    threshold: _Threshold | None = None
    temperature: _Temperature | None = None
    merged: bool | None = None


def reads_model(said: dict[str, Any]) -> type[OneReads] | type[SeveralRead]:
    """Choose the model of a preprocessor.json."""
    return SeveralRead if "modalities" in said else OneReads
