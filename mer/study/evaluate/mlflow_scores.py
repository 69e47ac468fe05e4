"""Write test scores to the MLflow run of the seed they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mer.study.evaluate.seeds import SeedResult
from mer.study.search.journal import readable_journal
from mer.study.tracking.found_runs import Looking, find_experiment, find_runs, one_for_each
from mer.study.tracking.outbox import Outbox
from mer.study.tracking.recorded_store import store_of
from mer.study.tracking.store import TrackingStore, metric_name
from mer.study.tracking.study_runs import connect


def log_test_scores(folder: Path, study: str, results: Sequence[SeedResult]) -> str:
    """Add test metrics and predictions to each seed's run. A run that has them is left alone.

    Args:
        folder, study: of the seeds' study.
    Returns: what could not be written and why, in words; "" when all is in. The next evaluation writes it.
    """
    store = store_of(folder)
    try:
        absent = _log(folder, study, store, results)
    except Exception as fault:  # stores raise whatever their transport raises; the results are in files
        return f"test scores are not all in MLflow ({store.shown}): {store.words(fault)}"
    return (
        f"MLflow ({store.shown}) has no run of {', '.join(absent)}: their test scores are not in it" if absent else ""
    )


def _log(folder: Path, study: str, store: TrackingStore, results: Sequence[SeedResult]) -> list[str]:
    from mlflow.entities import Metric

    client = connect(store)
    with readable_journal(folder, study) as found:
        generation = found.user_attrs["generation"]
    experiment = find_experiment(client, study, generation, Looking(Outbox(folder).experiment(store.shown)))
    runs, _ = one_for_each(find_runs(client, experiment.experiment_id, generation) if experiment else ())
    absent = []
    for result in results:
        known = runs.get(str(result.number))
        if result.test is None:
            continue
        if known is None or known.deleted:
            absent.append(f"trial {result.number}")
            continue
        run = client.get_run(known.run_id)
        if any(name.startswith("test_") for name in run.data.metrics):
            continue
        stamp = run.info.end_time or run.info.start_time
        metrics = [Metric(metric_name(key), value, stamp, result.epoch) for key, value in result.test.items()]
        client.log_artifact(run.info.run_id, str(result.folder / "test_predictions.csv"))
        client.log_batch(run.info.run_id, metrics=metrics)
    return absent
