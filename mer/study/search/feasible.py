"""Draw parameters that keep a study's constraints, before Optuna stores any of them.

A draw that breaks a constraint is thrown away and drawn again from another seed, a function of (study seed, trial
number, parameter, attempt): with one worker a resumed study draws what an uninterrupted one does. The first attempt is
the draw of a study without constraints. Attempts after the twentieth are uniform; for gp, whose draws are dear, and
qmc, which has one place for each trial, those after the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from mer.errors import MerError
from mer.study.space.spec import StudySpec

_MODELLED = {"tpe": 20, "cmaes": 20, "random": 20}  # attempts with the sampler itself
_ATTEMPTS = 20_000

Samplers = Callable[[int, str], BaseSampler]  # attempt, parameter ("" for those drawn together) -> sampler


def feasible_params(
    spec: StudySpec, study: optuna.Study, trial: FrozenTrial, sampler: Samplers, uniform: Callable[[int], BaseSampler]
) -> dict[str, Any]:
    """Draw a trial's parameters as Optuna stores them, so that they keep every constraint.

    Args:
        trial: as it is stored; what it has already, and what was fixed for it, is kept.
        sampler: builds the study's own sampler for an attempt and a parameter.
        uniform: builds a random sampler for an attempt.
    Raises: MerError when none of 20 000 draws does.
    """
    for attempt in range(_ATTEMPTS):
        if attempt < _MODELLED.get(spec.sampler.kind, 1):
            draft = _Draft(study, trial, partial(sampler, attempt))
        else:
            one = uniform(attempt)
            draft = _Draft(study, trial, lambda parameter: one)  # noqa: B023 - it is used before the next attempt
        if spec.keeps_constraints(spec.space.suggest(draft)):
            return draft.taken
    raise MerError(
        f"{spec.study}: constraints",
        f"none of {_ATTEMPTS} draws for trial {trial.number} keeps them",
        then="give the study another name and wider ranges, or fewer constraints",
    )


class _Draft:
    """Suggests like an Optuna trial, and stores nothing."""

    def __init__(self, study: optuna.Study, trial: FrozenTrial, sampler: Callable[[str], BaseSampler]) -> None:
        self._study, self._trial, self._sampler = study, trial, sampler
        self._given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        together = sampler("")
        self._space = together.infer_relative_search_space(study, trial)
        self._relative = together.sample_relative(study, trial, self._space)
        self.taken: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._given:
            self.taken[name] = self._given[name]
        elif distribution.single():
            single = distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low
            self.taken[name] = single
        elif name in self._relative and self._space.get(name) == distribution:
            self.taken[name] = self._relative[name]
        else:
            self.taken[name] = self._sampler(name).sample_independent(self._study, self._trial, name, distribution)
        return self.taken[name]
