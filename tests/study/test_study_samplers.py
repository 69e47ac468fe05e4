"""Which sampler a search space gets, that it goes by what trials scored, and that it says nothing meanwhile."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import optuna
import pytest
from study_helpers import make_spec, open_ledger, row
from tiers import slow_except

from mer.study.search.samplers import build_sampler
from mer.study.space.spec import Budget, Sampler, StudySpec

CLASSES = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "qmc": optuna.samplers.QMCSampler,
    "random": optuna.samplers.RandomSampler,
    "grid": optuna.samplers.RandomSampler,
}
LEARN = ("tpe", "gp", "cmaes")
NO_POINTS = ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", "")


@pytest.mark.parametrize("kind", CLASSES)
def test_each_kind_has_its_sampler(kind):
    assert isinstance(build_sampler(Sampler(kind=kind), 1, 0), CLASSES[kind])


def spec_of(folder: Path, kind: str, more: str = "") -> StudySpec:
    """Two numbers to draw, for 12 trials, of which 4 are drawn at random."""
    sampler = ("{kind: random, seed: 0}", f"{{kind: {kind}, seed: 0, startup_trials: 4}}")
    width = ("{int: [8, 64]}", "{int: [8, 64]}" + more)
    return make_spec(folder, sampler, width, NO_POINTS, overrides=("budget.trials=12",))


def drawn(folder: Path, spec: StudySpec, *, larger: bool) -> list[int]:
    """The widths of 12 trials whose score is the width's share of its range, or what is left of it."""
    ledger, widths = open_ledger(folder, spec), []
    while (assignment := ledger.next_assignment()) is not None:
        widths.append(assignment.params["head.hidden"])
        share = (widths[-1] - 8) / 56
        ledger.end(assignment.number, "finished", best=row(1, share if larger else 1 - share))
    return widths


@pytest.mark.parametrize("kind", slow_except(["tpe", "gp", "cmaes", "qmc", "random"], "tpe", "qmc", "random"))
def test_scores_decide_after_the_start_where_the_sampler_learns(tmp_path, kind):
    """The same study with scores turned round: drawn alike up to the start-up trials, and then only by who looks."""
    spec = spec_of(tmp_path, kind)
    up, down = (drawn(tmp_path / name, spec, larger=larger) for name, larger in (("up", True), ("down", False)))
    assert up[:4] == down[:4] and len(set(up[:4])) > 1
    assert (up[4:] != down[4:]) is (kind in LEARN)
    if kind in LEARN:
        assert sum(up[4:]) > sum(down[4:]), "it looks where scores were better"


@pytest.mark.parametrize("kind", slow_except(["tpe", "gp", "cmaes", "qmc", "random"], "tpe", "cmaes", "qmc"))
def test_samplers_say_nothing(tmp_path, kind):
    """A choice and a condition make some of them draw a parameter by itself, of which Optuna warns by default."""
    more = "\n  loss.classification.kind: {choice: [ce, focal]}\n" + (
        "  loss.classification.focal_gamma: {float: [1, 3], when: {loss.classification.kind: focal}}"
    )
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("optuna").addHandler(handler)
    try:
        drawn(tmp_path / "s", spec_of(tmp_path, kind, more), larger=True)
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert said == []


@pytest.mark.parametrize("reported", [True, False])
def test_tpe_learns_from_trials_that_still_run(tmp_path, reported):
    """ASHA has cut the narrow ones after an epoch, and the wide ones go on: it looks where those are."""
    ledger = open_ledger(tmp_path / "s", spec_of(tmp_path, "tpe").model_copy(update={"budget": Budget(trials=60)}))
    begun = [one for _ in range(16) if (one := ledger.next_assignment())]  # nothing is known: drawn at random
    for number, width in [(one.number, one.params["head.hidden"]) for one in begun]:
        if width < 44:
            ledger.end(number, "cut", best=row(1, width / 100), last=(1, width / 100))
        elif reported:
            ledger.report(number, 1, width / 100)
            ledger.report(number, 2, width / 100)
    states = Counter(trial.state.name for trial in ledger.trials())
    assert states.keys() == {"RUNNING", "PRUNED"} and states["PRUNED"] >= 4 < states["RUNNING"]
    following = [one.params["head.hidden"] for _ in range(8) if (one := ledger.next_assignment())]
    assert (sum(width >= 44 for width in following) > 5) is reported, following
