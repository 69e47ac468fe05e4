"""An address without a cluster is refused at once."""

from __future__ import annotations

import socket
import time

import pytest

from mer.errors import MerError
from mer.study.cluster.connect import refuse_silent


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(
        MerError, match=rf"(?s)--address 127.0.0.1:{port}: no Ray cluster answers there.*leave --address out"
    ):
        refuse_silent(f"127.0.0.1:{port}")
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("address", ["auto", "ray://cluster", "local"])
def test_other_forms_are_left_to_ray(address: str) -> None:
    refuse_silent(address)


def test_somebody_listens() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        refuse_silent(f"127.0.0.1:{server.getsockname()[1]}")
