"""Ray of the simulated world: nodes with workers that come, compute and go. It takes the place of `run_trials`.

The product's hooks for Ray Tune and its Trainable are the real ones. What Ray does between them is written down here as
it was observed (mer.study.cluster.tune_hooks).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.world.clock import Clock
from benchmarks.faults.world.placed import Moments, Placed, Worker, node_id
from benchmarks.faults.world.processes import Crash, Process, Running
from benchmarks.faults.world.threads import Hub, Stall
from benchmarks.faults.world.training import ToyRun
from mer.study.cluster.lost_workers import LostWorkers
from mer.study.cluster.shared_folder import SharedFolder
from mer.study.cluster.tune_hooks import EngineScheduler, EngineSearcher
from mer.study.search.lacking_files import lacking_file
from mer.study.search.slots import Slots
from mer.study.search.stop_request import StopSignal
from trainables.base import MerTrainable
from trainables.proof import PROOF
from trainables.wire import MemberTask

_BACK_S, _SLOW_S, _START_S, _ANSWER_S = 30.0, 45.0, 0.5, 0.01
_MOST_EVENTS = 20_000


@dataclass
class Cluster:
    """Nodes, their workers, and what the driver has running there.

    Args:
        nodes: places for workers on each node.
        driver: the process that runs the study.
    """

    nodes: list[int]
    driver: Process
    clock: Clock
    hub: Hub
    running: Running
    moments: Moments
    away: dict[int, float] = field(default_factory=dict)  # node -> when it is back
    lives: Counter[int] = field(default_factory=Counter)  # node -> how often it was lost
    workers: list[Worker] = field(default_factory=list)
    idle: list[Worker] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    stop: StopSignal | None = None
    shared: SharedFolder | None = None

    def run_trials(
        self,
        engine: Any,
        plan: Any,
        folder: Any,
        address: str | None,
        tick: Callable[[], None],
        stop: Any,
        say: Any,
        give_up: Any,
        go_on: str,
    ) -> None:
        """Stand in for `mer.study.cluster.trials.run_trials`."""
        self.stop = stop
        resources = engine.spec.resources
        self.shared = shared = SharedFolder(folder, engine, say, self._known)
        slots = Slots(engine, folder, plan.of, lambda config: resources.pack, say, 8, shared.proof, lacking_file)
        try:
            node_of = lambda placed: placed.worker.node_id if placed.worker else ""  # noqa: E731
            lost = LostWorkers(lambda: stop.wanted, self._known, node_of)
            self._loop(EngineSearcher(slots), EngineScheduler(slots, shared, lost), tick, stop)
        finally:
            shutil.rmtree(folder / PROOF, ignore_errors=True)

    def _loop(self, searcher: EngineSearcher, scheduler: EngineScheduler, tick: Callable[[], None], stop: Any) -> None:
        no_more, count = False, 0
        for _ in range(_MOST_EVENTS):
            self.hub.turn()
            self.running.check()
            if stop.wanted:
                return
            while not no_more and len(self.placed) < sum(self.nodes):
                config = searcher.suggest(f"ray-{count}")
                if not isinstance(config, dict):
                    no_more = config is not None
                    break
                self.placed.append(Placed(f"ray-{count}", config))
                count += 1
                self.moment("pending", self.placed[-1])
            if not self.placed:
                if no_more:
                    return
                raise Stall("no trial is placed, and none is to be had")
            self._place()
            self._hear(searcher, scheduler)
            tick()
        raise Stall("the study goes on and on")

    # -- what happens --------------------------------------------------------------------------------------------

    def moment(self, kind: str, placed: Placed) -> None:
        """Let happen what the plan has for this moment."""
        fault = self.moments.fault(kind, str(placed.config["number"]), self.running.now.name)
        if not fault:
            return
        if fault == "slow":
            self.clock.sleep(_SLOW_S)
        elif fault == "stop":
            assert self.stop is not None
            self.stop.interrupted = True
        elif fault == "driver killed":
            self.driver.alive = False
        elif fault == "worker lost":
            if placed.worker is None:
                placed.lost, placed.answers_at = True, self.clock.seconds
            else:
                placed.worker.process.alive = False
        else:
            node = placed.worker.node if placed.worker is not None else 0
            self.away[node] = self.clock.seconds + (_BACK_S if fault == "node lost and back" else 10 * _BACK_S)
            self.lives[node] += 1
            for worker in self.workers:
                if worker.node == node:
                    worker.process.alive = False
        self.running.check()

    def _place(self) -> None:
        """Give workers to the slots that wait, as far as there is room."""
        for placed in self.placed:
            if placed.worker is not None or placed.lost:
                continue
            able = [worker for worker in self.idle if not self._is_refused(worker.node)]
            worker = able[0] if able else self._hire()
            if worker is None:
                return
            self.idle = [idle for idle in self.idle if idle is not worker]
            placed.worker = worker
            placed.call = lambda name, argument, of=placed: self._call(of, name, argument)
            self._compute(placed, lambda of=placed: self._begin(of), _START_S, is_step=False)

    def _hire(self) -> Worker | None:
        for node, places in enumerate(self.nodes):
            if self.away.get(node, 0.0) > self.clock.seconds or self._is_refused(node):
                continue
            here = sum(worker.node == node and worker.process.alive for worker in self.workers)
            if here < places:
                worker = Worker(Process(f"worker {len(self.workers)}", runs_ahead=True), node, self.lives[node])
                self.workers.append(worker)
                return worker
        return None

    def _begin(self, placed: Placed) -> None:
        assert placed.worker is not None
        self.moment("starting", placed)
        if placed.worker.trainable is None:
            placed.worker.trainable = object.__new__(self._trainable(placed.worker))  # __init__ wants Ray's session
            placed.worker.trainable.setup(placed.config, features="shared")
        else:
            placed.worker.trainable.reset_config(placed.config)

    def _hear(self, searcher: EngineSearcher, scheduler: EngineScheduler) -> None:
        """Wait for the next answer, and let the driver take it in."""
        able = [placed for placed in self.placed if placed.worker is not None or placed.lost]
        if not able:
            back = min((time for time in self.away.values() if time > self.clock.seconds), default=None)
            if back is None:
                raise Stall("nobody computes")
            self.clock.wait(back - self.clock.seconds)
            return
        placed = min(able, key=lambda one: one.answers_at)
        if placed.answers_at > self.clock.seconds:
            self.clock.wait(placed.answers_at - self.clock.seconds)
            self.running.check()
        worker = placed.worker
        if worker is None or not worker.process.alive or placed.result is None:
            self.placed.remove(placed)
            if worker is not None:
                worker.process.alive = False
            scheduler.on_trial_error(None, placed)
            searcher.on_trial_complete(placed.trial_id, error=True)
            return
        if not placed.is_begun:
            placed.is_begun = True
            scheduler.slots.begun(placed.trial_id)
        if "reports" in placed.result:
            decision = scheduler.on_trial_result(None, placed, placed.result)
            self.moment("heard", placed)
            if decision == "STOP":
                self.placed.remove(placed)
                searcher.on_trial_complete(placed.trial_id, placed.result)
                self.moment("idle", placed)
                self.idle.append(worker)  # Ray keeps it for the next slot, and does not notice when it dies meanwhile
                return
        self._compute(placed, lambda: worker.trainable.step(), 0.0, is_step=True)

    def _is_refused(self, node: int) -> bool:
        return self.shared is not None and node_id(node, self.lives[node]) in self.shared.refused

    def _known(self) -> list[dict[str, Any]]:
        """List the nodes as `ray.nodes` does, with those that were lost."""
        return [
            {
                "NodeID": node_id(node, life),
                "Alive": life == self.lives[node] and self.away.get(node, 0.0) <= self.clock.seconds,
                "Resources": {"CPU": float(places)},
            }
            for node, places in enumerate(self.nodes)
            for life in range(self.lives[node] + 1)
        ]

    def ray_in_a_worker(self) -> Any:
        """Stand in for the module `ray`, as far as a worker asks it where it is."""
        me = lambda: next(one for one in self.workers if one.process is self.running.now)  # noqa: E731
        context = SimpleNamespace(get_node_id=lambda: me().node_id, get_worker_id=lambda: me().process.name[7:])
        return SimpleNamespace(
            get_runtime_context=lambda: context, util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")
        )

    # -- a worker computes ---------------------------------------------------------------------------------------

    def _compute(self, placed: Placed, do: Callable[[], Any], seconds: float, *, is_step: bool) -> None:
        worker = placed.worker
        assert worker is not None
        placed.result = None
        worker.process.ahead = seconds
        try:
            with self.running.inside(worker.process):
                placed.result = do() if is_step else (do() or {})
                if is_step:
                    self.moment("stepped", placed)
        except Crash:
            placed.result = None
        except Exception as fault:  # Ray counts it as a lost worker
            placed.result, self.last_fault = None, fault
        placed.answers_at = self.clock.seconds + worker.process.ahead + _ANSWER_S
        worker.process.ahead = 0.0

    def _call(self, placed: Placed, name: str, argument: Any) -> None:
        worker = placed.worker
        assert worker is not None
        with suppress(Crash), self.running.inside(worker.process):
            getattr(worker.trainable, name)(argument)

    def _trainable(self, worker: Worker) -> type[MerTrainable]:
        cluster = self

        class Toy(MerTrainable):
            def build(self, task: MemberTask, device: str) -> Any:
                def moment() -> None:
                    now = next(one for one in cluster.placed if one.worker is worker)
                    cluster.moment("epoch", now)

                return ToyRun(task, cluster.clock, moment)

        return Toy

    last_fault: Exception | None = None
