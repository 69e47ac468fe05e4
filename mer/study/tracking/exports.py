"""Log an export in MLflow as a model of its trial's run, so that the page of a metric leads to the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.study.paths import trial_name
from mer.study.tracking.found_runs import find_experiment
from mer.study.tracking.store import TAG_GENERATION, TAG_STUDY, TAG_TRIAL, TrackingStore, metric_name
from mer.study.tracking.study_runs import connect

TAG_EXPORT = "mer.export"


@dataclass(frozen=True)
class Registration:
    """All that is logged of one export.

    Args:
        folder: the export.
        row: metrics of the best epoch, with `epoch` and `timestamp_ms`.
        params: drawn by the search.
    """

    folder: Path
    study: str
    generation: str
    number: int
    row: Mapping[str, float]
    params: Mapping[str, object]


def register(store: TrackingStore, what: Registration) -> str:
    """Log the export's files as a model of its trial's run. A second export to the same folder keeps the model's id.

    Returns: the model's id. Raises: LookupError when MLflow does not know the trial; whatever MLflow raises.
    """
    if store.database is not None and not store.database.exists():
        raise LookupError("there is no such database")
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    client = connect(store)
    experiment = find_experiment(client, what.study, what.generation)
    wanted = f"tags.`{TAG_GENERATION}` = '{what.generation}' and tags.`{TAG_TRIAL}` = '{what.number}'"
    runs = client.search_runs([experiment.experiment_id], wanted) if experiment else []
    if not runs:
        raise LookupError(f"it has no run of trial {what.number}")
    run, place = runs[0].info.run_id, str(what.folder.resolve())
    known = client.search_logged_models([experiment.experiment_id], f"source_run_id = '{run}'")
    model = next((model for model in known if model.tags.get(TAG_EXPORT) == place), None)
    new = model is None
    if model is None:
        tags = {TAG_STUDY: what.study, TAG_TRIAL: str(what.number), TAG_GENERATION: what.generation, TAG_EXPORT: place}
        model = client.create_logged_model(
            experiment.experiment_id,
            name=f"{what.study}-{trial_name(what.number)}".replace(".", "-"),
            source_run_id=run,
            tags=tags,
            params={key: str(value) for key, value in what.params.items()},
            model_type="mer export",
        )
    for file in sorted(
        path for path in what.folder.iterdir() if path.is_file()
    ):  # a bundled backbone stays where it is
        client.log_model_artifact(model.model_id, str(file))
    stamp, step = int(what.row["timestamp_ms"]), int(what.row["epoch"])
    metrics = [
        Metric(metric_name(name), value, stamp, step, model_id=model.model_id, run_id=run)
        for name, value in what.row.items()
        if name.startswith("dev_")
    ]
    client.log_batch(run, metrics=metrics)
    if new:
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step)])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.set_tag(run, TAG_EXPORT, place)
    return str(model.model_id)
