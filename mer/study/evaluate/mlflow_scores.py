"""Write test scores to the MLflow run of the seed they belong to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mer.study.evaluate.seeds import SeedResult
from mer.study.search.journal import readable_journal
from mer.study.tracking.store import TAG_GENERATION, TAG_TRIAL, TrackingStore, metric_name


def log_test_scores(folder: Path, study: str, studies: Path, results: Sequence[SeedResult]) -> None:
    """Add test metrics and predictions to each seed's run. A run that has them is left alone.

    Args:
        folder, study: of the seeds' study.
        studies: folder of all studies, which holds the default database.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(TrackingStore.under(studies, os.environ.get("MLFLOW_TRACKING_URI")).uri)
    experiment = client.get_experiment_by_name(study)
    with readable_journal(folder, study) as found:
        generation = found.user_attrs["generation"]
    runs = client.search_runs([experiment.experiment_id], f"tags.`{TAG_GENERATION}` = '{generation}'", max_results=1000)
    by_number = {run.data.tags[TAG_TRIAL]: run for run in runs}
    for result in results:
        run = by_number[str(result.number)]
        if result.test is None or "test_weighted_f1" in run.data.metrics:
            continue
        stamp = run.info.end_time or run.info.start_time
        metrics = [Metric(metric_name(key), value, stamp, result.epoch) for key, value in result.test.items()]
        client.log_artifact(run.info.run_id, str(result.folder / "test_predictions.csv"))
        client.log_batch(run.info.run_id, metrics=metrics)
