"""Ask a tracking server one question before a study begins: whether it is MLflow's, and lets us in. Takes seconds."""

from __future__ import annotations

import base64
import json
import os
import ssl
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from mer.errors import MerError
from mer.study.tracking.store import TrackingStore

_ALLOWED = "a store that answers; {}, trials are recorded in the studies folder"
_QUESTION = "/api/2.0/mlflow/experiments/search?max_results=1"
_ANSWER_S = 5.0
_MOST_BYTES = 2**20
_OWN_AUTH = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_CLIENT_CERT_PATH")


def refuse_strange(store: TrackingStore) -> None:
    """Refuse a server that is not MLflow's, is broken, does not answer in time, or does not know us.

    What only MLflow can judge (its own ways to log in, certificates) is passed over. Raises: MerError.
    """
    try:
        with urlopen(_question(store), timeout=_ANSWER_S) as answer:
            said = answer.read(_MOST_BYTES)
        if not isinstance(json.loads(said), dict):
            raise ValueError
    except HTTPError as fault:
        _judge(store, fault.code)
    except (URLError, OSError) as fault:
        reason = getattr(fault, "reason", fault)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return
        words = f"no answer in {_ANSWER_S:.0f} s" if isinstance(reason, TimeoutError) else str(reason)
        raise refusal(
            store, f"{store.shown} does not answer as a server of MLflow does: {store.redact(words)}"
        ) from None
    except (ValueError, RecursionError):
        raise refusal(store, f"what answers at {store.shown} is no server of MLflow") from None


def _question(store: TrackingStore) -> Request:
    parts = urlsplit(store.uri)
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    request = Request(bare + _QUESTION)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    if user:
        said = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {said}")
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    return request


def _judge(store: TrackingStore, code: int) -> None:
    """Refuse a server by the status of its answer. Raises: MerError."""
    if code in (401, 403):
        if not any(os.environ.get(name) for name in _OWN_AUTH):
            raise refusal(
                store,
                f"{store.shown} does not let us in (HTTP {code})",
                then="export MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=... (or MLFLOW_TRACKING_TOKEN=...)",
            )
    elif code >= 500:
        raise refusal(store, f"{store.shown} answers with an error (HTTP {code})")
    elif code != 429:
        raise refusal(store, f"what answers at {store.shown} is no server of MLflow (HTTP {code})")


def refusal(store: TrackingStore, found: str, then: str = "") -> MerError:
    """Return the fault of a store that cannot be used."""
    without = "without this variable" if store.instead.startswith("unset") else "after the command below"
    then = then or f"start the server, or type: {store.instead}"
    return MerError(store.named_by, found, allowed=_ALLOWED.format(without), then=then)
