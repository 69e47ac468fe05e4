"""Failures that a user can mend, each one message: where, what was found, what is allowed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
        lines = [f"{self.where}: {self.found}"]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.then:
            lines.append(f"  next: {self.then}")
        return "\n".join(lines)


def _rebuild(cls: type[MerError], where: str, found: str, allowed: str, then: str) -> MerError:
    return cls(where, found, allowed=allowed, then=then)


class Faults(MerError):
    """Several faults of one file, reported together so that one round of editing mends them all."""

    def __init__(self, where: object, faults: list[MerError]) -> None:
        self.faults = faults
        super().__init__(where, "\n".join(fault.message for fault in faults))

    def __reduce__(self) -> tuple[object, ...]:
        return Faults, (self.where, self.faults)

    @property
    def message(self) -> str:
        return "\n".join(fault.message for fault in self.faults)


class TrialFailed(Exception):
    """A trial that cannot go on, e.g. a non-finite loss. It ends that trial only, never the study."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` when something close is known, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
