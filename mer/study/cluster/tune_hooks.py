"""Three small bridges from Ray Tune to the StudyEngine. Ray decides where a trial runs, the engine everything else.

What Ray 2.60 does, and why these are the right hooks (stack-notes 6):
- a result without `done` always reaches `scheduler.on_trial_result`, whatever became of the trial: so the trainable
  never says `done`, and the scheduler stops what is over;
- a lost worker reaches `on_trial_complete(error)` when no retry is allowed. Ray's own retries would not do: they cover
  trials that are RUNNING, so a worker that dies between two trials would end the next one, which is still PENDING;
- `tune.run` takes SIGUSR1, and a loop ended by Ray's handler looks like one that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mer.study.search.engine import StudyEngine
from mer.study.search.reports import Report


class _NoState:
    """Ray pickles these objects when a Tuner is built and in snapshots; nothing is ever read back from that."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class EngineSearcher(_NoState, Searcher):
    """Hands out trials."""

    def __init__(self, engine: StudyEngine, slot_of: Callable[..., dict[str, Any]]) -> None:
        super().__init__()
        self.engine, self.slot_of = engine, slot_of
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        following = self.engine.next_trial()
        if following is None:  # FINISHED is final, and a trial that runs now may have to be handed out again
            return Searcher.FINISHED if self.engine.over else None
        assignment, config = following
        self.numbers[trial_id] = assignment.number
        return self.slot_of(assignment, config)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self.numbers.pop(trial_id, None)
        if error and number is not None:
            self.engine.lost(number)

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        return None


class EngineScheduler(_NoState, FIFOScheduler):
    """Takes in reports and stops what is over."""

    def __init__(self, engine: StudyEngine) -> None:
        super().__init__()
        self.engine = engine

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # Ray flattens nested results: the report's fields arrive as 'report/number', ...
        report = Report(**{key.removeprefix("report/"): result[key] for key in result if key.startswith("report/")})
        return TrialScheduler.STOP if self.engine.record(report) else TrialScheduler.CONTINUE


class Heartbeat(_NoState, Callback):
    """Calls `begin` once before Ray's loop, and `tick` after every event of it; the display decides when to redraw."""

    def __init__(self, begin: Callable[[], None], tick: Callable[[], None]) -> None:
        self.begin, self.tick = begin, tick

    def setup(self, *_: Any, **info: Any) -> None:
        self.begin()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.tick()


class StopWhen(_NoState, Stopper):
    """Ends the loop, without a word to the searcher, as soon as `wanted` says so: its trials stay resumable."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self.wanted = wanted

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.wanted()
