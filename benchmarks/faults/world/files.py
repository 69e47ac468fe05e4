"""The file layer of the simulated world: every operation below one folder may fail, or its process die beside it.

Stand-ins for functions of `os` and for `open`. What lies elsewhere is none of its business.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.world.faults import WRITES, Operation, Plan
from benchmarks.faults.world.processes import Running

_TWO_PATHS = {"rename": "rename", "replace": "rename", "link": "link", "symlink": "symlink"}
_ONE_PATH = {"mkdir": "mkdir", "unlink": "unlink", "remove": "unlink", "rmdir": "rmdir", "chmod": "chmod"}
_ONE_PATH |= {"utime": "utime", "truncate": "truncate"}
_LOOKS = ("stat", "lstat", "readlink", "listdir", "scandir")
_VARYING = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{8}(?=\.tmp)")


class FileLayer:
    """Counts operations, asks the plan about each, and does what it says.

    Args:
        root: the folder below which operations count.
        running: whose operation it is.
    Attributes: plan: asked at every operation. Nothing fails while no process of the world runs.
    """

    def __init__(self, root: Path, running: Running, plan: Plan) -> None:
        self.root, self.running, self.plan = f"{root}/", running, plan
        self._count = 0

    def begin(self, plan: Plan) -> None:
        """Count from zero, for another command."""
        self.plan, self._count = plan, 0

    def path(self, name: Any) -> str:
        """Return the path of an operation that counts, below the root; "" for every other."""
        if isinstance(name, int) or self.running.now is self.running.outside:
            return ""
        text = os.fsdecode(name)
        return text[len(self.root) :] if text.startswith(self.root) else ""

    def operate(self, kind: str, path: str, do: Callable[[], Any], half: Callable[[], object] | None = None) -> Any:
        """Do an operation, or let it fail.

        Args: half: does half of it, where that can be.
        """
        running = self.running
        running.check()
        count, self._count = self._count, self._count + 1
        if not self.plan.asks("file", count):
            return do()
        fault = self.plan.fault(Operation("file", count, kind, _VARYING.sub("*", path), running.now.name))
        if not fault:
            return do()
        if fault in WRITES:
            raise OSError(WRITES[fault], os.strerror(WRITES[fault]), self.root + path)
        if fault == "crash inside" and half is not None:
            half()
        elif fault == "crash after":
            do()
        raise running.now.die()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand in for `os` and `open` while the block runs."""
        names = [*_TWO_PATHS, *_ONE_PATH, *_LOOKS, "open", "fsync"]
        before = {name: getattr(os, name) for name in names}
        opened = builtins.open
        for name, kind in _TWO_PATHS.items():
            setattr(os, name, self._second_path(kind, before[name]))
        for name, kind in _ONE_PATH.items():
            setattr(os, name, self._first_path(kind, before[name]))
        for name in _LOOKS:
            setattr(os, name, self._first_path("look", before[name]))
        os.open, os.fsync = self._os_open(before["open"]), self._fsync(before["fsync"], before["readlink"])
        builtins.open = io.open = self._open(opened)  # type: ignore[assignment]
        try:
            yield
        finally:
            for name, function in before.items():
                setattr(os, name, function)
            builtins.open = io.open = opened  # type: ignore[assignment]

    def _first_path(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            if below := self.path(path):
                return self.operate(kind, below, lambda: real(path, *args, **kwargs))
            return real(path, *args, **kwargs)

        return function

    def _second_path(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(source: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            if below := self.path(target):
                return self.operate(kind, below, lambda: real(source, target, *args, **kwargs))
            return real(source, target, *args, **kwargs)

        return function

    def _os_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def function(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if below := self.path(path):
                kind = "open" if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else "open to read"
                return self.operate(kind, below, lambda: real(path, flags, *args, **kwargs))
            return real(path, flags, *args, **kwargs)

        return function

    def _fsync(self, real: Callable[[Any], None], readlink: Callable[[str], str]) -> Callable[[Any], None]:
        def function(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            if below := self.path(readlink(f"/proc/self/fd/{number}")):
                return self.operate("fsync", below, lambda: None)  # nothing here outlives the machine
            return real(handle)

        return function

    def _open(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
            newline: Any = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            below = self.path(file)
            if not below or opener is not None:
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
            kind = "open to read" if not set(mode) & set("wax+") else "open"
            flags = mode.replace("b", "").replace("t", "")
            raw = self.operate(kind, below, lambda: _Raw(self, below, file, flags))
            if buffering == 0:
                return raw
            buffer: Any
            if "+" in mode:
                buffer = io.BufferedRandom(raw)
            elif kind == "open":
                buffer = io.BufferedWriter(raw)
            else:
                buffer = io.BufferedReader(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        return function


class _Raw(io.FileIO):
    """A file of the process that opened it; it reads, writes and cuts through the layer."""

    def __init__(self, layer: FileLayer, below: str, name: Any, mode: str) -> None:
        super().__init__(name, mode)
        self._layer, self._below, self._process = layer, below, layer.running.now
        self._is_full = False

    def write(self, data: Any) -> int:
        """Write; on a full disk the half that has room, and the next write is refused, as the system does."""
        if self._is_full:
            self._is_full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        content, real = bytes(data), super().write
        half = content[: len(content) // 2]
        try:
            return self._as_owner("write", lambda: real(content), lambda: real(half))
        except OSError as fault:
            if fault.errno != errno.ENOSPC or not half:
                raise
            self._is_full = True
            return real(half)

    def readinto(self, buffer: Any) -> Any:
        real = super().readinto
        return self._as_owner("read", lambda: real(buffer))

    def readall(self) -> bytes:
        real = super().readall
        return self._as_owner("read", real)

    def truncate(self, size: int | None = None) -> int:
        real = super().truncate
        return self._as_owner("truncate", lambda: real(size))

    def _as_owner(self, kind: str, do: Callable[[], Any], half: Callable[[], object] | None = None) -> Any:
        with self._layer.running.inside(self._process):
            return self._layer.operate(kind, self._below, do, half)
