"""optuna-dashboard on a study's journal, for looking only: it follows a study that runs, and changes nothing.

The package writes to what it is given (notes, deletions, ratings); the journal belongs to the study's driver alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import JournalStorage

from mer.errors import MerError
from mer.loopback import HOST, refuse_taken_port
from mer.study.folder.read_study import StudyRecord
from mer.study.paths import JOURNAL
from mer.study.search.journal import GrowingLines

_NAMES = "study:metric_names"  # Optuna's attribute for the names of objectives
_READ_ONLY = (b'{"reason": "this page only shows the study: its journal belongs to the driver"}',)


class _Named(JournalStorage):
    """A storage that calls the objectives of its only study by their metrics."""

    def __init__(self, journal: Path, metrics: tuple[str, ...]) -> None:
        self.metrics = list(metrics)
        super().__init__(GrowingLines(journal))

    def get_all_studies(self) -> list[Any]:
        found = super().get_all_studies()
        for study in found:
            study.system_attrs = {**study.system_attrs, _NAMES: self.metrics}
        return found


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return None


def require_dashboard() -> None:
    """Raise MerError when the extra is missing."""
    if find_spec("optuna_dashboard") is None:
        raise MerError("--optuna", "needs the package optuna-dashboard", then='pip install "mer[dashboard]"')


def dashboard(study: StudyRecord, port: int) -> WSGIServer:
    """Return a server of the study's pages on this machine, which listens already.

    Raises: MerError when the port is taken.
    """
    from optuna_dashboard import wsgi

    refuse_taken_port(port)
    app = wsgi(_Named(study.folder / JOURNAL, tuple(one.metric for one in study.objective)))
    return make_server(HOST, port, _reading(app), server_class=_Server, handler_class=_Quiet)


def _reading(app: Any) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Let only questions through to a WSGI application."""

    def answer(asked: dict[str, Any], start: Any) -> Iterable[bytes]:
        if asked["REQUEST_METHOD"] in ("GET", "HEAD"):
            answered: Iterable[bytes] = app(asked, start)
            return answered
        start("403 Forbidden", [("Content-Type", "application/json")])
        return _READ_ONLY

    return answer
