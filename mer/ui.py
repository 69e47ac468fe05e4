"""`python -m mer.ui [STUDY]`: MLflow's pages on the store of the studies, served on this machine only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError, did_you_mean
from mer.loopback import HOST, refuse_taken_port
from mer.read_files import read_object

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ui(
    study: Annotated[str | None, typer.Argument(help="open the pages of this study", show_default=False)] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    debug: Debug = False,
) -> None:
    """Serve MLflow on 127.0.0.1 and say where to look. Ctrl-C ends it."""
    from mer.study.tracking.moved import follow_the_folder
    from mer.study.tracking.store import TrackingStore
    from mer.study.tracking.usable import refuse_unusable

    store = TrackingStore.under(studies, os.environ.get("MLFLOW_TRACKING_URI"))
    if store.uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a server: open {store.shown}")
        return
    if store.database is not None and not store.database.exists():
        raise MerError(studies, "no study has been recorded here", then="run one first: make demo")
    refuse_unusable(store)
    with contextlib.suppress(OSError, sqlite3.Error):  # a read-only copy, or one in use: its pages show without files
        follow_the_folder(store, lambda words: print(f"note: {words}"))
    page = "/#/experiments" if study is None else _trials_page(store.uri, studies, Path(study).name)
    refuse_taken_port(port)
    print(f"MLflow on {store.shown}\n\n  http://{HOST}:{port}{page}\n")
    if study is None:
        print("Open a study's trials, best first: python -m mer.ui STUDY. Ctrl-C ends this.")
    else:
        print("Trials, best first: tick some, press Compare. Ctrl-C ends this.")
    sys.stdout.flush()
    # The address of the store is not an argument: every user of the machine can read those, and it may hold a password.
    # The job runner serves features that no study uses, with eight more processes.
    environment = {"MLFLOW_BACKEND_STORE_URI": store.uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    arguments = ["--host", HOST, "--port", str(port), "--workers", "1"]
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments], os.environ | environment)


def _trials_page(uri: str, studies: Path, study: str) -> str:
    """Name the page of MLflow 3.17 that lists a study's trials, best first; `#/experiments/ID` alone is empty."""
    from mer.study.paths import SPACE
    from mer.study.tracking.store import TAG_TRIAL

    metric, mode = _objective(studies / study / SPACE)
    query = {
        "workflowType": "machine_learning",
        "searchFilter": f"tags.`{TAG_TRIAL}` != 'study'",  # the parent run has the best trial's scores, too
        "orderByKey": f"metrics.`best_{metric}`",
        "orderByAsc": "true" if mode == "min" else "false",
    }
    return f"/#/experiments/{_experiment_id(uri, studies, study)}/runs?{urlencode(query, quote_via=quote)}"


def _objective(space: Path) -> tuple[str, str]:
    """Read the study's first objective, metric and mode; weighted-F1 where its folder is not here."""
    try:
        first = read_object(space)["objective"][0]
        return str(first["metric"]), str(first.get("mode", "max"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return "dev_weighted_f1", "max"


def _experiment_id(uri: str, studies: Path, study: str) -> str:
    from mlflow import MlflowClient

    from mer.study.paths import is_study
    from mer.study.tracking.from_disk import StudyOnDisk
    from mer.study.tracking.store import find_experiment

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None and is_study(studies / study):  # somebody renamed it
        experiment = find_experiment(client, study, StudyOnDisk.read(studies / study).identity.generation)
    if experiment is None:
        known = [one.name for one in client.search_experiments() if one.name != "Default"]
        found = f"no such study in this store.{did_you_mean(study, known)}"
        raise MerError(study, found, allowed=", ".join(known) or "none yet", then="another folder: --studies DIR")
    return str(experiment.experiment_id)


def main() -> None:
    launch(app, "mer.ui")


if __name__ == "__main__":
    main()
