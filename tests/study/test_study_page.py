"""What a person sees of a study in MLflow: which parameters, in which order, what the page opens with."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_runs import FakeMLflow
from recorded_study import Search
from study_helpers import row

from mer.config import TrialConfig, nest
from mer.study.tracking.about import About, data_used, source_tags
from mer.study.tracking.content import StudyIdentity
from mer.study.tracking.params import told_params
from mer.study.tracking.points import points_of
from mer.study.tracking.shared_view import pages_of, view_of

TWO = StudyIdentity("small", "abc", ("dev_weighted_f1", "dev_loss"))


def test_searched_keys_come_first_then_what_is_not_as_usual():
    given = {
        "optim.head_lr": 1e-3,
        "loss.contrastive.kind": "spcl",
        "loss.contrastive.temperature": 0.2,
        "encoders.text": {"backbone": "minilm", "mode": "frozen", "layers": [2, 4]},
    }
    config = TrialConfig.model_validate(nest(given)).model_dump(mode="json")
    sampled = {"loss.contrastive.temperature": 0.2, "optim.head_lr": TrialConfig().optim.head_lr}
    told = told_params(sampled, config)
    assert list(told)[:2] == list(sampled), "also where a draw is the default"
    assert set(told) - set(sampled) == {"loss.contrastive.kind", "encoders.text.layers"}
    assert told_params({}, TrialConfig().model_dump(mode="json")) == {}


def test_of_a_configuration_that_cannot_be_read_every_key_is_told():
    assert told_params({"head.hidden": 8}, {"head": {"hidden": 8}, "gone": {"key": 1}}) == {
        "head.hidden": 8,
        "gone.key": 1,
    }


@pytest.mark.parametrize(("mode", "steps"), [("max", [1, 3]), ("min", [1, 2])])
def test_the_best_epoch_so_far_is_written_before_the_others(mode, steps):
    rows = [row(epoch, score) for epoch, score in enumerate((0.3, 0.2, 0.5, float("nan"), 0.5), 1)]
    points = list(points_of(rows, "dev_weighted_f1", mode))
    assert points[0].key.startswith("best_dev_") and points[0].step == 1
    assert [point.step for point in points if point.key == "best_dev_weighted_f1"] == steps
    for first in range(len(rows)):  # as a tracker writes them, epoch by epoch
        parts = [
            *points_of(rows[:first], "dev_weighted_f1", mode),
            *points_of(rows, "dev_weighted_f1", mode, first_row=first),
        ]
        assert repr(parts) == repr(points)
    known = [
        point.step for point in points_of(rows, "dev_weighted_f1", mode, best_epoch=1) if point.key == "best_epoch"
    ]
    assert known == [1], "nobody went on from a later one"


def test_the_page_opens_with_the_trials_of_this_search_best_first():
    params = {"optim.head_lr": {"float": [1, 2]}, "loss.temperature": {"float": [1, 2], "when": {"loss.kind": "spcl"}}}
    text = view_of(TWO, params)
    view = json.loads(text)
    assert view["orderByKey"] == "metrics.`best_dev_weighted_f1`" and view["orderByAsc"] is False
    assert "tags.`mer.generation` = 'abc'" in view["searchFilter"] and "!= 'study'" in view["searchFilter"]
    assert view["selectedColumns"][:2] == ["metrics.`best_dev_weighted_f1`", "metrics.`best_dev_loss`"]
    assert "params.`loss.temperature`" in view["selectedColumns"]
    curves, parallel = view["compareRunCharts"]
    assert curves["metricKey"] == "dev_weighted_f1"
    assert parallel["selectedParams"] == ["optim.head_lr"], "a trial without a parameter would be left out"
    charts, table = (urlsplit(urlsplit(page).fragment) for page in pages_of("7", text))
    assert charts.path == table.path == "/experiments/7/runs" and "compareRunsMode=CHART" in charts.query
    assert parse_qs(table.query)["viewStateShareKey"] == ["mer"]


def test_a_view_of_hundreds_of_parameters_is_one_that_mlflow_takes():
    params = {f"a.rather.long.name.of.a.key.number{i}": {"float": [1, 2]} for i in range(500)}
    assert len(view_of(TWO, params)) < 5000


def test_smaller_is_first_where_it_is_better():
    view = json.loads(view_of(StudyIdentity("small", "abc", ("dev_loss",), "min"), {}))
    assert view["orderByAsc"] is True


def test_the_study_s_run_says_who_ran_what_on_which_data(tmp_path):
    search, mlflow = Search(tmp_path), FakeMLflow()
    files = [{"train": "a.safetensors", "dev": "b.safetensors"}, {"train": "c.safetensors", "dev": "d.safetensors"}]
    data = data_used({"data.dataset": "meld", "data.root": "datasets/MELD"}, files)
    about = About(view_of(TWO, {}), source_tags("python -m mer.tune space.yaml", "abc"), data)
    tracker = search.tracker(mlflow)
    tracker._about = about
    tracker.start([])
    assert not tracker.close("FINISHED", {}, "note")
    (run,) = mlflow.trials()["study"]
    assert run.tags["mlflow.source.name"] == "python -m mer.tune space.yaml" and run.tags["mlflow.user"]
    assert [(one.name, one.context, one.place) for one in run.data] == [
        ("meld", "train", "datasets/MELD"), ("meld", "dev", "datasets/MELD"),
    ]  # fmt: skip
    assert run.data[0].digest != run.data[1].digest and mlflow.view == about.view


def test_the_pages_are_made_when_all_files_are_there_and_go_with_the_study_s_run(tmp_path):
    search, mlflow = Search(tmp_path), FakeMLflow()
    tracker = search.tracker(mlflow)
    tracker.start([])
    assert not tracker.close("FINISHED", {}, "note", (), lambda: [
        (search.folder / name).write_text(name) for name in ("report.html", "history.svg", "space.yaml")
    ])  # fmt: skip
    assert {"report.html", "history.svg", "space.yaml"} <= set(mlflow.trials()["study"][0].files)
