"""Early stopping: equal to a literal version, never judged twice, rebuilt from history."""

from __future__ import annotations

import math
import random

import pytest

from mer.study.search.early_stopping import MedianStopping, NoStopping, SuccessiveHalving, build_policy
from mer.study.space.spec import Budget, Scheduler

NAN = math.nan


def policy(kind="asha", epochs=20, grace=2, reduction=3):
    return build_policy(Budget(epochs=epochs), Scheduler(kind=kind, grace_epochs=grace, reduction=reduction))


def arrivals(seed, trials=40, epochs=20):
    """(number, epoch, best so far) in a random order in which each trial's epochs stay in order."""
    rng = random.Random(seed)
    at, best, events = dict.fromkeys(range(trials), 0), dict.fromkeys(range(trials), -1.0), []
    while at:
        number = rng.choice(list(at))
        at[number] += 1
        best[number] = max(best[number], round(rng.random(), 2))  # two digits: ties happen
        events.append((number, at[number], best[number]))
        if at[number] == epochs:
            del at[number]
    return events


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reduction", [2, 3, 4])
def test_asha_equals_a_literal_version(seed, reduction):
    """Cut unless fewer than max(1, floor(n / reduction)) of the n that reached the rung are better."""
    ours, stopped = policy(reduction=reduction), set()
    rungs: dict[int, list[float]] = {2 * reduction**k: [] for k in range(9) if 2 * reduction**k < 20}
    for number, epoch, score in arrivals(seed):
        if number in stopped:
            continue
        cut = False
        if epoch in rungs:
            rungs[epoch].append(score)
            better = sum(other > score for other in rungs[epoch])
            cut = better >= max(1, math.floor(len(rungs[epoch]) / reduction))
        assert ours.cuts(number, epoch, score) is cut
        if cut:
            stopped.add(number)
    assert 5 < len(stopped) < 40


def test_one_third_passes():
    asha = policy()
    cut = [asha.cuts(number, 2, score) for number, score in enumerate([5.0, 4.0, 3.0, 6.0, 5.5, 5.6])]
    # first: alone; then below the best; 6.0 is best of four; of six the best two pass: 5.6 is second
    assert cut == [False, True, True, False, True, False]


def test_ties_pass():
    asha = policy()
    assert [asha.cuts(n, 2, 1.0) for n in range(5)] == [False] * 5


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_a_number_is_never_judged_twice(kind):
    judge = policy(kind)
    for number in range(9):
        judge.cuts(number, 2, 1.0)
    assert not judge.cuts(0, 2, -1.0)
    judge.remember(20, 2, -5.0)
    assert not judge.cuts(20, 2, -5.0)


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("seed", range(3))
def test_remembering_rebuilds_the_same_verdicts(kind, seed):
    events = arrivals(seed)
    lived, stopped = policy(kind), set()
    for number, epoch, score in events[:300]:
        if number not in stopped and lived.cuts(number, epoch, score):
            stopped.add(number)
    seen: dict[int, list] = {}
    cut_now: set[int] = set()
    replay = policy(kind)
    for number, epoch, score in events[:300]:
        if number not in cut_now:
            seen.setdefault(number, []).append((epoch, score))
            if replay.cuts(number, epoch, score):
                cut_now.add(number)
    rebuilt = policy(kind)
    for number in sorted(seen):  # as the engine does: trial by trial, not in order of arrival
        for epoch, score in seen[number]:
            rebuilt.remember(number, epoch, score)
    assert vars(rebuilt) == vars(lived)
    after = [event for event in events[300:] if event[0] not in stopped]
    assert [rebuilt.cuts(*event) for event in after] == [lived.cuts(*event) for event in after]


def test_decision_epochs():
    assert policy().decision_epochs(0) == [2, 6, 18]
    assert policy(epochs=18).decision_epochs(0) == [2, 6]  # nobody is cut at the last epoch
    assert policy(epochs=2).decision_epochs(0) == []
    assert policy("median", epochs=6, grace=3).decision_epochs(0) == [3, 4, 5]
    assert policy("none").decision_epochs(0) == [] and isinstance(policy("none"), NoStopping)
    assert not policy("none").cuts(0, 2, -math.inf)
    assert not policy().cuts(0, 3, -math.inf)


def test_hyperband_brackets():
    hyperband = policy("hyperband")
    assert isinstance(hyperband, SuccessiveHalving)
    assert [hyperband.decision_epochs(n) for n in range(5)] == [[2, 6, 18], [6, 18], [18], [], [2, 6, 18]]
    assert not hyperband.cuts(0, 6, 9.0)
    assert not hyperband.cuts(1, 6, 1.0)  # another bracket: not compared with trial 0
    assert hyperband.cuts(5, 6, 0.5)  # bracket 1 again
    assert not hyperband.cuts(1, 2, -9.0) and not hyperband.cuts(3, 6, -9.0)  # not their epochs


def test_median_needs_five_others():
    median = policy("median")
    assert isinstance(median, MedianStopping)
    cut = [median.cuts(number, 2, 1.0 - number / 10) for number in range(7)]
    assert cut == [False] * 5 + [True, True]
    assert not median.cuts(7, 2, 0.9) and not median.cuts(8, 1, -9.0)


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_nan_is_the_worst_score_and_infinities_compare(kind):
    judge = policy(kind)
    for number, score in enumerate([NAN, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]):
        judge.cuts(number, 2, score)
    assert judge.cuts(10, 2, NAN) and judge.cuts(11, 2, -math.inf) and not judge.cuts(12, 2, math.inf)


def test_remembered_nan_does_not_block_the_rest():
    asha = policy()
    asha.remember(0, 2, NAN)
    assert not asha.cuts(1, 2, 0.1)
    assert asha.cuts(2, 2, 0.05)
