"""What a hostile input is, and the door that it comes to: a function of ours that reads a file which a user names.

A module `doors_*.py` in this folder lists its doors as `DOORS`. Each says how to make inputs and how to read one:

    def read(path: Path) -> None:
        config = read_thing(path)              # MerError: refused
        assert config.value > 0                # accepted, and right: an AssertionError is an outcome "wrong"

    DOORS = [Door("thing.json", read, kinds, mutants)]

`kinds` are made by hand, one for each kind of mistake or attack; `mutants` are drawn, as many as are asked for.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Input:
    """One hostile input.

    Args:
        kind: a few words on what is wrong with it; equal words are counted together.
        write: writes it into an empty folder of its own, and returns the path that the door is given.
        must: "refused" where accepting it is wrong, "accepted" where refusing it is; "" where both are right.
    """

    kind: str
    write: Callable[[Path], Path]
    must: Literal["", "refused", "accepted"] = ""


def file_input(kind: str, name: str, content: bytes | str, must: Literal["", "refused", "accepted"] = "") -> Input:
    """Make an input that is one file."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return folder / name

    return Input(kind, write, must)


@dataclass(frozen=True)
class Door:
    """A reader of ours.

    Args:
        name: in tables; a file's name or a command.
        read: called in the worker. It raises MerError (or OSError, which commands put into words) to refuse, and
            AssertionError where something was accepted and is not right.
        kinds: makes the inputs that were thought of. Its argument is a folder of the door's own that lasts for a run,
            for what takes long to make once.
        mutants: draws as many others as are asked for; the same folder, and a generator with a fixed seed.
    """

    name: str
    read: Callable[[Path], Any]
    kinds: Callable[[Path], Sequence[Input]]
    mutants: Callable[[Path, random.Random], Iterator[Input]]


@cache
def all_doors() -> dict[str, Door]:
    """Import every `doors_*.py` and return the doors by name."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    modules = [importlib.import_module(path.stem) for path in sorted(HERE.glob("doors_*.py"))]
    doors = [door for module in modules for door in module.DOORS]
    assert len({door.name for door in doors}) == len(doors), "two doors have one name"
    return {door.name: door for door in doors}


def drawn(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """Draw values from a Hypothesis strategy, the same ones at every call."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(value: Any) -> None:
        found.append(value)

    keep()
    return found
