"""An export is a logged model of its trial's run; a store that cannot be had is said aloud and no more."""

from __future__ import annotations

import shutil

import pytest
from export_helpers import HEAD, Made

from mer.study.tracking.exports import TAG_EXPORT
from mer.study.tracking.store import TAG_GENERATION, TAG_TRIAL, create_database


def test_no_store_is_said_and_harmless(small_study: Made, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = small_study.export(tmp_path / "model", trial=HEAD)
    assert done.model_id == "" and "not registered in MLflow" in done.trouble and "no such database" in done.trouble
    assert not list(small_study.folder.parent.glob("*.db"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_foreign_store")
def test_the_run_leads_to_the_files(study_copy: Made, tmp_path):
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    studies = study_copy.folder.parent
    uri = f"sqlite:///{studies.resolve()}/mlflow.db"
    create_database(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("small", artifact_location=(studies / "mlartifacts").as_uri())
    assert "no run of trial 0" in study_copy.export(tmp_path / "model", trial=HEAD).trouble
    row = study_copy.runs[HEAD].member.best.row
    tags = {TAG_TRIAL: "0", TAG_GENERATION: study_copy.record().generation}
    run = client.create_run(experiment, tags=tags).info.run_id
    logged = Metric("dev_weighted_f1", row["dev_weighted_f1"], int(row["timestamp_ms"]), int(row["epoch"]))
    client.log_batch(run, metrics=[logged])
    client.set_terminated(run, "FINISHED")

    for _ in range(2):  # exporting again brings the model up to date
        done = study_copy.export(tmp_path / "model", trial=HEAD, force=True)
        assert done.trouble == ""
        (model,) = client.search_logged_models([experiment])
        assert model.model_id == done.model_id and model.source_run_id == run and model.status == "READY"
        assert model.params == {"training.prediction": "head", "optim.head_lr": "0.002"}
        assert {metric.key: metric.value for metric in model.metrics}["dev_weighted_f1"] == row["dev_weighted_f1"]
        files = {file.path for file in client.list_logged_model_artifacts(model.model_id)}
        assert files == {path.name for path in (tmp_path / "model").iterdir()}
        found = client.get_run(run)
        assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
        assert found.data.tags[TAG_EXPORT] == str(tmp_path / "model") and found.info.status == "FINISHED"
        assert len(client.get_metric_history(run, "dev_weighted_f1")) == 1, "the trial's curve stays as it was"
    shutil.rmtree(tmp_path / "model")


@pytest.fixture
def no_foreign_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
