"""Start a local Ray, or join a cluster."""

from __future__ import annotations

import logging
import socket
from typing import Any

from mer.console import QUIET_ENVIRONMENT
from mer.errors import MerError

_STORE_HEADROOM_BYTES = 128 * 2**20
_REACH_S = 5.0


def start_ray(address: str | None, feature_bytes: int = 0) -> None:
    """Start a private Ray on this machine, or join the cluster at `address`. Raises: MerError when that fails.

    Args: feature_bytes: size of all that stays in the object store for as long as Ray runs.
    """
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    for name in ("ray.tune", "ray.train"):  # they log tracebacks of what is reported once, in words, at the end
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is None:  # 'local' is said aloud: ray.init() would join any cluster that runs on this machine
        store_bytes = int(1.2 * feature_bytes) + _STORE_HEADROOM_BYTES
        ray.init(address="local", object_store_memory=store_bytes, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address=address, runtime_env={"env_vars": QUIET_ENVIRONMENT}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as fault:
        raise _no_cluster(address, str(fault)) from fault


def refuse_silent(address: str | None) -> None:
    """Refuse an address at which nobody listens; Ray would try it for minutes. Raises: MerError."""
    host, separator, port = (address or "").rpartition(":")
    if not separator or not port.isdigit():  # 'auto', or another form that Ray knows
        return
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()
    except OSError as fault:
        raise _no_cluster(str(address), str(fault)) from fault


def _no_cluster(address: str, reason: str) -> MerError:
    return MerError(
        f"--address {address}",
        f"no Ray cluster answers there ({reason})",
        allowed="the address that `ray start --head` prints, or auto on one of its nodes",
        then="leave --address out to run on this machine; where Ray asks for a token, see docs/cluster.md",
    )
