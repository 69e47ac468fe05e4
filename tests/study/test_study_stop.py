"""Signals that stop a study, without Ray: who hears them, and whom they spare."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mer.study.cluster.connect import start_ray
from mer.study.search.stop_request import SIGNALS, StopSignal, children_spared


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    """A study's stop request; whatever a test does to the handlers is undone."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield StopSignal(SimpleNamespace(stopped=False), None)  # type: ignore[arg-type]
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_for_an_orderly_stop_and_a_second_ctrl_c_interrupts(stop, number):
    with stop.listening():
        os.kill(os.getpid(), number)
        assert stop.wanted and stop.interrupted
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
        for impatient in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), impatient)


def test_handlers_are_taken_again_from_a_library_and_given_back_at_the_end(stop):
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with stop.listening():
        signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("the library's handler was called"))
        stop.listen()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.wanted
    assert {number: signal.getsignal(number) for number in SIGNALS} == before


def test_nohup_is_respected(stop):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop.wanted
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_children_started_in_the_block_outlive_a_signal_to_the_whole_job(stop, number):
    with stop.listening():
        with children_spared():
            spared = subprocess.Popen(["sleep", "60"])
            signal.pthread_kill(threading.get_ident(), number)  # to this thread: others may take what is for all
            assert not stop.wanted, "it is delivered at the end of the block"
        assert stop.wanted
        other = subprocess.Popen(["sleep", "60"])
        try:
            for child in (spared, other):
                child.send_signal(number)
            assert other.wait(10) == -number
            with pytest.raises(subprocess.TimeoutExpired):
                spared.wait(0.2)
        finally:
            spared.kill()
            spared.wait()


def test_a_signal_while_ray_starts_is_heard_too(stop, monkeypatch):
    ray = pytest.importorskip("ray")
    assert "utils.set_sigterm_handler(" in inspect.getsource(ray.init.__wrapped__), "what connect.py holds back"

    def init(**how: object) -> None:
        ray._private.utils.set_sigterm_handler(lambda number, frame: sys.exit(number))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ray, "init", init)
    before = ray._private.utils.set_sigterm_handler
    with stop.listening():
        start_ray(None)
        assert stop.interrupted
    assert ray._private.utils.set_sigterm_handler is before
