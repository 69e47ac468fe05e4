"""Optuna samplers whose draws are a function of (study seed, trial number, what has finished).

Optuna keeps no random state in its storage, so a resumed study would draw other numbers. Here every draw starts from a
fresh sampler with a derived seed: the relative draw of a trial from (seed, number), each independent draw from
(seed, number, parameter). A trial whose parameters were half drawn when its driver died gets the same other half.
"""

from __future__ import annotations

import itertools
import json
import warnings
from typing import Any

import optuna

from mer.study.space.spec import Sampler
from mer.training.seeding import derive_seed


def build_sampler(spec: Sampler, objectives: int, number: int, parameter: str = "") -> optuna.samplers.BaseSampler:
    """The sampler for one draw. Grid studies enqueue their points and need no sampler of their own."""
    seed = derive_seed("sampler", spec.seed, number, parameter) % 2**32
    # for the process, not for a block: a block does not hold when another thread leaves its own
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if spec.kind == "tpe":
        # group: conditional parameters are modelled too, each with those that occur together with it
        return optuna.samplers.TPESampler(
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


class _RepeatableGP(optuna.samplers.GPSampler):
    """Repeats its draw for a trial that was begun before.

    Optuna's shares each draw with other processes through the storage, and would take a trial's own former draw for
    another running trial, to keep away from.
    """

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        shared = itertools.takewhile(
            bool, (trial.system_attrs.get(f"gp:relative_params:{i}") for i in itertools.count())
        )
        try:
            drawn = json.loads("".join(map(str, shared)))
        except ValueError:  # none, or cut short by a kill
            return dict(super().sample_relative(study, trial, search_space))
        return {name: value for name, value in drawn.items() if name in search_space}


class _NumberedQMC(optuna.samplers.QMCSampler):
    """One scrambled Sobol sequence per study, in which a trial's number is its place.

    Optuna's own counts draws in the storage: a trial drawn again after a kill would take the next place, and so would
    every trial after it.
    """

    def __init__(self, study_seed: int, number: int, independent: optuna.samplers.BaseSampler) -> None:
        super().__init__(
            seed=study_seed, scramble=True, independent_sampler=independent, warn_independent_sampling=False
        )
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, Any]) -> int:
        return self._number
