"""`python -m mer.ui [STUDY]`: MLflow's pages on the store of the studies, on this machine only."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch
from mer.errors import MerError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
HOST = "127.0.0.1"


@app.command()
def ui(
    study: Annotated[str | None, typer.Argument(help="open the pages of this study", show_default=False)] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    studies: Annotated[Path, typer.Option(help="folder of all studies")] = Path("studies"),
    debug: Debug = False,
) -> None:
    """Serve MLflow on 127.0.0.1 and say where to look. Ctrl-C ends it."""
    from mer.study.tracking.store import TrackingStore

    store = TrackingStore.under(studies, os.environ.get("MLFLOW_TRACKING_URI"))
    if store.uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a server: open {store.shown}")
        return
    database = store.uri.removeprefix("sqlite:///")
    if store.uri.startswith("sqlite:///") and not Path(database).exists():
        raise MerError(studies, "no study has been recorded here", then="run one first: make demo")
    _refuse_taken_port(port)
    address = f"http://{HOST}:{port}"
    if study is not None:
        address += f"/#/experiments/{_experiment_id(store.uri, Path(study).name)}"
    print(f"MLflow on {store.shown}\n\n  {address}\n")
    print(
        "Open a study, tick trials, press Compare. Best first: sort by Metrics > best_dev_weighted_f1. Ctrl-C ends it."
    )
    sys.stdout.flush()
    arguments = ["--backend-store-uri", store.uri, "--host", HOST, "--port", str(port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments])


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise MerError(f"{HOST}:{port}", "is taken", then=f"choose another: --port {port + 1}") from None


def _experiment_id(uri: str, study: str) -> str:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        known = ", ".join(e.name for e in client.search_experiments() if e.name != "Default")
        raise MerError(study, "no such study in this store", allowed=known or "none yet")
    return str(experiment.experiment_id)


def main() -> None:
    launch(app, "mer.ui")


if __name__ == "__main__":
    main()
