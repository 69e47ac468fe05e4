"""Early stopping judges members: a recorded study gets the same verdicts in slots of one and in packs of any size."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from study_helpers import make_spec, open_ledger, report
from test_study_slots import ONE_SHAPE

from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.slots import Slots

RECORDED = Path(__file__).parents[2] / "benchmarks" / "search_quality" / "recorded.csv"  # dev scores of real trials
TRIALS, EPOCHS = 48, 9
Verdicts = dict[int, tuple[str, float, int, str]]


def curves() -> list[list[float]]:
    with RECORDED.open(encoding="utf-8", newline="") as file:
        return [[float(row[f"epoch {epoch + 1}"]) for epoch in range(EPOCHS)] for row in csv.DictReader(file)][:TRIALS]


def verdicts(folder: Path, kind: str, pack: int) -> Verdicts:
    """Host all trials at once, `pack` in a slot, and report an epoch of every slot in turn.

    Returns: state, score, last epoch and reason of each trial.
    """
    scheduler = ("scheduler: {kind: none}", f"scheduler: {{kind: {kind}, grace_epochs: 2, reduction: 2}}")
    spec = make_spec(folder, scheduler, *ONE_SHAPE, overrides=(f"budget.trials={TRIALS}", f"budget.epochs={EPOCHS}"))
    engine = StudyEngine(spec, open_ledger(folder / "study", spec), build_policy(spec.budget, spec.scheduler))
    slots = Slots(engine, folder / "study", lambda config: {}, lambda config: pack)
    hosted: dict[str, list[int]] = {}
    while slot := slots.fill(name := str(len(hosted))):
        hosted[name] = [task.number for task in slot.members]
    assert [len(numbers) for numbers in hosted.values()] == [pack] * (TRIALS // pack)
    recorded = curves()
    for epoch in range(1, EPOCHS + 1):
        outcome: Any = "finished" if epoch == EPOCHS else "running"
        for name, numbers in hosted.items():
            said = [report(number, [recorded[number][epoch - 1]], outcome, first=epoch) for number in numbers]
            change = slots.record(name, said)
            assert not change.add, "all trials have a place already"
            hosted[name] = [number for number in numbers if number not in change.drop] if not change.is_over else []
    return {
        trial.number: (
            trial.state.name,
            trial.user_attrs["ending"]["best"]["dev_weighted_f1"],
            max(trial.intermediate_values),
            trial.user_attrs["ending"]["reason"],
        )
        for trial in engine.ledger.trials()
    }


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_a_recorded_study_gets_the_same_verdicts_in_packs_of_any_size(tmp_path: Path, kind: str) -> None:
    alone, *packed = [
        verdicts(tmp_path / str(pack), kind, pack) for pack in (1, 3, 8, 48) if not (tmp_path / str(pack)).mkdir()
    ]
    states = [state for state, *_ in alone.values()]
    assert len(alone) == TRIALS and 4 < states.count("PRUNED") < TRIALS - 4, "some are cut, some are not"
    for found in packed:
        assert found == alone
