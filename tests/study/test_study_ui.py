"""`mer.ui`: the address it prints shows the trials, best first, and the server is small."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from mer import ui
from mer.errors import MerError
from mer.study.tracking.store import TAG_TRIAL, TrackingStore


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two studies of three trials; `small` has its folder, `other` searches for a small loss."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("studies")
    client = MlflowClient(TrackingStore.under(folder, None).uri)
    for name, metric in (("small", "dev_weighted_f1"), ("other", "dev_loss")):
        experiment = client.create_experiment(name)
        for trial, score in (("study", 0.9), ("0", 0.5), ("1", 0.9), ("2", 0.7)):
            run = client.create_run(experiment, run_name=f"{name} {trial}", tags={TAG_TRIAL: trial})
            client.log_metric(run.info.run_id, f"best_{metric}", score)
    (folder / "other").mkdir()
    (folder / "other" / "space.json").write_text('{"objective": [{"metric": "dev_loss", "mode": "min"}]}')
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def printed_address(text: str) -> tuple[str, dict[str, str]]:
    """The experiment and the query of the address among printed lines."""
    (address,) = re.findall(r"^ *(http://127\.0\.0\.1:\d+/\S*)$", text, re.MULTILINE)
    page = urlsplit(urlsplit(address).fragment)
    return page.path, {key: value for key, (value,) in parse_qs(page.query).items()}


@pytest.mark.parametrize(
    ("study", "key", "ascending"),
    [("small", "best_dev_weighted_f1", "false"), ("other", "best_dev_loss", "true"), ("x/small/", None, "false")],
)
def test_the_address_is_that_of_the_trials_best_first(studies, study, key, ascending, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(ui.os, "execve", lambda *arguments: started.append(arguments))
    ui.ui(study, free_port(), studies)
    path, query = printed_address(capsys.readouterr().out)
    assert re.fullmatch(r"/experiments/\d+/runs", path)
    assert query == {
        "workflowType": "machine_learning",
        "searchFilter": "tags.`mer.trial` != 'study'",
        "orderByKey": f"metrics.`{key or 'best_dev_weighted_f1'}`",
        "orderByAsc": ascending,
    }
    ((_, arguments, environment),) = started
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_BACKEND_STORE_URI"].endswith("mlflow.db") and "mlflow.db" not in " ".join(arguments)


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
def test_the_server_is_small_and_answers_the_printed_query(studies):
    port = free_port()
    command = [sys.executable, "-m", "mer.ui", "small", "--port", str(port), "--studies", str(studies)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(4)]
        path, query = printed_address("".join(lines))
        wanted = {
            "experiment_ids": [path.split("/")[2]],
            "filter": query["searchFilter"],
            "order_by": [query["orderByKey"] + " DESC"],
        }
        found = _ask(port, wanted)["runs"]
        assert [run["info"]["run_name"] for run in found] == ["small 1", "small 2", "small 0"]
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) <= 3, [one.cmdline() for one in family]
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        for one in family:
            one.terminate()
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
