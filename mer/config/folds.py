"""How the utterances of a corpus are divided into folds (`data.folds`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from mer.config.base import Frozen
from mer.errors import brief, did_you_mean

FoldUnit = Literal["session", "speaker", "dialogue", "row"]
LEAST_FOLDS = 3  # one is test, the next one dev, the rest train
_MOST_FOLDS = 100


class FoldRule(Frozen):
    """Which rows are together in a part, and how many parts there are. Each part is test once and dev once."""

    by: FoldUnit | None = Field(
        None, description="what is never cut; default speaker where all rows have one, else dialogue, else row"
    )
    k: int | None = Field(
        None, ge=LEAST_FOLDS, le=_MOST_FOLDS, description="number of folds; default one for each session or speaker"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="another seed, other folds")
    search_folds: int | None = Field(
        None, ge=1, le=_MOST_FOLDS, description="a study trains the first so many folds alone; evaluation trains all"
    )
    mixed_speakers: bool = Field(False, description="true: let a speaker be in train and in test, to see what it costs")

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {name: value for name, value in dump(self).items() if getattr(self, name) != fields[name].default}

    @model_validator(mode="after")
    def _has_a_number(self) -> FoldRule:
        if self.k is None and self.by not in ("session", "speaker"):
            words = f"folds by {self.by}" if self.by else "folds"
            raise ValueError(f"data.folds: {words} need a number: {{{f'by: {self.by}, ' if self.by else ''}k: 5}}")
        return self


def _rule(value: Any) -> Any:
    """Take `session` or `speaker` as one fold for each, a number as so many folds."""
    if isinstance(value, str):
        units = get_args(FoldUnit)
        if value not in units:
            raise ValueError(f"data.folds: got {brief(value)}.{did_you_mean(value, units)} {_FORMS}")
        return {"by": value}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"k": value}
    if value is not None and not isinstance(value, dict | FoldRule):
        raise ValueError(f"data.folds: got {brief(value)}. {_FORMS}")
    if isinstance(value, dict):
        for key in value:
            if key not in FoldRule.model_fields:
                known = list(FoldRule.model_fields)
                raise ValueError(f"data.folds: unknown key {brief(key)}.{did_you_mean(str(key), known)} {_FORMS}")
    return value


_FORMS = (
    "Allowed: session, speaker, a number of folds, or {by: speaker, k: 4, seed: 0, search_folds: 1, "
    "mixed_speakers: false}"
)
Folds = Annotated[FoldRule | None, BeforeValidator(_rule)]
ANY_FOLDS = FoldRule(k=LEAST_FOLDS)  # stands for all rules where they make no difference: every row is read
