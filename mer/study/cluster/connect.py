"""Start a local Ray, or join a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mer.console import QUIET_ENVIRONMENT
from mer.errors import MerError
from mer.study.cluster.leave import leave_ray
from mer.study.cluster.socket_folder import socket_folder
from mer.study.preflight.machine import Machine, this_machine
from mer.study.preflight.object_store import refuse_small_nodes, store_bytes

_REACH_S = 5.0
_SETTER = "set_sigterm_handler"  # in ray._private.utils


def start_ray(address: str | None, feature_bytes: int = 0) -> None:
    """Start a private Ray on this machine, or join the cluster at `address`. Raises: MerError when that fails.

    Args: feature_bytes: size of all that stays in the object store for as long as Ray runs.
    """
    with _own_handlers():
        _start(address, feature_bytes)


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's SIGTERM handler: ray.init replaces it by one that ends the process on the spot, unsaid.

    Ray has no public setting for it. Where its private name has gone, the handler is put back after the start.
    """
    import ray._private.utils as utils

    before, setter = signal.getsignal(signal.SIGTERM), getattr(utils, _SETTER, None)
    if setter is not None:  # starting takes seconds, in which a job may well be cancelled
        setattr(utils, _SETTER, lambda handler: None)
    try:
        yield
    finally:
        if setter is not None:
            setattr(utils, _SETTER, setter)
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)


def _start(address: str | None, feature_bytes: int) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    for name in ("ray.tune", "ray.train"):  # they log tracebacks of what is reported once, in words, at the end
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address is None:  # 'local' is said aloud: ray.init() would join any cluster that runs on this machine
        if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray would write one to ~/.ray
        cpus = int(this_machine().cpus)  # Ray counts processors that this process may not use
        ray.init(
            address="local",
            num_cpus=cpus,
            object_store_memory=store_bytes(feature_bytes),
            include_dashboard=False,
            _temp_dir=str(socket_folder()),
            **quiet,
        )
        return
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, runtime_env={"env_vars": QUIET_ENVIRONMENT}, **quiet)
    except AuthenticationError as fault:
        raise _no_entry(address, fault.message) from fault
    except (ConnectionError, ValueError, RuntimeError) as fault:
        if isinstance(fault, ConnectionError) and _port_answers(address):  # Ray gives no reason for a wrong token
            raise _no_entry(address, str(fault)) from fault
        raise _no_cluster(address, str(fault)) from fault
    refuse_small_nodes(feature_bytes, _stores(ray.nodes()))


def _stores(nodes: list[dict[str, Any]]) -> dict[str, float]:
    """Return the bytes of the object store of each node that trains; a head without CPUs holds no features."""
    able = [node for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0.0) > 0]
    return {node["NodeName"]: float(node["Resources"].get("object_store_memory", 0.0)) for node in able}


def session_folder() -> Path | None:
    """Return the folder that Ray has made for this process, with sockets and logs; None where Ray does not say.

    Ray never removes it.
    """
    import ray

    with contextlib.suppress(AttributeError):  # no public name leads to it
        return Path(ray.get_runtime_context().worker.node.get_session_dir_path())
    return None


def machines_at(address: str | None) -> list[Machine]:
    """Count what trials may take: of this machine, or of each node of a cluster, which is joined and left again.

    Raises: MerError when nobody answers there.
    """
    if address is None:
        return [this_machine()]
    refuse_silent(address)
    start_ray(address)
    try:
        return nodes_of_ray()
    finally:
        leave_ray()


def nodes_of_ray() -> list[Machine]:
    """Count what each node of the Ray that this process has joined has for trials."""
    import ray

    have = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(node.get("CPU", 0), node.get("GPU", 0)) for node in have]


def refuse_silent(address: str | None) -> None:
    """Refuse an address at which nobody listens; Ray would try it for minutes. Raises: MerError."""
    host, separator, port = (address or "").rpartition(":")
    if not separator or not port.isdigit():  # 'auto', or another form that Ray knows
        return
    try:
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()
    except OSError as fault:
        raise _no_cluster(str(address), str(fault)) from fault


def _port_answers(address: str) -> bool:
    """True when the address is a host and a port at which somebody listens."""
    if ":" not in address:
        return False
    try:
        refuse_silent(address)
    except MerError:
        return False
    return True


def _no_entry(address: str, reason: str) -> MerError:
    return MerError(
        f"--address {address}",
        f"what answers there does not let this driver in: another token, or no head of a Ray cluster ({reason})",
        allowed="the token with which the cluster's nodes were started",
        then="export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=TOKEN, or copy the head's ~/.ray/auth_token to ~/.ray/ here "
        "(docs/cluster.md)",
    )


def _no_cluster(address: str, reason: str) -> MerError:
    return MerError(
        f"--address {address}",
        f"no Ray cluster answers there ({reason})",
        allowed="the address that `ray start --head` prints, or auto on one of its nodes",
        then="leave --address out to run on this machine; where Ray asks for a token, see docs/cluster.md",
    )
