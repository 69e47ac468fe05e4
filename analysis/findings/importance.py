"""Tell which parameters matter: PED-ANOVA (Watanabe et al. 2023) of Optuna, over finished and stopped trials."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.page.words import counted
from analysis.stores.study import Study, Trial

ENOUGH = 10  # trials
SETTLED = 50  # from here on the order of the larger shares tends to stay
_TOP, _TOP_TRIALS = 0.25, 5  # the better group: a quarter, but five at least


@dataclass(frozen=True)
class Importance:
    """Shares that sum to 1, largest first.

    Args:
        finished, cut: trials that the shares come from.
        top: share of them in the better group.
        seldom: parameters that were drawn in too few of them to say anything.
    """

    shares: dict[str, float]
    finished: int
    cut: int
    top: float
    seldom: list[str] = field(default_factory=list)

    @property
    def trials(self) -> int:
        return self.finished + self.cut


def importance(study: Study) -> Importance | str:
    """Compute each parameter's share in telling the better trials from the rest, or say why that is not possible.

    The method asks in which group a trial is, not how good it is. So a trial that was stopped early counts in the rest.
    """
    directions = ["maximize" if mode == "max" else "minimize" for _, mode in study.objectives]
    finished = [_bare(trial, [trial.best[metric] for metric, _ in study.objectives]) for trial in study.finished]
    cut = _as_the_rest(study) if len(directions) == 1 else []
    n = len(finished) + len(cut)
    if n < ENOUGH:
        few = f"{counted(n, 'trial')}: too few to tell which parameter matters"
        return f"{few} ({ENOUGH} are needed; failed ones do not count)."
    if len(study.ranges) < 2:
        return "Fewer than two parameters were searched: there is nothing to divide between them."
    if len({study.value(trial) for trial in study.finished}) <= 1:
        return "Fewer than two finished trials with different values: nothing tells them apart."
    top = max(_TOP, min(0.5, _TOP_TRIALS / n))
    memory = optuna.create_study(directions=directions)
    memory.add_trials([*finished, *cut])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = get_param_importances(memory, evaluator=PedAnovaImportanceEvaluator(target_quantile=top))
    except (ValueError, RuntimeError) as fault:  # e.g. no parameter that varies
        return f"Optuna cannot tell: {fault}"
    drawn = Counter(key for trial in (*finished, *cut) for key in trial.params)
    kept = {key: float(share) for key, share in shares.items() if share == share and drawn[key] >= ENOUGH}
    total = sum(kept.values())
    if not total:
        return "No parameter tells the better trials from the rest."
    seldom = [key for key in study.ranges if drawn[key] < ENOUGH]
    return Importance({key: share / total for key, share in kept.items()}, len(finished), len(cut), top, seldom)


def _as_the_rest(study: Study) -> list[FrozenTrial]:
    """Return the trials that were stopped early as finished ones that no finished one is worse than."""
    stopped = [trial for trial in study.trials if trial.state == "stopped early" and study.value(trial) is not None]
    if not stopped or not study.finished:
        return []
    sign = 1 if study.larger_is_better else -1
    worst = min(sign * (study.value(trial) or 0.0) for trial in study.finished)
    return [_bare(trial, [sign * min(sign * (study.value(trial) or 0.0), worst)]) for trial in stopped]


def _bare(trial: Trial, values: list[float]) -> FrozenTrial:
    """Return what the method asks of a trial: Optuna copies all that it is given."""
    frozen = trial.frozen
    return create_trial(
        state=TrialState.COMPLETE, values=values, params=frozen.params, distributions=frozen.distributions
    )
