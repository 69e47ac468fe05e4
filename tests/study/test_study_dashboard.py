"""`mer.ui --optuna`: Optuna's own pages on a study's journal, which they do not change."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from small_study import ONE, TWO, Ending, make_study, write_spec

from mer import ui
from mer.errors import MerError
from mer.study.folder.read_study import read_record
from mer.study.search.journal import GrowingLines
from mer.study.search.ledger import Ledger
from mer.study.show import dashboard as pages
from mer.study.show.dashboard import dashboard


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path) -> Iterator[tuple]:
    """The folder of a study, and a function that asks its server."""
    pytest.importorskip("optuna_dashboard")
    folder = make_study(tmp_path, [Ending("finished"), Ending("finished", seed=1)], objective=TWO)
    server = dashboard(read_record(folder), free_port())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(path: str, method: str = "GET"):
        host, port = server.server_address
        request = urllib.request.Request(f"http://{host}:{port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    yield folder, ask, server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_dashboard_names_objectives_after_their_metrics(served):
    _, ask, server = served
    assert server.server_address[0] == "127.0.0.1"
    shown = ask("/api/studies/0?after=0")
    assert shown["objective_names"] == ["dev_weighted_f1", "dev_loss"]
    assert [trial["state"] for trial in shown["trials"]].count("Complete") == 2


def test_a_journal_that_is_shown_follows_its_driver(tmp_path):
    folder = make_study(tmp_path, [Ending("finished")])
    lines = GrowingLines(folder / "journal.log")
    seen = len(lines.read_logs(0))
    ledger = Ledger(folder, write_spec(folder.parent, "small", ONE))
    assert ledger.next_assignment() is not None
    whole = (folder / "journal.log").read_bytes().count(b"\n")
    with (folder / "journal.log").open("a") as stream:
        stream.write('{"op_code": 7, "wor')
    assert len(lines.read_logs(0)) == whole > seen and len(lines.read_logs(seen)) == whole - seen
    with pytest.raises(PermissionError):
        lines.append_logs([{}])


def test_the_dashboard_changes_nothing(served):
    folder, ask, _ = served
    before = (folder / "journal.log").read_bytes()
    for method in ("DELETE", "PUT", "POST"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask("/api/studies/0", method)
    assert (folder / "journal.log").read_bytes() == before


def test_what_cannot_be_shown_is_one_message(tmp_path, monkeypatch):
    make_study(tmp_path, [Ending("finished")])
    with pytest.raises(MerError, match=r"shows one study\n  allowed: small"):
        ui.ui(None, None, tmp_path, optuna=True)
    with pytest.raises(MerError, match=r"Did you mean 'small'"):
        ui.ui("smal", None, tmp_path, optuna=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MerError, match="is taken"):
            ui.ui("small", taken.getsockname()[1], tmp_path, optuna=True)
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    with pytest.raises(MerError, match=r'needs the package optuna-dashboard\n *next: pip install "mer\[dashboard\]"'):
        ui.ui("small", None, tmp_path, optuna=True)
