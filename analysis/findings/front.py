"""Find the trials that no other beats on every objective."""

from __future__ import annotations

import numpy as np

from analysis.stores.study import Study, Trial


def pareto_front(study: Study) -> list[Trial]:
    """List the finished trials that no other beats on every objective, by number."""
    trials = sorted(study.finished, key=lambda trial: trial.number)
    if not trials:
        return []
    signs = [1 if mode == "max" else -1 for _, mode in study.objectives]
    aims = list(zip(signs, study.objectives, strict=True))
    points = np.array([[sign * trial.best[metric] for sign, (metric, _) in aims] for trial in trials])
    return [
        trial
        for trial, mine in zip(trials, points, strict=True)
        if not ((points >= mine).all(axis=1) & (points > mine).any(axis=1)).any()
    ]
