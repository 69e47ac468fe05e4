"""The seeds of an evaluation are members of packs: they have one shape, and a place in as few workers as there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import make_spec, open_ledger, report

from mer.study.evaluate.seeds import SeedStudy
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.pack_sizes import PackSizes
from mer.study.search.slots import Slots
from mer.study.space.spec import Resources

SEEDS = (0, 42, 43, 114, 3407)


@pytest.mark.parametrize(("workers", "members"), [(1, [5]), (2, [3, 2]), (8, [1, 1, 1, 1, 1])])
def test_five_seeds_start_as_many_slots_as_there_are_workers(tmp_path: Path, workers: int, members: list[int]) -> None:
    config = make_spec(tmp_path).trial_config({"optim.head_lr": 1e-3, "head.hidden": 32})
    study = SeedStudy("best", config)
    spec = study.spec(SEEDS, (), Resources())
    ledger = open_ledger(tmp_path / study.study, spec)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler))
    slots = Slots(engine, tmp_path, lambda config: {}, PackSizes(spec.resources, workers, lambda: engine.unfinished))
    filled = [slots.fill(f"slot{number}") for number in range(workers + 1)]
    hosted = [slot for slot in filled if slot is not None]
    assert [len(slot.members) for slot in hosted] == members
    assert [task.config["seed"] for slot in hosted for task in slot.members] == list(SEEDS)
    for number, slot in enumerate(hosted):  # one that is done early waits for members of the others
        slots.record(f"slot{number}", [report(task.number, [0.5], "finished") for task in slot.members])
    assert all(slots.record(f"slot{number}", []).is_over for number in range(len(hosted)))
    assert slots.fill("later") is None and engine.over
