"""A model hub on 127.0.0.1 that takes commits and gives files, as far as huggingface_hub asks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "hf_" + "fake0token" * 4


class FakeHub:
    """Models by ORG/NAME, each a list of commits: (sha, file -> bytes).

    Attributes:
        asked: every request, "METHOD path".
        refusal: words with which commits are refused; "" takes them.
    """

    def __init__(self) -> None:
        self.models: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.asked: list[str] = []
        self.private: set[str] = set()
        self.refusal = ""
        self.url = ""

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        commits = self.models.setdefault(repo, [])
        now = {**(commits[-1][1] if commits else {}), **files}
        sha = hashlib.sha1(repr((repo, len(commits), sorted(now))).encode()).hexdigest()
        commits.append((sha, now))
        return sha

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.models.get(repo, [])
        if revision == "main":
            return commits[-1] if commits else None
        return next((one for one in commits if one[0] == revision), None)


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self, code: int, body: bytes = b"{}", **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.split("?")[0]
            if path == "/":
                return self.answer(200)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                at = hub.at(found[1], found[2] or "main")
                if at is None:
                    return self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
                return self.answer(200, json.dumps({"id": found[1], "sha": at[0], "siblings": []}).encode())
            found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            at = hub.at(found[1], found[2]) if found else None
            if found is None or at is None or found[3] not in at[1]:
                return self.answer(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found")
            body = at[1][found[3]]
            return self.answer(200, body, X_Repo_Commit=at[0], ETag=f'"{hashlib.sha1(body).hexdigest()}"')

        def do_POST(self) -> None:
            hub.asked.append(f"POST {self.path}")
            given = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                return self.answer(401, b'{"error": "who are you"}')
            if self.path == "/api/repos/create":
                said = json.loads(given)
                repo = f"{said['organization']}/{said['name']}"
                hub.models.setdefault(repo, [])
                hub.private |= {repo} if said.get("visibility") == "private" else set()
                return self.answer(200, json.dumps({"url": f"{hub.url}/{repo}"}).encode())
            if self.path == "/api/validate-yaml":
                return self.answer(200)
            if "/preupload/" in self.path:
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(given)["files"]
                ]
                return self.answer(200, json.dumps({"files": files}).encode())
            if hub.refusal:
                words = json.dumps({"error": hub.refusal}).encode()
                return self.answer(403, words, X_Error_Message=hub.refusal)
            repo = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path)[1]  # type: ignore[index]
            lines = [json.loads(line) for line in given.splitlines()]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            sha = hub.commit(repo, files)
            told = {"commitUrl": f"{hub.url}/{repo}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None}
            return self.answer(200, json.dumps(told).encode())

    return Handler


@contextmanager
def running() -> Iterator[FakeHub]:
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub that huggingface_hub takes for the real one; downloads go below tmp_path."""
    with running() as found:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", found.url)
        template = f"{found.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf/token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield found
