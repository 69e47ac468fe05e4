"""Optuna samplers whose draws are a function of (study seed, trial number, what has finished).

Optuna keeps no random state in its storage, so a resumed study would draw other numbers. Here every draw starts from a
fresh sampler with a derived seed: the relative draw of a trial from (seed, number), each independent draw from
(seed, number, parameter). A trial whose parameters were half drawn when its driver died gets the same other half.
"""

from __future__ import annotations

import warnings

import optuna

from mer.study.spec import Sampler
from mer.training.seeding import derive_seed


def build_sampler(spec: Sampler, objectives: int, number: int, parameter: str = "") -> optuna.samplers.BaseSampler:
    """The sampler for one draw. Grid studies enqueue their points and need no sampler of their own."""
    seed = derive_seed("sampler", spec.seed, number, parameter) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if spec.kind == "tpe":
            # group: conditional parameters are modelled too, each with those that occur together with it
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=spec.startup_trials, multivariate=True, group=True, constant_liar=True
            )
        if spec.kind == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=spec.startup_trials)
        if spec.kind == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=spec.startup_trials)
        if spec.kind == "qmc":  # one scrambled sequence per study: its seed may not depend on the trial
            return optuna.samplers.QMCSampler(seed=spec.seed, scramble=True, warn_independent_sampling=False)
        return optuna.samplers.RandomSampler(seed=seed)
