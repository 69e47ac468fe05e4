"""Put the simulated world in the place of the real one: clock, threads, files, MLflow, random names.

Names that modules of the product have imported are replaced one by one, and put back.
"""

from __future__ import annotations

import concurrent.futures
import gc
import importlib
import os
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import filelock
import mlflow
import ray
import safetensors
import safetensors.torch

from benchmarks.faults.world.processes import Process, Running
from mer.study.tracking.usable import refuse_unusable
from mer.training.packed import build_program

_OF_THE_PRODUCT = ("mer.study.", "mer.checkpoints", "mer.files", "mer.io_faults", "mer.locks", "trainables")
_MODULES = ("mer.study.runner", "trainables.base", "mer.study.tracking.tracker", "mer.study.audit.command")
_REPLACED: dict[str, Any] = {
    "time": time,
    "threading": threading,
    "queue": queue,
    "uuid": uuid,
    "ThreadPoolExecutor": concurrent.futures.ThreadPoolExecutor,
    "FileLock": filelock.FileLock,
    "safe_open": safetensors.safe_open,
    "save_file": safetensors.torch.save_file,
    "build_program": build_program,
    "gc": gc,
    "refuse_unusable": refuse_unusable,
    "ray": ray,
}


@cache
def _places() -> list[tuple[Any, str]]:
    """Find where the product has names that are replaced: module and name."""
    for name in _MODULES:
        importlib.import_module(name)
    return [
        (module, name)
        for title, module in sorted(sys.modules.items())
        if title.startswith(_OF_THE_PRODUCT)
        for name, real in _REPLACED.items()
        if getattr(module, name, None) is real
    ]


@contextmanager
def standing_in(names: dict[str, Any], client: Callable[[str], Any], runner: dict[str, Any]) -> Iterator[None]:
    """Replace names for the time of the block.

    Args:
        names: of `_REPLACED` -> stand-in.
        client: makes what stands in for `mlflow.MlflowClient`.
        runner: names of `mer.study.runner` -> stand-in.
    """
    module = importlib.import_module("mer.study.runner")
    places = [(place, name, names[name]) for place, name in _places() if name in names]
    places += [(module, name, value) for name, value in runner.items()] + [(mlflow, "MlflowClient", client)]
    before = [(place, name, getattr(place, name)) for place, name, _ in places]
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = "http://mlflow"
    try:
        for place, name, value in places:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
        os.environ.pop("MLFLOW_TRACKING_URI")
        os.environ.update({"MLFLOW_TRACKING_URI": uri} if uri is not None else {})


class Names:
    """Stands in for the module `uuid`: names differ, and are the same in every run."""

    def __init__(self) -> None:
        self._count = 0

    def uuid4(self) -> uuid.UUID:
        self._count += 1
        return uuid.UUID(int=(self._count * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128, version=4)


def locks_of(running: Running) -> Any:
    """Return a stand-in for `FileLock`: a lock that its process's death releases."""
    held: dict[str, Process] = {}

    class Lock:
        def __init__(self, path: Any, *_: Any, **__: Any) -> None:
            self.path = str(path)

        def acquire(self, timeout: float = -1, **_: Any) -> Lock:
            running.check()
            owner = held.get(self.path)
            if owner is not None and owner.alive and owner is not running.now:
                raise filelock.Timeout(self.path)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR))
            held[self.path] = running.now
            return self

        def release(self, force: bool = False) -> None:
            held.pop(self.path, None)

        def __enter__(self) -> Lock:
            return self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    return Lock
