"""`python -m mer.ui [STUDY]`: MLflow's pages on the store of the studies, served on this machine only."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError, did_you_mean
from mer.loopback import HOST, refuse_taken_port
from mer.places import home

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ui(
    study: Annotated[
        str | None, typer.Argument(help="open the pages of this study, by name or folder", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="[default: 5000; with --optuna 8080]")] = None,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    optuna: Annotated[bool, typer.Option("--optuna", help="optuna-dashboard on the study's journal instead")] = False,
    debug: Debug = False,
) -> None:
    """Serve MLflow on 127.0.0.1 and say where to look. Ctrl-C ends it."""
    if optuna:
        _serve_dashboard(study, studies, port or 8080)
        return
    port = port or 5000
    from mer.study.tracking.moved import follow_the_folder
    from mer.study.tracking.quiet_server import QUIET_WARNINGS
    from mer.study.tracking.recorded_store import is_as_before, store_of
    from mer.study.tracking.shared_view import WITHOUT_FAILED
    from mer.study.tracking.store import TrackingStore
    from mer.study.tracking.usable import refuse_unusable

    if study is not None:
        study, studies = _placed(study, studies)
    address = os.environ.get("MLFLOW_TRACKING_URI")
    store = TrackingStore.under(studies, address) if study is None else store_of(studies / study)
    if store.uri.startswith(("http://", "https://")):
        said = "this study is recorded on" if is_as_before(store) else "MLFLOW_TRACKING_URI names"
        print(f"{said} a server: open {store.shown}")
        return
    if store.database is not None and not store.database.exists():
        raise MerError(studies, "no study has been recorded here", then="run one first: make demo")
    refuse_unusable(store, to_read=True)
    with contextlib.suppress(OSError, sqlite3.Error):  # a read-only copy, or one in use: its pages show without files
        follow_the_folder(store, lambda words: print(f"note: {words}"))
    pages = ["/#/experiments"] if study is None else _trials_pages(store.uri, studies, study)
    refuse_taken_port(port)
    addresses = "\n".join(f"  http://{HOST}:{port}{page}" for page in pages)
    print(f"MLflow on {store.shown}\n\n{addresses}\n")
    if study is None:
        print("Open a study's trials, best first: python -m mer.ui STUDY. Ctrl-C ends this.")
    else:
        print("Trials, best first, with charts; the second address shows them as a table. Tick some, press Compare.")
        print(f'Failed trials are left out: take "{WITHOUT_FAILED}" from the search to see them. Ctrl-C ends this.')
    sys.stdout.flush()
    # The address of the store is not an argument: every user of the machine can read those, and it may hold a password.
    # The job runner serves features that no study uses, with eight more processes.
    environment = {"MLFLOW_BACKEND_STORE_URI": store.uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # Whoever reaches the address could set up MLflow's assistant, which runs commands as the user of this process.
    usual = {"MLFLOW_ENABLE_ASSISTANT_SANDBOX": "true", "PYTHONWARNINGS": QUIET_WARNINGS}
    arguments = ["-m", "mer.study.tracking.quiet_server", "--host", HOST, "--port", str(port), "--workers", "1"]
    os.execve(sys.executable, [sys.executable, *arguments], usual | os.environ | environment)


def _serve_dashboard(study: str | None, studies: Path, port: int) -> None:
    from mer.study.folder.read_study import find_study, read_record
    from mer.study.paths import studies_in
    from mer.study.show.dashboard import dashboard, require_dashboard

    require_dashboard()
    if study is None:
        known = ", ".join(studies_in(studies)) or "none yet"
        raise MerError("--optuna", "shows one study", allowed=known, then="name it: python -m mer.ui STUDY --optuna")
    record = read_record(find_study(study, studies))
    with dashboard(record, port) as server:
        address = f"http://{HOST}:{port}/dashboard/studies/0"
        print(f"Optuna on {record.folder}, for looking only\n\n  {address}\n\nCtrl-C ends this.")
        sys.stdout.flush()
        server.serve_forever()


def _placed(study: str, studies: Path) -> tuple[str, Path]:
    """Return a study's name and the folder of studies that it is in; one given by its path is where that says."""
    from mer.study.paths import is_study

    place = home(study)
    return (place.absolute().name, place.absolute().parent) if is_study(place) else (place.name, studies)


def _trials_pages(uri: str, studies: Path, study: str) -> list[str]:
    """Return what follows the server's address on the pages of a study's trials: with charts, and as a table."""
    from mlflow import MlflowClient

    from mer.study.paths import is_study
    from mer.study.tracking.found_runs import find_experiment
    from mer.study.tracking.from_disk import StudyOnDisk
    from mer.study.tracking.shared_view import TAG_VIEW, pages_of, view_of

    client, folder = MlflowClient(uri), studies / study
    disk = StudyOnDisk.read(folder) if is_study(folder) else None
    experiment = find_experiment(client, study, disk.identity.generation if disk else "")
    if experiment is None:
        known = [one.name for one in client.search_experiments() if one.name != "Default"]
        found = f"no such study in this store.{did_you_mean(study, known)}"
        raise MerError(study, found, allowed=", ".join(known) or "none yet", then="another folder: --studies DIR")
    view = view_of(disk.identity, disk.params) if disk else experiment.tags.get(TAG_VIEW, "")
    if view and view != experiment.tags.get(TAG_VIEW):  # an earlier version's study, or one whose space was changed
        with contextlib.suppress(Exception):  # a database that may only be read: the page shows its usual table
            client.set_experiment_tag(experiment.experiment_id, TAG_VIEW, view)
    return pages_of(str(experiment.experiment_id), view)


def main() -> None:
    launch(app, "mer.ui")


if __name__ == "__main__":
    main()
