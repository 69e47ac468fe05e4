"""Failures that a user can mend, each one message: where, what was found, what is allowed, what to do next."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from typing import Any

MOST_CHARACTERS = 2000  # of each part of a message
MOST_FAULTS = 20  # of one file, in a message
_BRIEF_CHARACTERS, _BRIEF_ITEMS, _BRIEF_LEVELS = 200, 12, 4  # of a value in a message
_MEANT_AT_MOST = 3  # names in one advice


class MerError(Exception):
    """A fault the user can mend. Commands print it without a traceback and exit with code 2.

    Args:
        where: the file, line, key or folder at fault.
        found: what was found there.
        allowed: what would have been right, if it helps.
        then: the next move, a command where there is one.
    """

    def __init__(self, where: object, found: str, *, allowed: str = "", then: str = "") -> None:
        self.where, self.found, self.allowed, self.then = str(where), found, allowed, then
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments do not survive the default pickling (Ray)
        return _rebuild, (type(self), self.where, self.found, self.allowed, self.then)

    @property
    def message(self) -> str:
        lines = [f"{_cut(self.where)}: {_cut(self.found)}"]
        if self.allowed:
            lines.append(f"  allowed: {_cut(self.allowed)}")
        if self.then:
            lines.append(f"  next: {_cut(self.then)}")
        return "\n".join(lines)


def _rebuild(cls: type[MerError], where: str, found: str, allowed: str, then: str) -> MerError:
    return cls(where, found, allowed=allowed, then=then)


class Faults(MerError):
    """Several faults of one file, reported together so that one round of editing mends them all."""

    def __init__(self, where: object, faults: list[MerError]) -> None:
        self.faults = faults
        super().__init__(where, "\n".join(fault.message for fault in faults[:MOST_FAULTS]))

    def __reduce__(self) -> tuple[object, ...]:
        return Faults, (self.where, self.faults)

    @property
    def message(self) -> str:
        lines = [fault.message for fault in self.faults[:MOST_FAULTS]]
        if more := len(self.faults) - MOST_FAULTS:
            lines += [f"{_cut(self.where)}: and {more} more"] if more > 0 else []
        return "\n".join(lines)


class TrialFailed(Exception):
    """A trial that cannot go on, e.g. a non-finite loss. It ends that trial only, never the study."""


def brief(value: Any, *, quoted: bool = True) -> str:
    """Write a value for a message as YAML has it, cut where it is long or deep, without reading all of it.

    Args: quoted: False leaves out the quotes of text, not what they do to characters that a terminal would obey.
    """
    text = _cut(_repr(value, 0), _BRIEF_CHARACTERS)
    return text[1:-1] if isinstance(value, str) and not quoted else text


def _repr(value: Any, level: int) -> str:
    if isinstance(value, str):
        return repr(_cut(value, _BRIEF_CHARACTERS - 40))
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if not isinstance(value, list | tuple | dict):
        return repr(value)
    left, right = ("{", "}") if isinstance(value, dict) else ("[", "]") if isinstance(value, list) else ("(", ")")
    if level == _BRIEF_LEVELS:
        return f"{left}...{right}"
    keys = itertools.islice(value, _BRIEF_ITEMS)
    if isinstance(value, dict):
        items = [f"{_repr(key, level + 1)}: {_repr(value[key], level + 1)}" for key in keys]
    else:
        items = [_repr(item, level + 1) for item in keys]
    more = [f"... {len(value) - _BRIEF_ITEMS} more"] if len(value) > _BRIEF_ITEMS else []
    return left + ", ".join([*items, *more]) + right


def _cut(text: str, most: int = MOST_CHARACTERS) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - 40]} ... ({len(text)} characters)"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` when something close is known, else an empty string.

    Of a dotted name that lacks a part in the middle (`loss.kind`) all that have it are named, up to three.
    """
    names, (first, *rest) = list(known), word[:200].split(".")
    between = [
        name for name in sorted(names) if rest and name.startswith(f"{first}.") and name.endswith(f".{rest[-1]}")
    ]
    if 1 < len(between) <= _MEANT_AT_MOST and word not in between:
        return f" Did you mean {', '.join(map(repr, between[:-1]))} or {between[-1]!r}?"
    close = difflib.get_close_matches(word[:200], names, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
