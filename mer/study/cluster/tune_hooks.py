"""Four small bridges from Ray Tune to the StudyEngine. Ray decides where a trial runs, the engine everything else.

What Ray 2.60 does, and why these are the right hooks (stack-notes 6):
- a result without `done` always reaches `scheduler.on_trial_result`, whatever became of the trial: so the trainable
  never says `done`, and the scheduler stops what is over;
- a lost worker reaches `on_trial_complete(error)` when no retry is allowed. Ray's own retries would not do: they cover
  trials that are RUNNING, so a worker that dies between two trials would end the next one, which is still PENDING;
- before that it reaches `scheduler.on_trial_error`, which gets the trial itself: who is to blame is asked there;
- `on_trial_start` of callbacks comes when a worker has taken a trial, whether it is new or kept from another;
- calls of a worker run in the order in which the driver submits them, so `drop` and `add` come before the next step;
- `tune.run` takes SIGUSR1, and a loop ended by Ray's handler looks like one that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Callback, PlacementGroupFactory, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mer.study.cluster.lost_workers import LostWorkers
from mer.study.cluster.node_watch import NodeWatch
from mer.study.cluster.shared_folder import SharedFolder
from mer.study.search.slots import Slots
from trainables.wire import Report


class _NoState:
    """Pickles as nothing: Ray pickles its hooks when a Tuner is built and in snapshots, and never reads them back."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class EngineSearcher(_NoState, Searcher):
    """Hands out slots: one Ray trial each."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self.slots = slots

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        slot = self.slots.fill(trial_id)
        if slot is None:  # FINISHED is final, and a trial that runs now may have to be handed out again
            return Searcher.FINISHED if self.slots.engine.over else None
        return slot.wire()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.slots.close(trial_id, lost=error)  # of an error the scheduler has heard before

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


class EngineScheduler(_NoState, FIFOScheduler):
    """Takes in reports, tells the worker who leaves and who joins, and stops a slot whose members are all over.

    Args:
        slots: the book of who hosts what.
        shared: knows the nodes that are left out.
        lost: says why a worker has died.
    """

    def __init__(self, slots: Slots, shared: SharedFolder, lost: LostWorkers) -> None:
        super().__init__()
        self.slots, self.shared, self.lost = slots, shared, lost

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Let no further worker be placed on a node that was refused, and none that is there take this trial."""
        super().on_trial_add(tune_controller, trial)
        if selector := self.shared.selector:
            bundles = trial.placement_group_factory.bundles
            trial.update_resources(PlacementGroupFactory(bundles, bundle_label_selector=[selector] * len(bundles)))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Hand the members of a slot whose worker has died out again; a loss counts where the worker died by itself."""
        self.slots.close(trial.trial_id, lost=self.lost.by_itself(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if not all(map(self.shared.accepts, result.get("sights", ()))):
            self.slots.refuse(trial.trial_id)
            return TrialScheduler.STOP
        reports = [Report(**report) for report in result["reports"]]
        change = self.slots.record(trial.trial_id, reports, result.get("fits"))
        if change.is_over:
            return TrialScheduler.STOP
        worker = worker_of(trial)  # it takes these in before the next step, which is submitted after them
        if change.drop:
            worker.drop.remote(list(change.drop))
        if change.add:
            worker.add.remote([task.wire() for task in change.add])
        return TrialScheduler.CONTINUE


def worker_of(trial: Any) -> Any:
    """Return the handle of the process that hosts a slot. Ray Tune has no public name for it."""
    return trial.temporary_state.ray_actor


class Heartbeat(_NoState, Callback):
    """Calls `begin` once before Ray's loop, and `tick` after every event of it; the display decides when to redraw.

    Args:
        slots: hear which of them have a worker.
        nodes: watches the cluster; None on one machine.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        tick: Callable[[list[tuple[int, int]]], None],
        slots: Slots,
        nodes: NodeWatch | None = None,
    ) -> None:
        self.begin, self.tick, self.slots, self.nodes = begin, tick, slots, nodes

    def setup(self, *_: Any, **info: Any) -> None:
        self.begin()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.slots.begun(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if self.nodes is not None:
            self.nodes.reported()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.tick(self.slots.occupied)
        if self.nodes is not None:
            self.nodes.look(lambda: (trial.status for trial in trials))


class StopWhen(_NoState, Stopper):
    """Ends Ray's loop as soon as `wanted` says so. The searcher is not told, so running trials stay resumable."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self.wanted = wanted

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.wanted()
