"""Servers of ours listen on this machine only."""

from __future__ import annotations

import socket

from mer.errors import MerError

HOST = "127.0.0.1"


def refuse_taken_port(port: int) -> None:
    """Raise MerError when somebody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise MerError(f"{HOST}:{port}", "is taken", then=f"choose another: --port {port + 1}") from None
