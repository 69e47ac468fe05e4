"""Optimiser, schedule, epochs, and the choice of the best epoch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, SerializerFunctionWrapHandler, model_serializer

from mer.config.base import Count, CountOrNone, Frozen


class OptimConfig(Frozen):
    """AdamW and its learning-rate schedule, which counts steps, not epochs."""

    head_lr: PositiveFloat = Field(1e-3, description="learning rate of the head, the fusion and the losses' weights")
    encoder_lr: PositiveFloat | None = Field(
        None, description="learning rate of tuned encoders; null: 5e-4 with mode lora, 2e-5 with mode full"
    )
    micro_batch: Count | None = Field(
        None,
        description="rows that a tuned encoder reads at once; fewer save memory, the gradient stays. null: batch_size",
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(
        0.01, description="AdamW's weight decay; biases and norms have none"
    )
    batch_size: Annotated[int, Field(ge=2, le=10**6)] = Field(
        64, description="utterances per step; with a dialogue encoder whole dialogues with about as many"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="learning rate after the warm-up: cosine or linear down to 0, or constant"
    )
    warmup_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.06, description="share of all steps in which the learning rate rises"
    )
    clip_norm: PositiveFloat = Field(1.0, description="gradients with a larger norm are scaled down to it")
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None, description="score and keep a moving average of the weights with this decay, e.g. 0.999; null: no average"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out settings that are off, so that a configuration without them keeps its hash."""
        absent = {"encoder_lr", "micro_batch", "ema_decay"}
        return {name: value for name, value in dump(self).items() if name not in absent or value is not None}


class TrainingConfig(Frozen):
    epochs: Count = Field(20, description="passes over the training split; budget.epochs in a study")
    patience: CountOrNone = Field(0, description="stop after so many epochs without a better dev score; 0: never")
    prediction: Literal["head", "nearest_center", "nearest_anchor"] = Field(
        "head", description="predicted class: highest score of the head | nearest class mean of h | nearest EACL anchor"
    )
    metric: str = Field(
        "dev_weighted_f1",
        description="dev metric that chooses the best epoch; default with data.task regression dev_ccc, multilabel "
        "dev_macro_f1",
    )
    mode: Literal["max", "min"] = Field("max", description="whether a larger or a smaller metric is better")
