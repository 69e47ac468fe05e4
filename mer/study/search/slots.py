"""Know which trial numbers each slot hosts: fill a slot, take in its reports, close it. No Ray in here.

A Ray trial is only a slot. The engine decides about trial numbers and never hears of slots; Ray places slots and never
hears of trial numbers; this module stands between them. It puts one member into a slot, and counts on nothing of the
kind: a verdict is for one number, and a slot is over when the last number in it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mer.config import TrialConfig
from mer.study.paths import trial_folder
from mer.study.search.engine import StudyEngine
from trainables.wire import MemberTask, Report, Slot

REPORT_INTERVAL_S = 0.5  # short trials put several epochs into one report: a report costs Ray more than it costs us


class Slots:
    """The book of slots and their members.

    Args:
        engine: decides what runs next and who is cut.
        study: folder of the study; it need not be absolute.
        features_of: a trial's feature files, as MemberTask has them.
    """

    def __init__(
        self,
        engine: StudyEngine,
        study: Path,
        features_of: Callable[[TrialConfig], Mapping[str, Mapping[str, str]]],
    ) -> None:
        self.engine, self.study, self.features_of = engine, study, features_of
        self.hosted: dict[str, set[int]] = {}  # slot -> numbers of members that are not over

    def fill(self, slot_id: str) -> Slot | None:
        """Take the engine's next trial into a slot; None when there is none now."""
        following = self.engine.next_trial()
        if following is None:
            return None
        assignment, config = following
        task = MemberTask(
            number=assignment.number,
            folder=trial_folder(self.study, assignment.number).resolve(),
            config=config.model_dump(mode="json"),
            features=self.features_of(config),
            decision_epochs=tuple(self.engine.policy.decision_epochs(assignment.number)),
        )
        self.hosted[slot_id] = {task.number}
        resources = self.engine.spec.resources
        return Slot((task,), REPORT_INTERVAL_S, resources.threads, resources.device)

    def record(self, slot_id: str, reports: Iterable[Report]) -> bool:
        """Take in what a worker reports of its members; True when none of them goes on."""
        hosted = self.hosted.get(slot_id, set())
        for report in reports:
            if self.engine.record(report):
                hosted.discard(report.number)
        return not hosted

    def close(self, slot_id: str, *, lost: bool) -> None:
        """Forget a slot that Ray has ended.

        Args: lost: its worker died; those of its members that were not over are handed out again.
        """
        for number in sorted(self.hosted.pop(slot_id, set())):
            if lost:
                self.engine.lost(number)
