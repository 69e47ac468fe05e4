"""The only search state: Optuna's journal in the study folder.

Everything is keyed by Optuna's trial number. Writes that end a trial first leave a note (`ending`), so that a driver
killed half-way through is finished by the next one.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mer.config import FeatureSetting
from mer.errors import MerError
from mer.study.paths import JOURNAL
from mer.study.search.feasible import feasible_params
from mer.study.search.grid import Grid
from mer.study.search.identity import refuse_other_search, refuse_other_study
from mer.study.search.retries import Retries
from mer.study.search.samplers import SeededTrial, build_sampler, uniform_sampler
from mer.study.search.storage import StudyStorage
from mer.study.search.stored_trial import EPOCHS, epochs_of, state_after
from mer.study.space.choices import encode
from mer.study.space.spec import StudySpec
from mer.training import Row
from trainables.wire import Outcome

_SECONDS = "seconds_spent"  # attribute of the study


@dataclass(frozen=True)
class Assignment:
    """A trial to run: its number and what was drawn for it, by dotted configuration key."""

    number: int
    params: dict[str, Any]


class Ledger:
    """Asks, reports and tells, durably. One driver at a time holds the study's lock.

    Args:
        folder: the study folder.
        spec: the study; its fingerprint must equal the one the journal began with.
    Raises: MerError when the journal belongs to another search space.
    """

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.spec = spec
        self.storage = StudyStorage(folder / JOURNAL)
        refuse_other_study(folder, self.storage, spec)
        self.study = optuna.create_study(
            study_name=spec.study,
            storage=self.storage,
            directions=["maximize" if o.mode == "max" else "minimize" for o in spec.objective],
            load_if_exists=True,
        )
        self._grid = Grid(spec)
        self._most = self._grid.count(spec.budget.trials) if self._grid.is_one else spec.budget.trials
        self._study_id = self.storage.get_study_id_from_name(spec.study)
        self._check_identity(folder)
        self._live: dict[int, optuna.trial.Trial] = {}
        self._reported: dict[int, set[int]] = {}
        self._finish_half_told()
        self._orphans = [t.number for t in self.trials() if t.state == TrialState.RUNNING]
        self.retries = Retries(self.study, self.storage)
        if spec.sampler.kind != "grid":
            self._propose_points()

    @property
    def generation(self) -> str:
        """Identity of this search among those that had the same name before (`--fresh`)."""
        return str(self.study.user_attrs["generation"])

    def trials(self) -> list[FrozenTrial]:
        """Return all trials of the study, by number; not copies."""
        return self.study.get_trials(deepcopy=False)

    def together(self) -> AbstractContextManager[None]:
        """Make one durable write of all that is written in the block, at its end."""
        return self.storage.together()

    def begun(self) -> int:
        """Count the trials that were handed out."""
        return self.storage.begun

    def work_left(self) -> bool:
        """Tell whether a trial is waiting to be run or to be gone on with."""
        return bool(self._orphans or self.retries.waiting) or self._begun_in_budget() < self._most

    def most(self) -> int:
        """Count the trials that the budget allows, and those that repeat failed ones; a grid may have fewer cells."""
        return self._most + self.retries.count

    def _begun_in_budget(self) -> int:
        """Count the trials that were handed out, without those that repeat failed ones."""
        return self.begun() - self.retries.begun

    @property
    def cells(self) -> int | None:
        """How many combinations a grid has, where the budget has a trial for each; None otherwise."""
        return self._grid.whole

    @property
    def seconds_spent(self) -> float:
        """The time that runs of the command took, as far as they noted it."""
        return float(self.study.user_attrs.get(_SECONDS, 0.0))

    def note_seconds(self, seconds: float) -> None:
        """Note durably how long all runs of the command took together. Raises: OSError."""
        self.study.set_user_attr(_SECONDS, round(seconds, 1))

    # -- asking ------------------------------------------------------------------------------------------------

    def next_assignment(self) -> Assignment | None:
        """Hand out a trial that a dead driver left behind, else a new one; None when the budget is used up."""
        with self.together():
            return self._next_assignment()

    def _next_assignment(self) -> Assignment | None:
        if self._orphans:
            number = self._orphans.pop(0)
            self._use_sampler(number)
            trial = optuna.trial.Trial(self.study, self._storage_id(number))
            return self._draw(trial, reported=self._told(number))
        if self._begun_in_budget() >= self.spec.budget.trials and not self.retries.waiting:
            return None
        waiting = self.storage.waiting
        number = waiting[0].number if waiting else self.storage.count
        if self._grid.is_one and not waiting:
            cell = self._grid.cell(number - self.retries.count)
            if cell is None:
                return None
            self.study.enqueue_trial({k: encode(v) for k, v in cell.items()})
        self._use_sampler(number)
        return self._draw(self.study.ask(), reported=set())

    def _draw(self, trial: optuna.trial.Trial, *, reported: set[int]) -> Assignment:
        if self.spec.constraints and not self._grid.is_one:
            trial = self._keeping_constraints(trial)
        self._live[trial.number], self._reported[trial.number] = trial, reported
        _ = trial.relative_params  # Optuna draws them at the first parameter that is missing: under that one's seed
        seeded = SeededTrial(trial, partial(self._use_sampler, trial.number))
        return Assignment(trial.number, self.spec.space.suggest(seeded))

    def _keeping_constraints(self, trial: optuna.trial.Trial) -> optuna.trial.Trial:
        """Fix all parameters of a trial to a draw that keeps the constraints; return the trial with them."""
        sampler, number, identity = self.spec.sampler, trial.number, self._storage_id(trial.number)
        found = feasible_params(
            self.spec,
            self.study,
            self.storage.get_trial(identity),
            lambda attempt, name: build_sampler(sampler, len(self.spec.objective), number, name, attempt),
            lambda attempt: uniform_sampler(sampler, number, attempt),
        )
        self.storage.set_trial_system_attr(identity, "fixed_params", found)
        return optuna.trial.Trial(self.study, identity)

    def _propose_points(self) -> None:
        """Let the points of the search space be the next trials, unless they were proposed before."""
        known = {json.dumps(t.system_attrs.get("fixed_params"), sort_keys=True) for t in self.trials()}
        with self.together():
            for point in self.spec.points:
                params = {key: encode(value) for key, value in point.items()}
                if json.dumps(params, sort_keys=True) not in known:  # else Optuna compares with every trial
                    self.study.enqueue_trial(params, skip_if_exists=True)

    def _use_sampler(self, number: int, parameter: str = "") -> None:
        self.study.sampler = build_sampler(self.spec.sampler, len(self.spec.objective), number, parameter)

    # -- telling -----------------------------------------------------------------------------------------------

    def report(self, number: int, epoch: int, best_so_far: float) -> None:
        """Note the best score up to `epoch`; an epoch that is there already is left alone."""
        if epoch in self._reported[number]:
            return
        if len(self.spec.objective) == 1:
            self._live[number].report(best_so_far, epoch)
        elif self.spec.budget.total_epochs is not None:
            self._live[number].set_user_attr(EPOCHS, epoch)
        else:
            return
        self._reported[number].add(epoch)

    def losses(self, number: int) -> int:
        """Count the workers that died with a trial alone, under earlier drivers too."""
        return int(self._stored(number).user_attrs.get("losses", 0))

    def pack_limit(self, number: int) -> int | None:
        """Return how many trials may share a worker with this one, as packs died with it; None: any number."""
        limit = self._stored(number).user_attrs.get("pack_limit")
        return None if limit is None else int(limit)

    def _told(self, number: int) -> set[int]:
        """Return the epochs of a trial that earlier drivers have noted."""
        stored = self._stored(number)
        return set(stored.intermediate_values) or set(range(1, epochs_of(stored) + 1))

    def note_losses(self, number: int, count: int, pack_limit: int | None) -> None:
        """Note durably how many workers have died with a trial, and who may share its next one."""
        with self.together():
            self._live[number].set_user_attr("losses", count)
            if pack_limit is not None:
                self._live[number].set_user_attr("pack_limit", pack_limit)

    def end(
        self,
        number: int,
        outcome: Outcome,
        *,
        best: Row | None,
        reason: str = "",
        last: tuple[int, float] | None = None,
        epochs: int = 0,
    ) -> tuple[Outcome, str]:
        """Finish a trial: COMPLETE with its best score, PRUNED when cut, FAIL with the reason otherwise.

        Args: epochs: that were heard of.
        Returns: how it ended and why, as it is noted: what cannot be COMPLETE is not.
        """
        trial = self._live[number]
        if outcome == "finished" and best is None:
            outcome, reason = "error", "it ended before its first epoch"
        elif outcome == "finished" and best is not None:
            bad = [o.metric for o in self.spec.objective if not math.isfinite(best.get(o.metric, math.nan))]
            if bad:  # Optuna refuses NaN only after the note is written: the study could never be opened again
                outcome, reason = "nonfinite", f"{', '.join(bad)} is not a finite number at its best epoch"
        with self.together():
            trial.set_user_attr(
                "ending", {"outcome": outcome, "reason": reason, "best": best, "last": last, "epochs": epochs}
            )
            self._tell(number)
        self._live.pop(number, None)
        self._reported.pop(number, None)
        return outcome, reason

    def _tell(self, number: int) -> None:
        """Carry out a noted ending; every step may have been done before."""
        frozen = self._stored(number)
        ending = frozen.user_attrs["ending"]
        state = state_after(ending["outcome"])
        if ending["last"] and len(self.spec.objective) == 1 and ending["last"][0] not in frozen.intermediate_values:
            self.storage.set_trial_intermediate_value(self._storage_id(number), *ending["last"])
        values = [ending["best"][o.metric] for o in self.spec.objective] if state == TrialState.COMPLETE else None
        self.study.tell(number, values, state=state, skip_if_finished=True)

    def _storage_id(self, number: int) -> int:
        """Return the id under which the storage knows trial `number`."""
        return self.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _stored(self, number: int) -> FrozenTrial:
        return self.storage.get_trial(self._storage_id(number))

    def _finish_half_told(self) -> None:
        for frozen in self.trials():
            if frozen.state == TrialState.RUNNING and "ending" in frozen.user_attrs:
                self._tell(frozen.number)

    def check_features(self, folder: Path, features: Mapping[FeatureSetting, dict[str, str]]) -> None:
        """Features are content-addressed: other file names mean other data or another backbone than at the start."""
        known = self.study.user_attrs.get("features")
        now = {setting.recorded: files for setting, files in features.items()}
        if known is None:
            self.study.set_user_attr("features", now)
        elif known != now:
            raise MerError(
                folder,
                "the data or the backbone are not those this study began with (its feature files have other hashes)",
                then="bring the former data back; or keep the new ones apart, by --studies FOLDER or by a data.name of "
                "their own in the search space; mer.tune starts over with --fresh",
            )

    def part_from_original(self) -> None:
        """Give a copy of a study a generation of its own, by which its record is told from the original's."""
        self.study.set_user_attr("generation", uuid.uuid4().hex[:12])

    # -- identity ----------------------------------------------------------------------------------------------

    def _check_identity(self, folder: Path) -> None:
        known = self.study.user_attrs.get("identity")
        if known is None:
            self.study.set_user_attr("generation", uuid.uuid4().hex[:12])
            self.study.set_user_attr("identity", self.spec.identity())
            return
        refuse_other_search(folder, known, self.spec)
