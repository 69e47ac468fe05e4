"""Build Optuna samplers whose draws are a function of (study seed, trial number, results of other trials so far).

Optuna keeps no random state in its storage, so a resumed study would draw other numbers. Here every draw starts from a
fresh sampler with a derived seed: the relative draw of a trial from (seed, number), each independent draw from
(seed, number, parameter). A trial whose parameters were half drawn when its driver died gets the same other half.
"""

from __future__ import annotations

import copy
import itertools
import json
import warnings
from collections.abc import Callable, Container
from typing import Any

import optuna
from optuna.trial import TrialState

from mer.study.space.spec import Sampler
from mer.training.seeding import derive_seed


def build_sampler(
    spec: Sampler, objectives: int, number: int, parameter: str = "", attempt: int = 0
) -> optuna.samplers.BaseSampler:
    """Build the sampler for one draw. Grid studies enqueue their points and need no sampler of their own.

    Args:
        spec: kind, seed and settings.
        objectives: how many the study has.
        number: of the trial.
        parameter: name of the one that is drawn by itself; "" for those that are drawn together.
        attempt: above 0 where former draws broke a constraint.
    """
    again = (attempt,) if attempt else ()
    seed = derive_seed("sampler", spec.seed, number, parameter, *again) % 2**32
    # set for the process: warnings.catch_warnings() in a block is undone when another thread leaves its own block
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if spec.kind == "tpe":
        # group: conditional parameters are modelled too, each with those that occur together with it
        return _EarlyTPE(
            seed=seed, n_startup_trials=spec.startup_trials, multivariate=True, group=True, constant_liar=True
        )
    if spec.kind == "gp":
        return _RepeatableGP(seed=seed, n_startup_trials=spec.startup_trials, warn_independent_sampling=False)
    if spec.kind == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=seed, n_startup_trials=spec.startup_trials, warn_independent_sampling=False
        )
    if spec.kind == "qmc":
        return _NumberedQMC(spec.seed, number, optuna.samplers.RandomSampler(seed=seed))
    return optuna.samplers.RandomSampler(seed=seed)


def uniform_sampler(spec: Sampler, number: int, attempt: int) -> optuna.samplers.BaseSampler:
    """Build a random sampler for a whole trial."""
    return optuna.samplers.RandomSampler(seed=derive_seed("sampler", spec.seed, number, "uniform", attempt) % 2**32)


class SeededTrial:
    """Suggests through an Optuna trial, with a sampler of its own for each parameter.

    Args: use_sampler: gives the trial's study the sampler of a parameter.
    """

    def __init__(self, trial: optuna.trial.Trial, use_sampler: Callable[[str], None]) -> None:
        self._trial, self._use_sampler = trial, use_sampler

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        return self._seeded(name).suggest_float(name, low, high, log=log, step=step)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        return self._seeded(name).suggest_int(name, low, high, log=log, step=step)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self._seeded(name).suggest_categorical(name, choices)

    def _seeded(self, parameter: str) -> optuna.trial.Trial:
        self._use_sampler(parameter)
        return self._trial


class _EarlyTPE(optuna.samplers.TPESampler):
    """A TPESampler that learns from running trials too, by the epochs that they have reported.

    Optuna's constant liar counts every running trial as bad. Of a pack under ASHA the bad members have ended and the
    good ones run: the sampler would keep away from the good ones and follow the best of the bad. A running trial with
    a score counts as if it had finished with its best one so far; one without a score stays a liar's.
    """

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        return dict(super().sample_relative(_Early(study), trial, search_space))

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return super().sample_independent(_Early(study), trial, param_name, param_distribution)


class _Early:
    """A study in which a running trial that has reported a score has finished with it."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[optuna.trial.FrozenTrial]:
        """Return the trials in these states; Optuna's samplers read a study through this method."""
        seen = map(self._as_if_finished, self._study.get_trials(deepcopy=deepcopy))
        return [trial for trial in seen if states is None or trial.state in states]

    def _as_if_finished(self, trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
        """Return a copy that has finished, where a trial runs and has a score. Scores are best so far: see Ledger."""
        if trial.state != TrialState.RUNNING or not trial.intermediate_values:
            return trial
        finished = copy.copy(trial)
        finished.state = TrialState.COMPLETE
        finished.value = trial.intermediate_values[max(trial.intermediate_values)]
        return finished


class _RepeatableGP(optuna.samplers.GPSampler):
    """A GPSampler that repeats its draw for a trial that was begun before.

    Optuna's own shares each draw with other processes through the storage. It would take the former draw of a resumed
    trial for another running trial, and keep away from it.
    """

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        shared = itertools.takewhile(
            bool, (trial.system_attrs.get(f"gp:relative_params:{i}") for i in itertools.count())
        )
        try:
            drawn = json.loads("".join(map(str, shared)))
        except (ValueError, RecursionError):  # nothing was drawn, or a kill cut the note short
            drawn = None
        if not isinstance(drawn, dict):
            return dict(super().sample_relative(study, trial, search_space))
        return {name: value for name, value in drawn.items() if name in search_space}


class _NumberedQMC(optuna.samplers.QMCSampler):
    """A QMCSampler with one scrambled Sobol sequence per study, in which a trial's number is its place.

    Optuna's own counts draws in the storage: a trial that is drawn again after a kill would take the next place, and
    shift every trial after it.
    """

    def __init__(self, study_seed: int, number: int, independent: optuna.samplers.BaseSampler) -> None:
        super().__init__(
            seed=study_seed, scramble=True, independent_sampler=independent, warn_independent_sampling=False
        )
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, Any]) -> int:
        return self._number
