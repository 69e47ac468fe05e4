"""The simulated study: the real search on a made-up clock, and what it compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search_quality.compare import Arm, Comparison
from benchmarks.search_quality.landscape import SPACE, read_recorded
from benchmarks.search_quality.simulate import Costs, End, simulate
from mer.study.space.load import load_spec

COSTS = Costs({128: {1: 2.0, 4: 1.0}, 256: {1: 2.0, 4: 1.0}}, begin_s=0.0, member_s=0.0)


class ByRate:
    """A higher rate scores better; no noise."""

    def expected(self, params, seed):
        return 0.5 + 10 * params["optim.head_lr"] + 0.001 * np.arange(9)

    def noise(self, seed, number):
        return np.zeros(9)


def run(folder: Path, *words: str):
    folder.mkdir()
    spec = load_spec(SPACE, ("budget.trials=12", "resources.workers=2", *words), {})
    return simulate(spec, ByRate(), COSTS, folder)


def test_time_is_that_of_the_steps_shared_by_the_workers(tmp_path: Path) -> None:
    words = ("scheduler.kind=none", "sampler.kind=random")
    alone, alone_s = run(tmp_path / "alone", "resources.pack=1", *words)
    packed, packed_s = run(tmp_path / "packed", "resources.pack=4", *words)
    assert alone_s == pytest.approx(12 / 2 * 9 * 157 * 0.002)
    assert packed_s < alone_s and len(alone) == len(packed) == 12
    assert {end.score for end in alone} == {end.score for end in packed}, "a trial scores the same in any pack"
    assert max(end.at_s for end in packed) == packed_s
    assert all(end.score == pytest.approx(end.expected) for end in packed)


def test_early_stopping_cuts_simulated_trials(tmp_path: Path) -> None:
    ends, seconds = run(tmp_path / "asha", "resources.pack=4", "sampler.kind=random")
    assert 0 < len(ends) < 12 and seconds < 12 / 2 * 9 * 157 * 0.002


@pytest.mark.parametrize(("trials", "seed", "most"), [(5, 0, 24), (6, 1, 29)])  # epochs one after another: 27, 36
def test_an_idle_worker_waits_and_takes_over_members_where_they_were(tmp_path, trials, seed, most) -> None:
    slow = Costs({128: {1: 20.0}, 256: {1: 20.0}}, begin_s=0.0, member_s=0.0)
    words = ("scheduler.kind=none", "sampler.kind=random", f"sampler.seed={seed}", f"budget.trials={trials}")
    spec = load_spec(SPACE, ("resources.workers=2", "resources.pack=4", *words), {})
    ends, seconds = simulate(spec, ByRate(), slow, tmp_path)
    assert len(ends) == trials and seconds < most * 157 * 0.020


def test_costs_between_sizes_are_interpolated() -> None:
    assert COSTS.epoch_s(2, 128) == pytest.approx(157 * 2 * 1.5 / 1000)
    assert COSTS.epoch_s(8, 128) == pytest.approx(157 * 8 * 1.0 / 1000), "beyond the last size: its cost"


def test_differences_are_paired_at_equal_trials_and_at_the_end_of_the_packed_study() -> None:
    one, packed = Arm(1), Arm(4)
    for seed, late in ((0, 0.62), (1, 0.64)):
        one.ends[seed], one.seconds[seed] = [End(10, 0.5, 0.5), End(30, late, 0.6)], 30
        packed.ends[seed], packed.seconds[seed] = [End(15, 0.61, 0.58)], 15
    found = Comparison("none", 2, [one, packed]).differences(packed)
    assert found["equal trials"].difference == pytest.approx(-2.0)
    assert found["equal trials, expected"].difference == pytest.approx(-2.0)
    assert found["equal time"].difference == pytest.approx(11.0)
    assert found["equal time, expected"].difference == pytest.approx(8.0)


def test_the_recorded_trials_are_of_the_recorded_space() -> None:
    params, seeds, curves_NE = read_recorded()
    spec = load_spec(SPACE, (), {})
    assert set(params[0]) == set(spec.params) and curves_NE.shape == (196, spec.budget.epochs)
    assert sorted(set(seeds)) == [0, 1] and 0.2 < curves_NE.min() < curves_NE.max() < 0.7
    for one in params[::20]:
        spec.trial_config(one)
