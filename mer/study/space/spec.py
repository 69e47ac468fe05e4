"""Hold a study as its YAML file says it: StudySpec and its parts, frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SkipValidation,
    ValidationError,
    field_validator,
    model_validator,
)

from mer.config import PATHS, DataConfig, Frozen, TrialConfig, flatten, nest
from mer.config.metrics import PATTERN, better
from mer.errors import brief
from mer.features.failures import as_share
from mer.files import sha256_json
from mer.places import expanded
from mer.study.space.constraints import Constraint, NotAConstraint
from mer.study.space.params import Param
from mer.study.space.search_space import SearchSpace

MOST_IN_A_PACK = 512
_MOST_POINTS = 1000
_MOST_CONSTRAINTS = 50

Trials = Annotated[int, Field(ge=1, le=10**6)]
Epochs = Annotated[int, Field(ge=1, le=10**5)]
Amount = Annotated[float, Field(gt=0, le=10**5)]
Money = Annotated[float, Field(gt=0, le=10**12)]


class StudyObjective(Frozen):
    """The dev metric that the search improves, and its better direction."""

    metric: str = Field(pattern=PATTERN)
    mode: Literal["max", "min"] = "max"

    @model_validator(mode="after")
    def _direction(self) -> Self:
        wanted = better(self.metric)
        if self.mode != wanted:
            raise ValueError(
                f"{self.metric} is better when it is {'smaller' if wanted == 'min' else 'larger'}: mode {wanted}"
            )
        return self


class Budget(Frozen):
    """Limits of a study."""

    trials: Trials = Field(20, description="trials of the study; resumable with more")
    epochs: Epochs = Field(20, description="most epochs of a trial")
    hours: Amount | None = Field(None, description="wall time of one run of the command; resumable afterwards")
    total_epochs: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None, description="epochs of all trials together, over every run of the command; resumable with a larger one"
    )
    cost: Money | None = Field(
        None, description="what the study may cost, over every run of the command, in the money of cost_per_hour"
    )
    cost_per_hour: Money | None = Field(None, description="what an hour of the machine or cluster costs")

    @model_validator(mode="after")
    def _cost_of_an_hour(self) -> Self:
        if self.cost is not None and self.cost_per_hour is None:
            raise ValueError("cost needs cost_per_hour beside it: what an hour of the machine or cluster costs")
        return self


class Sampler(Frozen):
    """The Optuna sampler that proposes trials."""

    kind: Literal["tpe", "gp", "cmaes", "random", "grid", "qmc"] = Field(
        "tpe", description="how trials are proposed; tpe, gp and cmaes learn from those that ended"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="seed of the proposals, not of the training")
    startup_trials: Trials = Field(10, description="random trials before tpe, gp and cmaes model the results")


class Scheduler(Frozen):
    """The rule that stops trials early."""

    kind: Literal["asha", "hyperband", "median", "none"] = Field(
        "asha", description="how trials that fall behind are stopped early; none: never"
    )
    grace_epochs: Epochs = Field(3, description="no trial is stopped before this epoch")
    reduction: Annotated[int, Field(ge=2, le=1000)] = Field(3, description="one in `reduction` passes each rung")


class Resources(Frozen):
    """Resources of one worker, which trains one trial or a pack of them; fractions are allowed."""

    cpu: Amount = Field(1.0, description="CPUs of a worker")
    gpu: Annotated[float, Field(ge=0, le=10**5)] = Field(0.0, description="GPUs of a worker; 0.25: four share one")
    workers: Annotated[int, Field(ge=1, le=10**5)] | None = Field(
        None, description="worker processes at once; default: as many as fit"
    )
    pack: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_IN_A_PACK)] = Field(
        "auto",
        description="trials of one shape that a worker trains as one program; auto: by shape, memory and trials left. "
        "A trial's numbers do not depend on it, but for the rounding of the last digits",
    )

    @field_validator("pack", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        if value != "auto" and (type(value) is not int or not 1 <= value <= MOST_IN_A_PACK):
            raise ValueError(f"got {brief(value)}: write auto, or a whole number from 1 to {MOST_IN_A_PACK}")
        return value

    @field_validator("gpu")
    @classmethod
    def _one_gpu_at_most(cls, value: float) -> float:
        if value > 1:
            raise ValueError(
                f"got {value:g}: a trial trains on one GPU, and would leave the others idle. Set gpu: 1 and let the "
                "GPUs train several trials at once; for a larger encoder: optim.micro_batch, encoders.*.recompute"
            )
        return value

    @property
    def threads(self) -> int:
        """Threads of torch in one worker. They decide the last digits of a trial's numbers."""
        return max(1, int(self.cpu))

    @property
    def device(self) -> str:
        """Device that trials train on."""
        return "cuda" if self.gpu else "cpu"


class Provenance(Frozen):
    """What of the code a study keeps beside its git commit."""

    diff: bool = Field(True, description="keep uncommitted changes (code.diff), without what looks like a secret")


class StudySpec(Frozen):
    """One study. `fixed`, `params` and `points` have dotted TrialConfig keys."""

    study: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="name of the study, of its folder and in MLflow"
    )
    description: str = Field("", max_length=5000, description="a sentence for whoever reads the results")
    trainable: str = Field(description="what kind of model a trial trains")
    objective: tuple[StudyObjective, ...] = Field(
        (StudyObjective(metric="dev_weighted_f1"),),
        min_length=1,
        description="a metric of dev and its better direction; several: the search keeps the Pareto front",
    )
    budget: Budget = Budget()
    sampler: Sampler = Sampler()
    scheduler: Scheduler = Scheduler()
    resources: Resources = Resources()
    keep_weights: Trials | None = Field(
        None,
        description="weights of the best so many finished trials are kept (and of the Pareto front); the rest keep "
        "their numbers, tables and predictions. Default: all are kept, equal ones stored once",
    )
    max_failed: Annotated[float, BeforeValidator(as_share, json_schema_input_type=float | str)] | None = Field(
        None,
        description="share of a split's clips that may be unreadable, such as 5%; above it, extraction ends with the "
        "reasons. Default: any, and they are listed",
    )
    depends_on: dict[str, str | None] = Field(
        {}, description="exports this study reads (a folder, a list, or folder: search space that makes it)"
    )
    provenance: Provenance = Provenance()
    fixed: dict[str, Any] = Field({}, description="config keys with one value, nested or dotted")
    params: SkipValidation[Mapping[str, Param]] = Field({}, description="config keys that are searched, with ranges")
    points: tuple[dict[str, Any], ...] = Field(
        (), max_length=_MOST_POINTS, description="settings that are tried first, once each; the first is trial 0"
    )
    constraints: tuple[str, ...] = Field(
        (),
        max_length=_MOST_CONSTRAINTS,
        description="bounds between keys that every trial keeps, e.g. loss.contrastive.support_size <= "
        "loss.contrastive.pool_size; compare with < <= > >= == != and in [...], calculate with + - * /, join with and, "
        "or, not. A trial that does not have a key that is named keeps the constraint",
    )

    @field_validator("depends_on", mode="before")
    @classmethod
    def _by_folder(cls, value: Any) -> Any:
        """Accept one folder or a list of folders; then no search space is known that makes them."""
        named = [value] if isinstance(value, str) else value
        if not isinstance(named, list):
            return named
        if wrong := [name for name in named if not isinstance(name, str)]:
            raise ValueError(f"got {brief(wrong[0])}: each must be the folder of an export")
        return dict.fromkeys(named)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if len(self.objective) > 1 and self.scheduler.kind != "none":
            raise ValueError("scheduler: several objectives have no single score to stop by: kind must be none")
        if len({o.metric for o in self.objective}) != len(self.objective):
            raise ValueError("objective: each metric once")
        if self.scheduler.kind != "none" and self.scheduler.grace_epochs > self.budget.epochs:
            raise ValueError(
                f"scheduler: grace_epochs {self.scheduler.grace_epochs} is above budget.epochs {self.budget.epochs}"
            )
        return self

    @cached_property
    def space(self) -> SearchSpace:
        """The parameters, with the fixed values and defaults that conditions may name."""
        return SearchSpace(
            self.params, {**default_values(), **self.fixed}, self.keeps_constraints if self.constraints else None
        )

    @cached_property
    def data(self) -> DataConfig:
        """The data that all trials read: their keys cannot be searched."""
        said = {key: value for key, value in self.fixed.items() if key.startswith("data.")}
        return DataConfig.model_validate(nest(said).get("data", {}))

    @cached_property
    def _constraints(self) -> tuple[Constraint, ...]:
        return tuple(map(Constraint, self.constraints))

    def keeps_constraints(self, params: Mapping[str, Any]) -> bool:
        """Tell whether a trial with these drawn parameters keeps every constraint."""
        return self.broken_constraint(params) is None

    def broken_constraint(self, params: Mapping[str, Any]) -> Constraint | None:
        """Return the first constraint that a trial with these drawn parameters breaks."""
        values: Mapping[str, Any] = {**self.space.base, **params}
        if any(key not in values for constraint in self._constraints for key in constraint.keys):
            with contextlib.suppress(ValidationError):  # defaults of the kinds that were chosen
                values = {**flatten(self.trial_config(params).model_dump()), **values}
        return next((constraint for constraint in self._constraints if not _holds(constraint, values)), None)

    def trial_config(self, params: Mapping[str, Any]) -> TrialConfig:
        """Build the configuration of one trial.

        Variables of the environment in paths are replaced here: a trial's record says where it read.

        Args: params: what was drawn, by dotted key.
        Raises: pydantic.ValidationError when the parts do not fit one another; MerError for a variable that is not set.
        """
        by_study = {
            "training.epochs": self.budget.epochs,
            "training.metric": self.objective[0].metric,
            "training.mode": self.objective[0].mode,
        }
        given = {**self.fixed, **params, **by_study}
        paths = {key: expanded(path, key) for key in PATHS & given.keys() if isinstance(path := given[key], str)}
        return TrialConfig.model_validate(nest(given | paths))

    def identity(self) -> dict[str, Any]:
        """Return all that may not change between runs of a study, as JSON-able data.

        Budgets but that of a trial's epochs, resources, the data root, points, `keep_weights`, `max_failed` and
        `provenance` may change.
        """
        return {
            "trainable": self.trainable,
            "objective": [objective.model_dump() for objective in self.objective],
            "epochs": self.budget.epochs,
            "sampler": self.sampler.model_dump(),
            "scheduler": self.scheduler.model_dump(),
            "fixed": {key: value for key, value in sorted(self.fixed.items()) if key != "data.root"},
            "params": self.space.signature(),
            **({"constraints": list(self.constraints)} if self.constraints else {}),
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `identity`."""
        return sha256_json(self.identity())


def _holds(constraint: Constraint, values: Mapping[str, Any]) -> bool:
    """Tell whether a constraint holds; where it makes no sense for these values, it does not."""
    try:
        return constraint.holds(values)
    except NotAConstraint:
        return False


def default_values() -> dict[str, Any]:
    """Return the defaults of TrialConfig by dotted key, for conditions on keys that a file leaves out."""
    return flatten(TrialConfig().model_dump())
