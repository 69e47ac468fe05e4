"""The page of `python -m mer.demo`: what it answers, what it refuses, whom it talks to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import mer
from mer import console
from mer.checkpoints.export_folder import Export
from mer.demo import app
from mer.errors import MerError
from mer.predictor.conversation import Turn, answer
from mer.predictor.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(exported: Export) -> Predictor:
    return mer.load(exported.folder)


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = 0
    try:
        console.run(lambda: app(list(map(str, words)), standalone_mode=True))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


def test_turns_are_read_in_their_dialogue(predictor: Predictor) -> None:
    said = [("Ross", "Hi."), ("Monica", "Oh my God!"), ("Ross", "What?")]
    turns = [Turn(speaker, text) for speaker, text in said]
    assert answer(predictor, turns) == predictor.predict_dialogue(said)
    assert predictor.export.reads_context


def test_a_turn_of_nothing_is_refused(predictor: Predictor) -> None:
    with pytest.raises(MerError, match="turn 1: nothing was given of text"):
        answer(predictor, [Turn(text="Hi"), Turn(text="  ", clips={"audio": "a.flac"})])


def test_a_missing_extra_is_one_message(
    exported: Export, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mer.predictor.demo_page.find_spec", lambda name: None)
    code, said = typed(capsys, exported.folder)
    assert (code, said) == (2, 'error: mer.demo: needs the package gradio\n  next: pip install "mer[demo]"\n')


def test_a_port_that_is_taken_is_one_message(exported: Export, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = typed(capsys, exported.folder, "--port", port)
    assert code == 2 and said.startswith(
        f"error: 127.0.0.1:{port}: is taken\n  next: choose another: --port {port + 1}"
    )


def test_there_is_no_share(exported: Export, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, exported.folder, "--share")
    assert code == 2 and "No such option" in said


WATCHED = """
import json, sys
away = []
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not str(arguments[1][0]).startswith("127."):
        away.append(str(arguments[1]))
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "localhost", "0.0.0.0"):
        away.append(str(arguments[0]))
    if event == "socket.bind" and isinstance(arguments[1], tuple) and arguments[1][0] not in ("127.0.0.1", "localhost"):
        away.append(f"bind {arguments[1]}")
sys.addaudithook(watch)
from mer.demo import main
try:
    main()
finally:
    print("AWAY " + json.dumps(away), flush=True)
"""


@pytest.mark.slow
def test_nothing_leaves_the_machine_and_nothing_stays(exported: Export, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = {"GRADIO_ANALYTICS_ENABLED": "True", "GRADIO_SHARE": "True", "GRADIO_SERVER_NAME": "0.0.0.0"}
    running = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(exported.folder), "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **ended, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        lines = [running.stdout.readline() for _ in range(5)]  # type: ignore[union-attr]
        assert lines[2].strip() == f"http://127.0.0.1:{port}/", lines
        opened = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opened.open(f"http://127.0.0.1:{port}/", timeout=30) as page:
            policy = page.headers["content-security-policy"]
            body = page.read().decode()
        assert policy.startswith("default-src 'self'") and "http" not in policy and "quickstart" not in body
        said = json.dumps({"data": [[], "Ross", "Oh my God!"]}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/gradio_api/call/answer", said, {"Content-Type": "application/json"}
        )
        with opened.open(asked, timeout=30) as answered:
            event = json.load(answered)["event_id"]
        with opened.open(f"http://127.0.0.1:{port}/gradio_api/call/answer/{event}", timeout=60) as answered:
            told = answered.read().decode()
        assert "event: complete" in told and '"surprise"' in told
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, rest
    assert "AWAY []" in rest and "Traceback" not in rest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("mer-demo", "gradio"))] == []
