"""The members of a worker: built, trained together, reported; each ends alone.

One pack holds all members that can share a program. A member that cannot be packed trains by its own TrainingRun.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch

from mer.errors import TrialFailed
from mer.training.memory import is_out_of_memory
from mer.training.packed import Program, Run, build_program
from trainables.hosted import Hosted
from trainables.saving import Saver
from trainables.wire import MemberTask, Report

_IDLE_S = 0.2  # pause of a worker without members
_WRITTEN_AT_ONCE = 8  # members whose states are copied: a pack may have hundreds

Build = Callable[[MemberTask], Run]


class Members:
    """Train the trials of a slot.

    Args:
        build: makes the run of one trial; nothing is trained yet.
        tasks: the first members.
        saver: writes their files.
    Attributes:
        most: members that are trained at once; memory may make them fewer, the others then wait in here.
    """

    def __init__(self, build: Build, tasks: Iterable[MemberTask], saver: Saver) -> None:
        self.build, self.saver = build, saver
        self.hosted: list[Hosted] = []
        self.most: int | None = None
        self.add(tasks)
        self._programs: dict[tuple[int, ...], Program] = {}  # by the numbers of their members

    def add(self, tasks: Iterable[MemberTask]) -> None:
        """Host further trials, from the next epoch on. After an empty time they may be of another shape."""
        if not self.hosted:
            self.most = None
        self.hosted += [Hosted(task, self.saver) for task in tasks]

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget trials that were cut. Their files stay as they are."""
        gone = set(numbers)
        self.hosted = [member for member in self.hosted if member.task.number not in gone]

    def step(self, seconds: float) -> list[Report]:
        """Train until `seconds` are over, or a member ends, fails or is due for a verdict; save, then report.

        A member that was begun before repeats its history instead, and all wait for its verdict. Without members it
        pauses: the driver may have some soon.
        """
        if not self.hosted:
            time.sleep(min(seconds, _IDLE_S))
        begun = self._begin()
        return begun or self._train(seconds)

    # -- beginning ---------------------------------------------------------------------------------------------

    def _begin(self) -> list[Report]:
        """Build the members that are to be trained; report those that fail and those that were begun before."""
        reports = []
        for member in self._active():
            if member.run is not None:
                continue
            try:
                member.begin(partial(self.build, member.task))
            except Exception as fault:
                others = sum(other.run is not None for other in self.hosted)
                if not (is_out_of_memory(fault) and others):
                    reports.append(self._fail(member, fault))
                    continue
                self.most = others
                self.hosted.sort(key=lambda one: one.run is None)  # those that are built go on
                break
            if member.has_news:  # repeat what was said, in case nobody heard it
                reports.append(self._tell(member))
        return reports

    def _active(self) -> list[Hosted]:
        return self.hosted[: self.most]

    # -- training ----------------------------------------------------------------------------------------------

    def _train(self, seconds: float) -> list[Report]:
        deadline = time.perf_counter() + seconds
        reports: list[Report] = []
        while not reports and (groups := list(self._groups())):
            for group in groups:
                if all(member.run is not None for member in group):  # another group's fault may have released them
                    reports += self._train_group(group)
            due = any(member.is_due for member in self._active())
            if due or time.perf_counter() > deadline or any(member.run is None for member in self._active()):
                break
        return reports + self._save([member for member in self._active() if member.has_news])

    def _groups(self) -> Iterator[list[Hosted]]:
        """Split the members into those that share a program."""
        together = []
        for member in self._active():
            if member.trains_apart or not member.is_packable:
                yield [member]
            else:
                together.append(member)
        if together:
            yield together

    def _train_group(self, group: list[Hosted]) -> list[Report]:
        """Train one epoch; returns the reports of members that failed."""
        try:
            endings = self._program(group)()
        except Exception as fault:
            by_memory = is_out_of_memory(fault)
            if len(group) == 1 and not (by_memory and len(self._active()) > 1):
                return [self._fail(group[0], fault)]
            self._split(group, by_memory=by_memory)
        else:
            told = zip(group, endings, strict=True)
            return [self._fail(member, ending) for member, ending in told if isinstance(ending, TrialFailed)]
        gc.collect()  # the fault, which held the program's tensors, is gone by now
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return []

    def _program(self, group: list[Hosted]) -> Program:
        """Return the program of these members: the one of the last epoch while they are the same."""
        key = tuple(id(member.run) for member in group)
        if key not in self._programs:
            runs = [member.run for member in group if member.run is not None]
            live = {id(member.run) for member in self.hosted}
            self._programs = {
                old: program
                for old, program in self._programs.items()
                if live.issuperset(old) and set(old).isdisjoint(key)  # the others' memory is not the members' any more
            }
            self._programs[key] = build_program(runs)
        return self._programs[key]

    def _split(self, group: list[Hosted], *, by_memory: bool) -> None:
        """Go back to the members' last checkpoints: half as many at once, or each apart to find the one at fault."""
        self._programs = {}
        if by_memory:
            self.most = max(1, len(self._active()) // 2)
        for member in self.hosted if by_memory else group:
            member.release()
            member.trains_apart = not by_memory

    # -- reporting ---------------------------------------------------------------------------------------------

    def _save(self, members: Sequence[Hosted]) -> list[Report]:
        """Write the members' files side by side, and report each once its own are on disk."""
        reports: list[Report] = []
        begun: deque[Hosted] = deque()
        for member in members:
            if len(begun) == _WRITTEN_AT_ONCE:
                reports.append(self._tell(begun.popleft()))
            try:
                member.begin_to_save()
                begun.append(member)
            except Exception as fault:
                reports.append(self._fail(member, fault))
        return reports + [self._tell(member) for member in begun]

    def _tell(self, member: Hosted) -> Report:
        try:
            report = member.report()
        except Exception as fault:  # what escapes ends the worker, and with it the others' epochs
            return self._fail(member, fault)
        if report.outcome != "running":
            self._forget(member)
        return report

    def _fail(self, member: Hosted, fault: Exception) -> Report:
        report = member.failure(fault)
        self._forget(member)
        for other in self.hosted:
            other.trains_apart = False  # the one at fault is found
        return report

    def _forget(self, member: Hosted) -> None:
        self.hosted.remove(member)
