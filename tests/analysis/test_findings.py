"""What the numbers of a study support: luck, guessing, calibration, hardest dialogues, costs, maps."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from sklearn.metrics import f1_score
from small_study import Ending, make_study

from analysis.findings.chance import by_frequency, chance_on_dev, chance_on_split
from analysis.findings.costs import costs
from analysis.findings.importance import importance
from analysis.findings.luck import expected_largest, largest_at, search_luck
from analysis.findings.utterances import calibration, flat_map, hardest_dialogues
from analysis.plots.axis import Axis
from analysis.plots.lanes import Span, pack
from analysis.plots.picture import endings_key
from analysis.plots.plot import Plot
from analysis.plots.surface import shaded
from analysis.stores.journal import load_study
from analysis.stores.predictions import Predictions
from analysis.study_page.history import history_html
from analysis.study_page.parameters import ranges


def predictions(true, predicted, scores=None, ids=None):
    count, classes = len(true), 3
    scores = np.eye(classes)[predicted] * 2.0 if scores is None else np.asarray(scores)
    ids = ids or [f"dev/dia{index // 2}_utt{index % 2}" for index in range(count)]
    return Predictions(ids, ["a", "b", "c"], np.array(true), np.array(predicted), scores)


@pytest.fixture
def study(tmp_path):
    endings = [Ending("finished", seed=index) for index in range(12)] + [
        Ending("cut", seed=50),
        Ending("error", epochs=0),
    ]
    return load_study(make_study(tmp_path, endings), with_mlflow=False)


@pytest.mark.parametrize("n", [2, 5, 40, 400])
def test_the_largest_of_n_normal_values(n):
    drawn = np.random.default_rng(0).normal(size=(20_000, n)).max(axis=1)
    assert expected_largest(n) == pytest.approx(drawn.mean(), abs=0.04)
    assert largest_at(0.95, n) == pytest.approx(np.quantile(drawn, 0.95), abs=0.05)


def test_a_search_among_equal_settings_is_seldom_above_luck(tmp_path):
    """All trials of these studies are equally good; five searches of twelve trials each."""
    above = []
    for seed in range(5):
        endings = [Ending("finished", seed=100 * seed + index) for index in range(12)]
        found = load_study(make_study(tmp_path / str(seed), endings), with_mlflow=False)
        told = search_luck(found)
        above.append(told is not None and told.is_above)
    assert sum(above) <= 1


def test_luck_counts_every_trial_that_was_compared(study):
    told = search_luck(study)
    assert told.trials == 12 and 0 < told.by_luck < told.at_most
    assert told.gain == pytest.approx(study.value(study.best) - study.value(study.trials[0]))
    study.trials[0].best.clear()
    assert search_luck(study) is None


def test_answers_by_frequency_are_what_guesses_reach():
    true = [0] * 60 + [1] * 30 + [2] * 10
    found = predictions(true, true)
    guesses = np.random.default_rng(0).choice(3, p=[0.6, 0.3, 0.1], size=(4000, 100))
    assert by_frequency(found, "accuracy") == pytest.approx((guesses == np.array(true)).mean(), abs=0.005)
    assert by_frequency(found, "macro_f1") == pytest.approx(1 / 3)
    assert by_frequency(found, "recall_c") == pytest.approx(0.1) and by_frequency(found, "f1_b") == pytest.approx(0.3)
    assert by_frequency(found, "loss") is None


def test_chance_takes_the_better_guess(study):
    assert chance_on_dev(study).value == pytest.approx(1 / 3)
    study.summary["baseline_majority"] = {"dev_weighted_f1": 0.5}
    told = chance_on_dev(study)
    assert told.value == 0.5 and "most frequent" in told.guess


@pytest.mark.parametrize(("true", "guess"), [([0] * 60 + [1] * 30 + [2] * 10, "frequency"), ([0] * 9 + [1], "always")])
def test_guessing_on_a_split_is_the_better_of_the_two(true, guess):
    found = predictions(true, true)
    constant = f1_score(true, [0] * len(true), average="weighted", zero_division=0.0)
    told = chance_on_split(found)
    assert told.value == pytest.approx(max(constant, by_frequency(found, "weighted_f1")))
    assert told.guess.startswith("always") is (guess == "always") is (told.value == pytest.approx(constant))


def test_calibration_equals_the_metric_of_the_study(study):
    found = study.predictions(study.best)
    bins, error = calibration(found)
    assert error == pytest.approx(study.best.best["dev_ece"], abs=1e-6)
    assert sum(one.count for one in bins) == 60 and all(0 <= one.accuracy <= 1 for one in bins)


def test_the_hardest_dialogue_is_the_one_that_all_get_wrong():
    true = [0, 0, 1, 1, 2, 2]
    best, other = predictions(true, [1, 1, 1, 1, 2, 2]), predictions(true, [1, 2, 1, 0, 2, 2])
    first, second, third = hardest_dialogues(best, [other])
    assert (first.dialogue, first.share_wrong, first.wrong, first.mistakes) == ("dev/dia0", 1.0, 2, "a as b x 2")
    assert (second.dialogue, second.share_wrong, second.wrong) == ("dev/dia1", 0.25, 0) and third.share_wrong == 0
    elsewhere = predictions(true, true, ids=[f"dev/x{index}_utt0" for index in range(6)])
    assert hardest_dialogues(best, [elsewhere]) == hardest_dialogues(best, [])


def test_the_map_keeps_the_two_largest_spreads(study):
    found = study.predictions(study.best)
    flat = flat_map(found)
    logs = np.log(found.probabilities_NC)
    spread = np.linalg.svd(logs - logs.mean(axis=0), compute_uv=False)
    assert flat.shape == (60, 2) and np.linalg.norm(flat, axis=0) == pytest.approx(spread[:2])


def test_costs_add_up(study):
    told = costs(study)
    seconds = sum((trial.ended - trial.began).total_seconds() for trial in study.trials)
    assert told.trial_seconds == pytest.approx(seconds) and told.epochs == 13 * 3
    assert told.epochs_in_full == 14 * 3 and told.saved == pytest.approx(3 / 42)


def test_lanes_hold_no_two_at_once():
    spans = [Span(0, 4, "", "", 0), Span(1, 2, "", "", 1), Span(2, 5, "", "", 2), Span(4, 6, "", "", 3)]
    lanes = pack(spans)
    assert [[one.trial for one in lane] for lane in lanes] == [[0, 3], [1, 2]]


def test_shades_are_deep_where_values_are_high():
    places = [(x, y) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)]
    values = [x for x, _ in places]
    for larger, deepest in ((True, 0.9), (False, 0.1)):
        cells = {(x[0], y[0]): step for x, y, step in shaded(places, values, larger_is_better=larger)}
        best = max(cells.values())
        assert all(abs(x - deepest) < 0.2 for (x, _), step in cells.items() if step == best)


def test_a_parameter_that_few_trials_drew_has_no_share(tmp_path):
    endings = [Ending("finished", seed=index) for index in range(14)]
    found = load_study(make_study(tmp_path, endings), with_mlflow=False)
    drawn = sum("loss.contrastive.temperature" in trial.params for trial in found.trials)
    told = importance(found)
    assert drawn < 10 and told.seldom == ["loss.contrastive.temperature"]
    assert "loss.contrastive.temperature" not in told.shares and math.isclose(sum(told.shares.values()), 1.0)


@pytest.mark.parametrize(("y", "is_told"), [(0.5, False), (7.0, True)])
def test_a_triangle_is_explained_where_a_plot_has_one(y, is_told):
    plot = Plot(Axis(0, 1, label="trial"), Axis(0, 1, label="score"), "history")
    plot.point(0.5, y, "cut", "trial 1")
    plot.point(0.5, 0.5, "failed", "trial 2")
    assert ("triangle" in endings_key(plot.svg())) is is_told


def test_a_legend_names_what_is_drawn_and_nothing_else(tmp_path):
    """A trial that waits has no mark, so no plot explains one; a failed one without a value has one in the history."""
    endings = [Ending("finished"), Ending("finished", seed=1), Ending("error", epochs=0), Ending(None, epochs=0)]
    found = load_study(make_study(tmp_path, endings), with_mlflow=False)
    assert [trial.state for trial in found.trials][-1] == "interrupted"
    html = history_html(found, None)
    said = re.sub(r"<[^>]+>", "|", html[html.index('<p class="legend">') :])
    assert "best finished" in said and "|finished" in said and "failed" in said
    assert "interrupted" not in said and "stopped early" not in said


def test_ranges_that_no_trial_drew_are_one_line(tmp_path):
    endings = [Ending("finished", seed=index) for index in range(4)]
    found = load_study(make_study(tmp_path, endings), with_mlflow=False)
    for trial in found.trials:
        trial.params.pop("loss.contrastive.temperature", None)
    told = ranges(found)
    assert "loss.contrastive.temperature" not in [row[0] for row in told.tables[0].rows]
    assert "No trial drew temperature." in told.html and len(told.tables[0].rows) == 4
