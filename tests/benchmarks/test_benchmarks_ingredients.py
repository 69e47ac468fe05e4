"""Means over seeds of each setting of a study, and what each change gave."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.ingredients import over_seeds, settings_of, table_of
from mer.errors import MerError
from mer.study.folder.standings import Standing
from mer.study.space.load import load_spec

SPACES = Path(__file__).parents[2] / "search_spaces"

F1 = "dev_weighted_f1"


def standing(number: int, seed: int, score: float, *, state: str = "finished", **params: object) -> Standing:
    return Standing(number, state, {F1: score}, {"seed": seed, **params})  # type: ignore[arg-type]


def test_trials_that_differ_in_the_seed_alone_are_one_setting_compared_with_the_first():
    bar = [standing(0, 1, 0.50), standing(1, 2, 0.52), standing(2, 3, 0.51)]
    more = [standing(3, 1, 0.53, wide=True), standing(5, 3, 0.56, wide=True), standing(4, 2, 0.54, wide=True)]
    cut = [standing(6, 4, 0.9, state="cut", wide=True), standing(7, 5, 0.1, state="failed")]
    found = settings_of([*bar, *more, *cut], F1)
    assert [setting.change for setting in found] == [{}, {"wide": True}]
    assert found[0].gain is None and found[0].scores.n == 3
    gain = found[1].gain
    assert gain is not None and gain.n == 3 and gain.difference == pytest.approx((0.03 + 0.02 + 0.05) / 3)
    assert found[1].scores.mean == pytest.approx((0.53 + 0.54 + 0.56) / 3)


def test_p_values_are_adjusted_for_the_number_of_changes():
    trials = [standing(seed, seed, 0.5 + seed / 100) for seed in range(3)]
    trials += [standing(3 + seed, seed, 0.52 + seed / 90, a=1) for seed in range(3)]
    alone = settings_of(trials, F1)[1].gain
    trials += [standing(6 + seed, seed, 0.53 + seed / 80, a=2) for seed in range(3)]
    together = settings_of(trials, F1)[1].gain
    assert alone is not None and together is not None and alone.p is not None and together.p_adjusted is not None
    assert together.p == alone.p and together.p_adjusted > alone.p


def test_the_table_names_a_change_by_its_last_words():
    trials = [standing(0, 1, 0.5, **{"optim.batch_size": 64}), standing(1, 1, 0.6, **{"optim.batch_size": 128})]
    out = io.StringIO()
    Console(file=out, width=100).print(table_of(settings_of(trials, F1), F1))
    assert "batch_size 128" in out.getvalue() and "+10.00" in out.getvalue() and "none: the bar" in out.getvalue()


@pytest.mark.parametrize("trials", [[], [Standing(0, "finished", {F1: 0.5}, {})]])
def test_a_study_without_seeds_or_results_is_refused(trials: list[Standing]):
    with pytest.raises(MerError, match=r"no trial has finished|no seed was drawn"):
        settings_of(trials, F1)


def test_every_point_is_trained_with_every_seed():
    spec = load_spec(SPACES / "meld_text_ingredients.yaml")
    study = over_seeds(spec, [7, 8])
    assert study.budget.trials == len(study.points) == 2 * len(spec.points)
    assert [point["seed"] for point in study.points[:4]] == [7, 8, 7, 8]
    assert study.trial_config(study.points[1]).seed == 8 and study.study == f"{spec.study}-seeds"
    with pytest.raises(MerError, match="there are none"):
        over_seeds(load_spec(SPACES / "distill.yaml").model_copy(update={"points": ()}), [1])
