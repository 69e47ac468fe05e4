"""Candidates of one shape share packs with all their seeds; others are trained over seeds by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from open_study import quiet
from study_helpers import make_spec, open_ledger, report

from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.evaluate import candidate_study
from mer.study.evaluate.candidate_study import CandidateStudy, alike
from mer.study.preflight.run_options import RunOptions
from mer.study.search.early_stopping import build_policy
from mer.study.search.engine import StudyEngine
from mer.study.search.pack_sizes import PackSizes
from mer.study.search.slots import Slots
from mer.study.space.spec import Resources, StudySpec

POINTS = [(1e-3, 32), (2e-3, 32), (3e-3, 64), (4e-3, 32)]


@pytest.fixture
def configs(tmp_path: Path) -> dict[int, TrialConfig]:
    spec = make_spec(tmp_path)
    made = [spec.trial_config({"optim.head_lr": rate, "head.hidden": hidden}) for rate, hidden in POINTS]
    return {7 + number: config for number, config in enumerate(made)}


def run_here(spec: StudySpec, studies: Path, failing: Any = None) -> list[list[int]]:
    """Run a study without Ray and without training; the score is the rate plus the seed. Returns seeds by slot."""
    ledger = open_ledger(studies / spec.study, spec)
    engine = StudyEngine(spec, ledger, build_policy(spec.budget, spec.scheduler))
    slots = Slots(engine, studies, lambda config: {}, PackSizes(spec.resources, 1, lambda: engine.unfinished))
    hosted = []
    while (slot := slots.fill(f"slot{len(hosted)}")) is not None:
        hosted.append([task.config["seed"] for task in slot.members])
        for task in slot.members:
            score = task.config["optim"]["head_lr"] + task.config["seed"]
            ending = ("error", "out of luck") if task.config["seed"] == failing else ("finished", "")
            slots.record(f"slot{len(hosted) - 1}", [report(task.number, [score], ending[0], reason=ending[1])])
    return hosted


def test_candidates_are_grouped_by_shape(configs: dict[int, TrialConfig]) -> None:
    tuned = configs[7].model_dump(mode="json")
    tuned["loss"]["contrastive"]["curriculum"] = True
    groups = alike({**configs, 20: TrialConfig.model_validate(tuned)})
    assert sorted(map(list, groups)) == [[7, 8, 10], [9], [20]]


def test_seeds_of_several_candidates_share_one_slot_and_each_candidate_gets_its_scores(
    configs: dict[int, TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = alike(configs)[0] if len(alike(configs)[0]) > 1 else alike(configs)[1]
    study, options = CandidateStudy("small", group), RunOptions(tmp_path, tmp_path / "features")
    slots: list[list[int]] = []

    def run(spec: StudySpec, *_: Any) -> Path:
        for point in spec.points:  # the configuration that is trained is that of the candidate
            candidates = [c for c in group.values() if c.optim.head_lr == point["optim.head_lr"]]
            assert [spec.trial_config(point)] == [c.model_copy(update={"seed": point["seed"]}) for c in candidates]
        slots.extend(run_here(spec, tmp_path))
        return tmp_path / spec.study

    monkeypatch.setattr(candidate_study, "run_quietly", run)
    folder = study.train([0, 42], options, quiet(), Resources())
    assert slots == [[0, 42, 0, 42, 0, 42]]
    rates = {number: config.optim.head_lr for number, config in group.items()}
    assert study.scores(folder, [0, 42]) == {n: [rate, rate + 42] for n, rate in rates.items()}
    assert study.train([42, 5], options, quiet(), Resources()) == folder
    assert slots[1:] == [[5, 5, 5]], "a seed that has a result is not trained again"
    assert study.scores(folder, [5]) == {n: [rate + 5] for n, rate in rates.items()}


def test_a_seed_that_failed_is_named(configs: dict[int, TrialConfig], tmp_path: Path) -> None:
    study = CandidateStudy("small", {number: configs[number] for number in (7, 8)})
    points = [study.point(number, seed) for number in (7, 8) for seed in (1, 2)]
    run_here(study.spec(points, Resources()), tmp_path, failing=2)
    with pytest.raises(MerError, match=r"trial 7, seed 2: has no result: out of luck"):
        study.scores(tmp_path / study.study, [1, 2])
