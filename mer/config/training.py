"""Optimiser, schedule, epochs, and the choice of the best epoch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from mer.config.base import Count, CountOrNone, Frozen


class NoSWA(Frozen):
    kind: Literal["none"] = "none"


class _SWA(Frozen):
    """Stochastic weight averaging, Izmailov et al. 2018: the last epochs walk at a high rate, their mean is kept."""

    start: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.75, description="share of the epochs before the walk; until then the schedule is the usual one"
    )
    rate: PositiveFloat = Field(
        0.5, description="learning rate of the walk, a share of head_lr and encoder_lr; cyclical: where a cycle begins"
    )


class ConstantSWA(_SWA):
    """One rate; the weights of every epoch's end are averaged."""

    kind: Literal["constant"] = "constant"


class CyclicalSWA(_SWA):
    """The rate falls linearly in each cycle; the weights of every cycle's end are averaged."""

    kind: Literal["cyclical"] = "cyclical"
    lowest_rate: PositiveFloat = Field(0.005, description="where a cycle ends, as a share like rate")
    cycle_epochs: Count = Field(1, description="epochs of a cycle")

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.lowest_rate >= self.rate:
            raise ValueError(f"lowest_rate must be below rate ({self.rate:g}), got {self.lowest_rate:g}")
        return self


SWA = Annotated[NoSWA | ConstantSWA | CyclicalSWA, Field(discriminator="kind")]


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
    moment_bits: Literal[32, 8] = Field(
        32, description="bits of AdamW's moments; 8: bitsandbytes, of tuned encoders, a quarter of the memory"
    )
    swa: SWA = Field(NoSWA(), description="stochastic weight averaging: score and keep the mean of the last epochs")

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out settings that are off, so that a configuration without them keeps its hash."""
        absent: dict[str, Any] = {"encoder_lr": None, "micro_batch": None, "ema_decay": None, "moment_bits": 32}
        absent |= {"swa": {"kind": "none"}}
        return {name: value for name, value in dump(self).items() if name not in absent or value != absent[name]}

    @model_validator(mode="after")
    def _averages_once(self) -> Self:
        if self.ema_decay is not None and not isinstance(self.swa, NoSWA):
            raise ValueError(
                f"optim.ema_decay and optim.swa.kind '{self.swa.kind}' both average the weights: set one of them "
                "(optim.ema_decay: null, or optim.swa.kind: none)"
            )
        return self


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
    compile: bool = Field(
        False, description="compile tuned encoders by torch.compile: minutes at the start, faster steps, other rounding"
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is off, so that a configuration without it keeps its hash."""
        return {name: value for name, value in dump(self).items() if name != "compile" or value}
