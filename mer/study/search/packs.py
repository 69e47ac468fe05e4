"""Choose which trials share a worker: those of one shape. Others wait for the next slot. No Ray in here.

A trial is asked for as late as possible, when a place is free: what is drawn later knows more. An asked trial whose
shape does not fit waits in the queue. It is RUNNING in Optuna without rows, so a kill hands it out again.

Trials whose pack has died share a worker with fewer others each time (`StudyEngine.lost`), and only with such trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mer.config import TrialConfig
from mer.study.search.ledger import Assignment
from mer.training.packed.shape import shape_of


class Asking(Protocol):
    """What is needed of the StudyEngine."""

    @property
    def bereft(self) -> Sequence[int]: ...
    @property
    def drained(self) -> bool: ...
    def next_trial(self) -> tuple[Assignment, TrialConfig] | None: ...
    def pack_limit(self, number: int) -> int | None: ...


@dataclass(frozen=True)
class Asked:
    """A trial that was drawn, or handed out again.

    Args:
        shape: trials of equal shapes can share a worker; None: it trains alone.
        limit: most trials that may share its worker; None: as many as fit. Trials share one only with equal limits.
    """

    number: int
    config: TrialConfig
    shape: str | None
    limit: int | None = None

    def fits(self, like: Asked) -> bool:
        """Tell whether it can share a worker with another trial."""
        return (self.shape, self.limit) == (like.shape, like.limit)


class Packs:
    """Ask the engine for trials and group them.

    Args:
        engine: hands out trials one by one.
        size: says how many trials like this one a worker takes; asked again each time, as a study's end is near.
        room: most trials that wait, where that is more than a pack has. A long queue makes packs of many shapes larger,
            and is asked for before results that a sampler might have learned from.
    """

    def __init__(self, engine: Asking, size: Callable[[TrialConfig], int], room: int = 0) -> None:
        self.engine, self.size, self.room = engine, size, room
        self.queue: list[Asked] = []  # oldest first
        self._fits: dict[str, int] = {}  # shape -> trials that memory was found to hold

    def start(self) -> list[Asked]:
        """Return the members of a new slot: the trial that waits longest, and others of its shape; [] for none now."""
        first = self.queue.pop(0) if self.queue else self._ask()
        if first is None:
            return []
        return [first, *self.join(first, 1)]

    def join(self, like: Asked, present: int) -> list[Asked]:
        """Return further members for a slot, from the queue first.

        Args:
            like: a member of the slot, or one that was.
            present: members that are in the slot.
        """
        if self.is_dry or like.shape is None:
            return []
        size = self.places(like)
        found = [waiting for waiting in self.queue if waiting.fits(like)][: max(0, size - present)]
        taken = {member.number for member in found}
        self.queue = [waiting for waiting in self.queue if waiting.number not in taken]
        room = max(size, self.room)
        while present + len(found) < size and len(self.queue) < room:
            asked = self._ask()
            if asked is None:
                break
            (found if asked.fits(like) else self.queue).append(asked)
        return found

    @property
    def is_dry(self) -> bool:
        """True when nobody waits and the engine has nothing to hand out now."""
        return not self.queue and not self.engine.bereft and self.engine.drained

    def places(self, like: Asked) -> int:
        """Return how many trials like this one a slot takes now."""
        if like.shape is None:
            return 1
        size = self.size(like.config)
        return min(size, self._fits.get(like.shape, size), like.limit or size)

    def limit(self, like: Asked, fits: int) -> bool:
        """Note how many trials of a shape memory holds; True when that is news."""
        if like.shape is None or fits >= self._fits.get(like.shape, fits + 1):
            return False
        self._fits[like.shape] = fits
        return True

    def _ask(self) -> Asked | None:
        following = self.engine.next_trial()
        if following is None:
            return None
        assignment, config = following
        shape, limit = shape_of(config), self.engine.pack_limit(assignment.number)
        alone = not shape.is_packable or limit == 1
        return Asked(assignment.number, config, None if alone else shape.key, limit)
