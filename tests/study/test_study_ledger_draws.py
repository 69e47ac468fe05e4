"""What the ledger draws: a kill at any moment changes nothing, and samplers spread their draws."""

from __future__ import annotations

import itertools
import math

import pytest
from ledger_lab import Killed, finish, study, uninterrupted
from study_helpers import make_spec, open_ledger, score_of
from tiers import slow_except

from mer.study.search.ledger import Ledger

KINDS = [("tpe", 12), ("random", 12), ("qmc", 12), ("cmaes", 12), ("gp", 6), ("grid", 9)]
MOSTLY_QUICK = slow_except(KINDS, *(kind for kind in KINDS if kind[0] != "gp"))


@pytest.mark.parametrize(("kind", "trials"), MOSTLY_QUICK)
def test_resumed_after_every_trial_equals_uninterrupted(tmp_path, kind, trials):
    spec = study(tmp_path, kind, trials)
    expected = uninterrupted(tmp_path / "a", spec)
    assert [number for number, _ in expected] == list(range(trials))
    drawn = []
    while assignment := (ledger := open_ledger(tmp_path / "b", spec)).next_assignment():
        drawn.append((assignment.number, assignment.params))
        finish(ledger, assignment)
    assert drawn == expected


@pytest.mark.parametrize(("kind", "trials"), slow_except(KINDS, ("tpe", 12), ("grid", 9)))
def test_killed_while_drawing_equals_uninterrupted(tmp_path, kind, trials):
    """Each trial is first begun by a driver that dies before `ask`, or after it with up to two parameters drawn."""
    spec = study(tmp_path, kind, trials)
    expected = uninterrupted(tmp_path / "a", spec)
    drawn = []
    for number in range(trials):
        with pytest.raises(Killed):
            stored = number % min(4, len(spec.params) + 1) - 1  # parameters that the dying driver has stored
            _dies_after(open_ledger(tmp_path / "b", spec), stored).next_assignment()
        heir = open_ledger(tmp_path / "b", spec)
        assignment = heir.next_assignment()
        assert assignment is not None
        drawn.append((assignment.number, assignment.params))
        finish(heir, assignment)
    assert drawn == expected
    assert open_ledger(tmp_path / "b", spec).next_assignment() is None


def test_killed_while_training_equals_uninterrupted(tmp_path):
    """TPE goes by scores of trials that run: the one that a dead driver left behind must not count for itself."""
    spec = study(tmp_path, "tpe")
    drawn = {}
    for name, dies in (("a", False), ("b", True)):
        ledger, drawn[name] = open_ledger(tmp_path / name, spec), []
        while assignment := ledger.next_assignment():
            for epoch in (1, 2, 3):
                ledger.report(assignment.number, epoch, score_of(assignment) * epoch / 3)
                if dies and epoch == assignment.number % 3 + 1:
                    ledger = open_ledger(tmp_path / name, spec)
                    assert ledger.next_assignment() == assignment
            finish(ledger, assignment)
            drawn[name].append(assignment)
    assert drawn["a"] == drawn["b"] and len(drawn["a"]) == 12


def _dies_after(ledger: Ledger, parameters: int) -> Ledger:
    """A ledger whose driver dies once so many parameters of the next trial are stored; at -1 before `ask`."""
    real, calls = ledger._use_sampler, itertools.count(-1)

    def use_sampler(number: int, parameter: str = "") -> None:
        if next(calls) >= parameters:
            raise Killed
        real(number, parameter)

    ledger._use_sampler = use_sampler  # type: ignore[method-assign]
    return ledger


@pytest.mark.slow
def test_samplers_spread_their_draws(tmp_path):
    """A sampler re-seeded for every draw must not draw the same value again and again."""
    for kind in ("random", "qmc", "tpe"):
        drawn = uninterrupted(tmp_path / kind, study(tmp_path, kind))
        for key in ("optim.head_lr", "head.hidden"):
            assert len({params[key] for _, params in drawn}) >= 9, (kind, key)
        assert len({str(params["encoders.text.layers"]) for _, params in drawn}) == 3, kind
        hinges = [params["loss.contrastive.hinge"] for _, params in drawn if "loss.contrastive.hinge" in params]
        assert len(set(hinges)) == len(hinges) > 1, kind


def test_qmc_is_one_low_discrepancy_sequence(tmp_path):
    lrs = [math.log10(p["optim.head_lr"]) for _, p in uninterrupted(tmp_path / "a", study(tmp_path, "qmc", 17))][1:]
    filled = {int((value + 4) / 2 * 8) for value in lrs}
    assert filled == set(range(8))  # 16 random draws fill all 8 bins less than one time in three


def test_other_study_seed_other_draws(tmp_path):
    one = uninterrupted(tmp_path / "a", make_spec(tmp_path))
    other = uninterrupted(tmp_path / "b", make_spec(tmp_path, overrides=("sampler.seed=1",)))
    assert one[0] == other[0] and all(a[1] != b[1] for a, b in zip(one[1:], other[1:], strict=True))
