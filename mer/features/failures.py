"""Clips that could not be read: the reasons by kind, and the share of failures at which an extraction ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mer.errors import MerError
from mer.read_files import read_object
from mer.terminal.commands import command

EXAMPLES = 3
_VARYING = (
    (re.compile(r"'[^']*'"), "'...'"),  # paths
    (re.compile(r"(?!0\b)\d+(\.\d+)?(e[+-]?\d+)?"), "N"),  # counts, lengths, numbers of frames; 0 says something
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A kind of fault: its words without what varies from clip to clip, how many clips have it, the first of them."""

    kind: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failures:
    """Clips of one split that could not be read.

    Args:
        title: dataset, split and encoder, for people.
        clips: of the split, in all.
        reasons: the most frequent first.
        record: the file that has every clip and its reason; None: there is none yet.
    """

    title: str
    clips: int
    reasons: tuple[Reason, ...] = ()
    record: Path | None = None

    @property
    def count(self) -> int:
        return sum(reason.count for reason in self.reasons)

    def table(self) -> list[str]:
        """Write a line per reason: count, kind, first examples."""
        width = max((len(reason.kind) for reason in self.reasons), default=0)
        return [f"{r.count:6}  {r.kind:{width}}  {_first(r)}" for r in self.reasons]

    def brief(self) -> str:
        """Sum up in one line."""
        said = ", ".join(f"{reason.kind} ({reason.count})" for reason in self.reasons)
        return f"{self.title}: {self.count} of {self.clips} clips could not be read: {said}"

    def as_json(self) -> dict[str, Any]:
        return {"clips": self.clips, "failed": self.count, "reasons": [asdict(reason) for reason in self.reasons]}


class TooManyFailed(MerError):
    """More clips of a split failed than the user allows. `faults`: each of them -> why."""

    faults: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class FailureWatch:
    """Gathers faults while clips are read, and ends the reading when their share is above the limit.

    Args:
        clips: rows of the split.
        most: largest share that may fail, in [0, 1]; None: any.
        root: folder of the data, for the advice.
        mend: the advice, where what failed is no clip.
    """

    title: str
    clips: int
    most: float | None = None
    root: str | Path = "ROOT"
    mend: str = ""
    faults: dict[str, str] = field(default_factory=dict)

    def add(self, faults: Mapping[str, str]) -> None:
        """Note faults by clip. Raises: TooManyFailed."""
        self.faults |= faults
        if self.most is None or len(self.faults) <= self.most * self.clips:
            return
        found = Failures(self.title, self.clips, reasons_of(self.faults))
        kinds = "; ".join(f"{reason.kind} ({reason.count}: {_first(reason)})" for reason in found.reasons[:5])
        mend = self.mend or f"mend the clips: `{command('mer.data', 'check', self.root, '--clips')}` lists them all"
        enough = min(1.0, -(-100 * found.count // self.clips) / 100)
        fault = TooManyFailed(
            self.title,
            f"stopped: {found.count} of {self.clips} clips cannot be read so far: {kinds}",
            allowed=f"at most {share_words(self.most)} of them (max_failed)",
            then=f"{mend}; or allow more: --max-failed {share_words(enough)} lets this split pass",
        )
        fault.faults = dict(self.faults)
        raise fault


def reasons_of(faults: Mapping[str, str]) -> tuple[Reason, ...]:
    """Group faults (clip -> words) by kind, the most frequent first."""
    of: dict[str, list[str]] = {}
    for clip, words in faults.items():
        of.setdefault(kind_of(words), []).append(clip)
    found = [Reason(kind, len(clips), tuple(clips[:EXAMPLES])) for kind, clips in of.items()]
    return tuple(sorted(found, key=lambda reason: -reason.count))


def kind_of(words: str) -> str:
    """Take out of a fault's words what differs between clips with the same fault."""
    for pattern, name in _VARYING:
        words = pattern.sub(name, words)
    return words


def read_card(path: Path) -> dict[str, Any]:
    """Read the sidecar of a feature file; {} if there is none that can be read."""
    try:
        return read_object(path.with_suffix(".json"))
    except (OSError, ValueError):
        return {}


def failed_record(path: Path) -> Path:
    """The file beside a feature file's place in which a reading that was ended leaves its faults."""
    return path.with_suffix(".failed.json")


def share_words(share: float) -> str:
    return f"{100 * share:g}%"


def as_share(value: object) -> float:
    """Read a share as people write it: 5%, '5 %' or 0.05. Raises: ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"got {value!r}: write a share such as 5% or 0.05")
    text = str(value).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"got {value!r}: write a share such as 5% or 0.05") from None
    if not 0 <= share <= 1:
        raise ValueError(f"got {value!r}, which is {share:g}: a share lies between 0% and 100%, such as 5% or 0.05")
    return share


def _first(reason: Reason) -> str:
    return ", ".join(reason.examples) + (", ..." if reason.count > len(reason.examples) else "")
