"""Run a study on a simulated clock. Only training is made up: ledger, sampler, early stopping and slots are real.

A worker trains as `trainables.members` does: whole epochs of all its members until the report interval is over, a
member is due for a verdict, or one ends.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.landscape import Floats, Scores
from mer.config import TrialConfig
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.ledger import Ledger
from mer.study.search.pack_sizes import PackSizes, learning_size, queue_room
from mer.study.search.slots import REPORT_INTERVAL_S, Slots
from mer.study.space.spec import StudySpec
from mer.training import Row
from trainables.wire import MemberTask, Outcome, Report

_STEPS = 157  # of an epoch of MELD in batches of 64


@dataclass(frozen=True)
class Costs:
    """Time of training, in seconds.

    Args:
        step_ms: width of the head -> pack size -> milliseconds of a step of one member, dev included. Between sizes
            the time is interpolated.
        begin_s: to hand a slot to a worker, and to build its first member.
        member_s: to build each further member.
    """

    step_ms: Mapping[int, Mapping[int, float]]
    begin_s: float
    member_s: float

    def epoch_s(self, members: int, hidden: int) -> float:
        """Return the time of an epoch of a pack."""
        by_size = self.step_ms[hidden]
        each = float(np.interp(np.log2(members), np.log2(list(by_size)), list(by_size.values())))
        return _STEPS * members * each / 1000


@dataclass(frozen=True)
class End:
    """A finished trial: when, with which score on dev, and what its configuration is expected to score."""

    at_s: float
    score: float
    expected: float


@dataclass
class _Training:
    """A member on the simulated worker."""

    task: MemberTask
    scores: Floats
    epoch: int = 0
    told: int = 0
    seconds: list[float] = field(default_factory=list)  # of each epoch, its share of the pack's

    @property
    def is_over(self) -> bool:
        return self.epoch == len(self.scores)

    @property
    def is_due(self) -> bool:
        return self.is_over or self.epoch in self.task.decision_epochs

    def report(self, metric: str) -> Report:
        rows = [
            {
                "epoch": float(epoch + 1),
                "timestamp_ms": 0.0,
                "seconds": self.seconds[epoch],
                metric: float(self.scores[epoch]),
            }
            for epoch in range(self.told, self.epoch)
        ]
        self.told = self.epoch
        return Report(self.task.number, rows, "finished" if self.is_over else "running")


@dataclass
class _Worker:
    """A simulated process: its slot and members; `idle` when there was nothing to host."""

    slot: str = ""
    members: list[_Training] = field(default_factory=list)


@dataclass
class _Draws:
    """A listener that keeps each trial's parameters and its end."""

    landscape: Scores
    seed: int
    metric: str
    now: float = 0.0
    curves: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)  # scores, and what was expected
    ends: list[End] = field(default_factory=list)

    def trial_started(self, number: int, params: dict[str, Any], config: TrialConfig | None) -> None:
        expected = self.landscape.expected(params, self.seed)
        self.curves[number] = (expected + self.landscape.noise(self.seed, number), expected)

    def trial_placed(self, number: int, *, has_worker: bool) -> None:
        return None

    def trial_rows(self, number: int, rows: list[Row]) -> None:
        return None

    def trial_ended(self, number: int, outcome: Outcome, best: Row | None, reason: str) -> None:
        if outcome == "finished" and best is not None:
            self.ends.append(End(self.now, best[self.metric], float(self.curves[number][1].max())))


def simulate(spec: StudySpec, landscape: Scores, costs: Costs, folder: Path) -> tuple[list[End], float]:
    """Run a study to its end.

    Args: folder: empty; the study's journal is written there.
    Returns: its finished trials in the order of their ends, and how long it took, in seconds of the simulated clock.
    """
    metric = spec.objective[0].metric
    heard = _Draws(landscape, spec.sampler.seed, metric)
    engine = StudyEngine(spec, Ledger(folder, spec), build_policy(spec.budget, spec.scheduler), [heard])
    workers = [_Worker() for _ in range(spec.resources.workers or 1)]
    most = learning_size(spec.sampler, spec.budget.trials, len(spec.points), len(workers))
    sizes = PackSizes(spec.resources, len(workers), lambda: engine.unfinished, most)
    slots = Slots(engine, folder, lambda config: {}, sizes, room=queue_room(spec.sampler, spec.budget.trials))
    order, names = itertools.count(), itertools.count()
    ends: list[tuple[float, int, _Worker]] = []  # of each busy worker's step

    known: dict[int, _Training] = {}  # a member that another worker takes over goes on where it was

    def host(worker: _Worker, tasks: tuple[MemberTask, ...]) -> None:
        for task in tasks:
            before = known.get(task.number)
            scores = heard.curves[task.number][0]
            known[task.number] = (
                _Training(task, scores) if before is None else replace(before, task=task, epoch=before.told)
            )
            worker.members.append(known[task.number])

    def train(worker: _Worker, building: float) -> None:
        took = 0.0 if worker.members else REPORT_INTERVAL_S  # an idle worker waits for members of another
        while took < REPORT_INTERVAL_S and not (took and any(member.is_due for member in worker.members)):
            epoch_s = costs.epoch_s(len(worker.members), worker.members[0].task.config["head"]["hidden"])
            took += epoch_s
            for member in worker.members:
                member.epoch += 1
                member.seconds[member.epoch - 1 :] = [epoch_s / len(worker.members)]
        heapq.heappush(ends, (heard.now + building + took, next(order), worker))

    def fill_the_idle() -> None:
        for worker in workers:
            if not worker.slot:
                name = str(next(names))
                slot = slots.fill(name)
                if slot is not None:
                    worker.slot = name
                    host(worker, slot.members)
                    train(worker, costs.begin_s + costs.member_s * (len(slot.members) - 1))

    fill_the_idle()
    while ends:
        heard.now, _, worker = heapq.heappop(ends)
        change = slots.record(worker.slot, [member.report(metric) for member in worker.members])
        worker.members = [m for m in worker.members if not m.is_over and m.task.number not in change.drop]
        if change.is_over:
            slots.close(worker.slot, lost=False)
            worker.slot, worker.members = "", []
        else:
            host(worker, change.add)
            train(worker, costs.member_s * len(change.add))
        fill_the_idle()
    return heard.ends, heard.now
