"""get_meld against a server on this machine: right, wrong, broken, and not there."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mer.data import fetch
from mer.errors import MerError

CONTENT = {f"{split}_sent_emo.csv": f"the {split} file\r\n".encode() for split in ("train", "dev", "test")}
FILES = "train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv"


@pytest.fixture
def served(monkeypatch):
    """Serves a dict of file name -> bytes, which a test may change; also lists what was asked for."""
    files, asked = dict(CONTENT), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            asked.append(name)
            if name not in files:
                self.send_error(404)
                return
            self.send_response(200)
            # A body that is shorter than announced is what a dropped connection looks like.
            self.send_header("Content-Length", str(len(CONTENT[name])))
            self.end_headers()
            self.wfile.write(files[name])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hashes = {name.split("_")[0]: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(fetch, "MELD", dataclasses.replace(fetch.MELD, sha256=hashes))
    monkeypatch.setattr(fetch, "RAW_URL", f"http://127.0.0.1:{server.server_port}/data")
    monkeypatch.setenv("no_proxy", "*")
    yield files, asked
    server.shutdown()
    thread.join()
    server.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_fetches_three_files_then_none(served, tmp_path):
    _, asked = served
    root = tmp_path / "new/MELD"
    assert [path.name for path in fetch.get_meld(root)] == list(CONTENT)
    assert contents(root) == CONTENT
    asked.clear()
    assert fetch.get_meld(root) == [] and asked == []


def test_fetches_only_what_is_missing(served, tmp_path):
    _, asked = served
    (tmp_path / "dev_sent_emo.csv").write_bytes(CONTENT["dev_sent_emo.csv"])
    fetch.get_meld(tmp_path)
    assert asked == ["train_sent_emo.csv", "test_sent_emo.csv"]
    assert contents(tmp_path) == CONTENT


def test_wrong_hash_names_both_and_keeps_nothing(served, tmp_path):
    files, _ = served
    files["test_sent_emo.csv"] = b"the tost file\r\n"
    with pytest.raises(MerError) as caught:
        fetch.get_meld(tmp_path)
    received, right = (hashlib.sha256(content["test_sent_emo.csv"]).hexdigest() for content in (files, CONTENT))
    assert f"/test_sent_emo.csv: the download has SHA-256 {received}; nothing was kept\n" in str(caught.value)
    assert f"  allowed: SHA-256 {right}\n  next: run the same command again" in str(caught.value)
    assert contents(tmp_path) == {}


def test_transfer_that_breaks_off_keeps_nothing(served, tmp_path):
    files, _ = served
    files["dev_sent_emo.csv"] = b"the d"
    with pytest.raises(MerError, match=r"dev_sent_emo\.csv: "):
        fetch.get_meld(tmp_path)
    assert contents(tmp_path) == {}


def test_file_that_is_gone(served, tmp_path):
    files, _ = served
    del files["dev_sent_emo.csv"]
    with pytest.raises(MerError, match=r"dev_sent_emo\.csv: cannot be fetched: Not Found"):
        fetch.get_meld(tmp_path)
    assert contents(tmp_path) == {}


def test_different_file_is_not_overwritten(served, tmp_path):
    _, asked = served
    (tmp_path / "dev_sent_emo.csv").write_bytes(b"mine")
    with pytest.raises(MerError) as caught:
        fetch.get_meld(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/dev_sent_emo.csv: a different file is here already (SHA-256 ")
    assert "it is not overwritten" in text and "next: move it away" in text
    assert asked == [] and contents(tmp_path) == {"dev_sent_emo.csv": b"mine"}


def test_offline_is_one_message_that_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setattr(fetch, "RAW_URL", "http://127.0.0.1:1/data")  # nobody listens there
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(MerError) as caught:
        fetch.get_meld(tmp_path / "MELD")
    assert str(caught.value) == (
        "http://127.0.0.1:1/data/train_sent_emo.csv: cannot be fetched: [Errno 111] Connection refused\n"
        f"  next: put {FILES} into {tmp_path}/MELD by hand; they come from {fetch.SOURCE} (repository declare-lab/MELD)"
    )
    assert not (tmp_path / "MELD").exists()


def test_the_pinned_source_is_https_and_one_commit():
    assert fetch.RAW_URL.startswith("https://raw.githubusercontent.com/declare-lab/MELD/2d2011b4")
    assert fetch.RAW_URL.split("/")[5] in fetch.SOURCE
