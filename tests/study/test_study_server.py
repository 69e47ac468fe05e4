"""A tracking server is asked before a study begins: one that is not MLflow's, hangs or is broken is refused."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mer.errors import MerError
from mer.study.tracking import server
from mer.study.tracking.store import TrackingStore
from mer.study.tracking.usable import refuse_unusable


class Answers(BaseHTTPRequestHandler):
    """Says `status` and `body` to everything, after `wait` seconds; remembers what it was told."""

    status, body, wait = 200, b"{}", 0.0
    heard: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        type(self).heard.append((self.path, self.headers.get("Authorization", "")))
        time.sleep(self.wait)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # nobody waited for it
            self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Answers], str]]:
    for name in ("http_proxy", "HTTP_PROXY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    handler = type("Mine", (Answers,), {"heard": []})
    serving = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield handler, f"127.0.0.1:{serving.server_address[1]}"
    serving.shutdown()
    serving.server_close()


def refused(address: str, user: str = "") -> str:
    with pytest.raises(MerError) as caught:
        refuse_unusable(TrackingStore(f"http://{user}{address}/base", None))
    return str(caught.value)


def test_one_that_answers_as_mlflow_does_is_used(there: tuple[type[Answers], str]) -> None:
    handler, address = there
    refuse_unusable(TrackingStore(f"http://ann:p%40ss@{address}/base/", None))
    said = base64.b64encode(b"ann:p@ss").decode()
    assert handler.heard == [("/base/api/2.0/mlflow/experiments/search?max_results=1", f"Basic {said}")]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>hello</html>", "what answers at http://{} is no server of MLflow"),
        (200, b"[]", "what answers at http://{} is no server of MLflow"),
        (404, b"", "what answers at http://{} is no server of MLflow (HTTP 404)"),
        (500, b"", "http://{} answers with an error (HTTP 500)"),
        (503, b"", "http://{} answers with an error (HTTP 503)"),
    ],
)
def test_one_that_does_not_is_refused(there: tuple[type[Answers], str], status: int, body: bytes, words: str) -> None:
    handler, address = there
    handler.status, handler.body = status, body
    said = refused(address, "ann:secret@")
    assert said.startswith(f"MLFLOW_TRACKING_URI: {words.format(address + '/base')}\n") and "secret" not in said
    assert said.endswith("next: start the server, or type: unset MLFLOW_TRACKING_URI")


def test_one_that_does_not_know_us_says_what_to_set(
    there: tuple[type[Answers], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, address = there
    handler.status = 401
    said = refused(address)
    assert "does not let us in (HTTP 401)" in said and "export MLFLOW_TRACKING_USERNAME=" in said
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "ours")
    refuse_unusable(TrackingStore(f"http://{address}", None))


def test_one_that_hangs_is_refused_in_seconds(
    there: tuple[type[Answers], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, address = there
    handler.wait = 1.0
    monkeypatch.setattr(server, "_ANSWER_S", 0.2)
    started = time.monotonic()
    assert "does not answer as a server of MLflow does: no answer in" in refused(address)
    assert time.monotonic() - started < 1.0
