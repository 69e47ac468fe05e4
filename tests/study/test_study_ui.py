"""`mer.ui`: the address it prints shows the trials, best first, and the server is small."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from small_study import make_study

from mer import ui
from mer.errors import MerError
from mer.study.tracking import quiet_server
from mer.study.tracking.content import StudyIdentity
from mer.study.tracking.from_disk import StudyOnDisk
from mer.study.tracking.shared_view import TAG_VIEW, view_of
from mer.study.tracking.store import TAG_GENERATION, TAG_TRIAL, TrackingStore


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a study that is on disk, by a version that knew no views, and one whose folder is elsewhere."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("studies")
    make_study(folder, [], name="small", objective="{metric: dev_loss, mode: min}")
    generation = StudyOnDisk.read(folder / "small").identity.generation
    client = MlflowClient(TrackingStore.under(folder, None).uri)
    for name, own in (("small", generation), ("other", "o")):
        experiment = client.create_experiment(name)
        for trial, score in (("study", 0.9), ("0", 0.5), ("1", 0.9), ("2", 0.7)):
            tags = {TAG_TRIAL: trial, TAG_GENERATION: own}
            run = client.create_run(experiment, run_name=f"{name} {trial}", tags=tags)
            client.log_metric(run.info.run_id, "best_dev_loss", score)
    client.set_experiment_tag(experiment, TAG_VIEW, view_of(StudyIdentity("other", "o", ("dev_weighted_f1",)), {}))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def printed_addresses(text: str) -> list[tuple[str, dict[str, str]]]:
    """The experiment and the query of each address among printed lines."""
    found = re.findall(r"^ *(http://127\.0\.0\.1:\d+/\S*)$", text, re.MULTILINE)
    pages = [urlsplit(urlsplit(address).fragment) for address in found]
    return [(page.path, {key: value for key, (value,) in parse_qs(page.query).items()}) for page in pages]


def views(studies: Path) -> dict[str, dict[str, object]]:
    from mlflow import MlflowClient

    found = MlflowClient(TrackingStore.under(studies, None).uri).search_experiments()
    return {one.name: json.loads(one.tags.get(TAG_VIEW, "{}")) for one in found}


@pytest.mark.parametrize(("study", "ascending"), [("small", "true"), ("other", "false"), ("x/small/", "true")])
def test_the_address_is_that_of_the_trials_best_first(studies, study, ascending, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(ui.os, "execve", lambda *arguments: started.append(arguments))
    ui.ui(study, free_port(), studies)
    (path, query), (same, table) = printed_addresses(capsys.readouterr().out)
    assert re.fullmatch(r"/experiments/\d+/runs", path) and same == path
    assert query.pop("compareRunsMode") == "CHART" and query == table
    view = views(studies)[Path(study).name]
    assert table == {"workflowType": "machine_learning", "viewStateShareKey": "mer"}, (
        "with an order it would be ignored"
    )
    assert view["orderByAsc"] is (ascending == "true")
    ((_, arguments, environment),) = started
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_BACKEND_STORE_URI"].endswith("mlflow.db") and "mlflow.db" not in " ".join(arguments)
    assert environment["MLFLOW_ENABLE_ASSISTANT_SANDBOX"] == "true", "its assistant would run commands as this user"


def test_what_the_environment_says_of_the_assistant_stays(studies, monkeypatch):
    started = []
    monkeypatch.setattr(ui.os, "execve", lambda *arguments: started.append(arguments[2]))
    monkeypatch.setenv("MLFLOW_ENABLE_ASSISTANT_SANDBOX", "false")
    ui.ui("small", free_port(), studies)
    assert started[0]["MLFLOW_ENABLE_ASSISTANT_SANDBOX"] == "false"


@pytest.mark.filterwarnings("ignore:.*Any type hint")  # of MLflow's own modules, when they are imported
def test_only_faults_of_the_server_are_said(monkeypatch, capsys):
    import click
    from mlflow import cli

    said = ["Registry store URI not provided.", "WARNING: Accepting ALL hosts.", "[MLflow] Security middleware enabled"]
    asked = []

    def serve(args: list[str], prog_name: str) -> None:
        asked.extend(args)
        for line in said:
            click.echo(line, err=True)

    monkeypatch.setattr(click, "echo", click.echo)  # put back afterwards
    monkeypatch.setattr(cli.cli, "main", serve)
    monkeypatch.setattr(sys, "argv", ["quiet_server", "--port", "5000"])
    monkeypatch.setattr(signal, "signal", signal.signal)  # main() wraps it for its process; here it is put back
    quiet_server.main()
    assert asked == ["ui", "--uvicorn-opts", "--log-level warning", "--port", "5000"]
    assert capsys.readouterr().err == "WARNING: Accepting ALL hosts.\n"


def test_a_study_given_by_its_path_opens_the_store_beside_it(studies, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ui.os, "execve", lambda *arguments: None)
    ui.ui(str(studies / "small"), free_port())
    assert f"{studies}/mlflow.db" in capsys.readouterr().out
    monkeypatch.chdir(studies / "small")
    ui.ui(".", free_port())
    assert f"{studies}/mlflow.db" in capsys.readouterr().out


def test_a_wrong_name_is_said_before_the_port_is_tried(studies):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MerError, match=r"smal: no such study in this store. Did you mean 'small'\?"):
            ui.ui("smal", port, studies)
        with pytest.raises(MerError, match=f"127.0.0.1:{port}: is taken"):
            ui.ui("small", port, studies)


@pytest.mark.slow
def test_the_server_is_small_and_quiet_and_answers_the_printed_query(studies, tmp_path):
    port, errors = free_port(), tmp_path / "errors.txt"
    command = [sys.executable, "-m", "mer.ui", "small", "--port", str(port), "--studies", str(studies)]
    with errors.open("w") as stream:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env=os.environ, start_new_session=True
        )
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(5)]
        (path, _), _ = printed_addresses("".join(lines))
        view = views(studies)["small"]
        wanted = {
            "experiment_ids": [path.split("/")[2]],
            "filter": view["searchFilter"],
            "order_by": [f"{view['orderByKey']} ASC"],
        }
        found = _ask(port, wanted)["runs"]
        assert [run["info"]["run_name"] for run in found] == ["small 0", "small 2", "small 1"]
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) <= 3, [one.cmdline() for one in family]
        assert errors.read_text() == "", "MLflow's own notes would push the address away"
        os.killpg(server.pid, signal.SIGINT)  # Ctrl-C: the terminal interrupts all of them
        psutil.wait_procs(family, timeout=30)
        assert errors.read_text() == "" and not any(one.is_running() for one in family)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate(timeout=30)


def _ask(port: int, wanted: dict[str, object]) -> dict[str, object]:
    """What the server says to the query that its page sends."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/runs/search",
        json.dumps(wanted).encode(),
        {"Content-Type": "application/json"},
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < deadline, "the server never answered"
            time.sleep(0.5)
