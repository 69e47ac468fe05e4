"""Know which trial numbers each slot hosts: fill a slot, take in its reports, close it. No Ray in here.

A Ray trial is only a slot. The engine decides about trial numbers and never hears of slots; Ray places slots and never
hears of trial numbers; this module stands between them. A verdict is for one number. The place of a member that is over
is filled by a trial of the same shape while others of the slot go on. An empty slot is over when there is work that can
start in a new one. Near the end of a study there is none: then the empty slot stays and takes half of the members of
another. They go on from their checkpoints, so their numbers do not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mer.config import TrialConfig
from mer.study.paths import trial_folder
from mer.study.search.engine import StudyEngine
from mer.study.search.packs import Asked, Packs
from trainables.proof import Proof
from trainables.wire import MemberTask, Report, Slot

REPORT_INTERVAL_S = 0.5  # short trials put several epochs into one report: a report costs Ray more than it costs us
_WORTH_MOVING_S = 3.0  # of training that a slot has left: less is sooner done than shared out
_MOST_STILLBORN = 5  # so many workers in a row that die before they begin, and the study stops


@dataclass(frozen=True)
class Change:
    """What a slot's reports mean for its worker.

    Args:
        drop: members that were cut, or go on in another slot.
        add: members that take the places of those that are over, or come from another slot.
        is_over: no member goes on, and none is to be had.
    """

    drop: tuple[int, ...] = ()
    add: tuple[MemberTask, ...] = ()
    is_over: bool = False


@dataclass
class _Hosting:
    """A slot's members that are not over, one that says of which shape they are, and how many it had places for.

    Attributes:
        coming: members of another slot that it gets when it reports next.
        begun: a worker has it.
    """

    like: Asked
    places: int
    numbers: set[int] = field(default_factory=set)
    begun: bool = False
    coming: list[Asked] = field(default_factory=list)


class Slots:
    """The book of slots and their members.

    Args:
        engine: decides what runs next and who is cut.
        study: folder of the study; it need not be absolute.
        features_of: a trial's feature files, as MemberTask has them.
        size: members of a pack of trials like the given one.
        say: prints a line for the user.
        room: most trials that wait for a slot of their shape, as Packs has it.
        proof: asked of every worker before its first epoch.
        lacking: says which file is not there for the driver though a report speaks of it, as `lacking_file` does.
    """

    def __init__(
        self,
        engine: StudyEngine,
        study: Path,
        features_of: Callable[[TrialConfig], Mapping[str, Mapping[str, str]]],
        size: Callable[[TrialConfig], int] = lambda config: 1,
        say: Callable[[str], None] = lambda text: None,
        room: int = 0,
        proof: Proof | None = None,
        lacking: Callable[[Path, Report, Collection[int]], str] = lambda *_: "",
    ) -> None:
        self.engine, self.study, self.features_of, self.say = engine, study, features_of, say
        self.proof, self.lacking = proof, lacking
        self.packs = Packs(engine, size, room)
        self.hosted: dict[str, _Hosting] = {}
        self._idle: list[str] = []  # empty slots that wait for members of others
        self._stillborn = 0

    @property
    def occupied(self) -> list[tuple[int, int]]:
        """Trials and places of every slot that has some."""
        return [(len(one.numbers), one.places) for one in self.hosted.values() if one.numbers]

    def fill(self, slot_id: str) -> Slot | None:
        """Take the engine's next trials into a slot; None when there are none now."""
        members = self.packs.start()
        if not members:
            return None
        self.hosted[slot_id] = _Hosting(
            members[0], self.packs.places(members[0]), {member.number for member in members}
        )
        resources = self.engine.spec.resources
        tasks = tuple(self._place(member) for member in members)
        return Slot(tasks, REPORT_INTERVAL_S, resources.threads, resources.device, self.proof)

    def begun(self, slot_id: str) -> None:
        """Note that a worker has taken a slot: until then its death is no doing of the slot's members."""
        if (hosting := self.hosted.get(slot_id)) is not None:
            hosting.begun = True
        self._stillborn = 0

    def record(self, slot_id: str, reports: Iterable[Report], fits: int | None = None) -> Change:
        """Take in what a worker reports of its members.

        Args: fits: members that the worker's memory holds, where it was found out.
        """
        hosting = self.hosted.get(slot_id)
        if hosting is None:  # given up: its trials may be with others now
            return Change(is_over=True)
        drop: list[int] = []
        for report in reports:
            if report.number not in hosting.numbers or self._take_in(report):
                drop += [report.number] if report.outcome == "running" else []
                hosting.numbers.discard(report.number)
        if not hosting.numbers:
            return self._offer(slot_id, hosting)
        if fits is not None:
            hosting.places = min(hosting.places, fits)
            self._learn(hosting, fits)
        if self._idle and self._gives(hosting):
            drop += self._move_half(hosting, self.hosted[self._idle.pop(0)])
        if len(hosting.numbers) >= hosting.places:
            return Change(tuple(drop))
        joining = self.packs.join(hosting.like, len(hosting.numbers))
        hosting.numbers |= {member.number for member in joining}
        return Change(tuple(drop), tuple(self._place(member) for member in joining))

    def _take_in(self, report: Report) -> bool:
        """Tell the engine of a report; True when its trial is over for this worker."""
        number = report.number
        if report.note:
            self.say(f"trial {number}: {report.note}")
        try:
            lacking = self.lacking(self.study, report, self.engine.policy.decision_epochs(number))
        except OSError as fault:
            self.engine.block(fault)
            return True
        if not lacking and report.outcome != "lost":
            return self.engine.record(report)
        self.engine.lost(number, f"the driver finds nothing of what it wrote: {lacking}" if lacking else report.reason)
        return True

    def refuse(self, slot_id: str) -> None:
        """Give up a slot whose worker cannot do its work. Its members go elsewhere, which counts as no loss."""
        self.close(slot_id, lost=False)

    def close(self, slot_id: str, *, lost: bool) -> None:
        """Forget a slot that Ray has ended; those of its members that were not over are handed out again.

        Args: lost: its worker died by itself, which is counted where it had begun.
        """
        hosting = self.hosted.pop(slot_id, None)
        self._idle = [idle for idle in self._idle if idle != slot_id]
        if hosting is None:
            return
        self.packs.queue[:0] = hosting.coming  # no worker had them
        members = sorted(hosting.numbers)
        if not (lost and hosting.begun):
            for number in members:
                self.engine.released(number)
            self._stillborn += lost
            if self._stillborn == _MOST_STILLBORN:
                advice = "see whether the machine ran out of memory, and what Ray's logs say"
                self.engine.block(f"{_MOST_STILLBORN} workers in a row died before they began a trial", advice)
            return
        if len(members) > 1 and not self.engine.stopped:
            most = len(members) // 2
            rest = f"in packs of {most} at most" if most > 1 else "each alone"
            self.say(f"a worker died with {len(members)} trials: they go on {rest}, until it shows which one kills it")
        for number in members:
            self.engine.lost(number, shared_by=len(members))

    def _offer(self, slot_id: str, hosting: _Hosting) -> Change:
        """Keep an empty slot while it can take members of another; it reports again and again meanwhile."""
        if hosting.coming:
            members, hosting.coming = hosting.coming, []
            hosting.like, hosting.numbers = members[0], {member.number for member in members}
            hosting.places = len(members)
            return Change(add=tuple(self._place(member) for member in members))
        waits = self.packs.is_dry and not self.engine.stopped and self._may_any_give()
        if not waits:
            self._idle = [idle for idle in self._idle if idle != slot_id]
            return Change(is_over=True)
        if slot_id not in self._idle:
            self._idle.append(slot_id)
        return Change()

    def _may_any_give(self) -> bool:
        """Tell whether a slot has, or may turn out to have, members that are worth moving."""
        return any(self._shareable(slot, unheard=math.inf) > _WORTH_MOVING_S for slot in self.hosted.values())

    def _gives(self, hosting: _Hosting) -> bool:
        """Tell whether a slot that has just reported has members to move, and none is known to have more."""
        own = self._shareable(hosting, unheard=math.inf)
        return own > _WORTH_MOVING_S and own >= max(self._shareable(slot, 0.0) for slot in self.hosted.values())

    def _shareable(self, hosting: _Hosting, unheard: float) -> float:
        """Estimate the training that a slot has left, in seconds; 0 with one member, which stays.

        Args: unheard: what a member counts that has reported no epoch.
        """
        if len(hosting.numbers) < 2:
            return 0.0
        return sum(self.engine.seconds_left(number, unheard) for number in hosting.numbers)

    def _move_half(self, giving: _Hosting, taking: _Hosting) -> list[int]:
        """Move half of a slot's members, those with most to train, to an empty one, as far as it has places for them.

        Returns: their numbers.
        """
        by_rest = sorted(giving.numbers, key=lambda number: (-self.engine.seconds_left(number, math.inf), number))
        moved = by_rest[: min(len(by_rest) // 2, self.packs.places(giving.like))]
        giving.numbers -= set(moved)
        giving.places = len(giving.numbers)
        taking.coming = [replace(giving.like, number=one, config=self.engine.config_of(one)) for one in moved]
        return moved

    def _learn(self, hosting: _Hosting, fits: int) -> None:
        if self.packs.limit(hosting.like, fits):
            self.say(
                f"memory holds {fits} trials like trial {hosting.like.number} at once: packs are smaller from now on"
            )

    def _place(self, member: Asked) -> MemberTask:
        """Note that a worker has the trial, and return what it gets to know of it."""
        self.engine.placed(member.number)
        return MemberTask(
            number=member.number,
            folder=trial_folder(self.study, member.number).resolve(),
            config=member.config.model_dump(mode="json"),
            features=self.features_of(member.config),
            decision_epochs=tuple(self.engine.policy.decision_epochs(member.number)),
        )
