"""Steps, epochs, and what picks the best of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SerializerFunctionWrapHandler, model_serializer

from mer.config.base import Frozen


class OptimConfig(Frozen):
    """AdamW; the schedule counts steps, not epochs."""

    head_lr: PositiveFloat = 1e-3
    encoder_lr: PositiveFloat | None = Field(
        None, description="of a tuned encoder; null: 5e-4 with mode lora, 2e-5 with mode full"
    )
    micro_batch: PositiveInt | None = Field(
        None, description="rows a tuned encoder reads at once, to save memory; null: batch_size. Changes no gradient"
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(0.01, description="not applied to biases and norms")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        64, description="utterances per step; about as many where a dialogue encoder wants whole dialogues"
    )
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.06, description="share of all steps")
    clip_norm: PositiveFloat = Field(1.0, description="largest gradient norm")
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None, description="moving average of the weights, which is scored and kept, e.g. 0.999; null: the weights are"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is off is not mentioned, so that a configuration without it keeps its hash."""
        absent = {"encoder_lr", "micro_batch", "ema_decay"}
        return {name: value for name, value in dump(self).items() if name not in absent or value is not None}


class TrainingConfig(Frozen):
    epochs: PositiveInt = Field(20, description="set by budget.epochs in a study")
    patience: Annotated[int, Field(ge=0)] = Field(0, description="epochs without a dev gain before stopping; 0 = off")
    prediction: Literal["head", "nearest_center", "nearest_anchor"] = Field(
        "head", description="class scores | nearest class centre of h | EACL's nearest anchor"
    )
    metric: str = Field("dev_weighted_f1", description="dev metric that picks the best epoch")
    mode: Literal["max", "min"] = "max"
