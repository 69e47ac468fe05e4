"""Seeds and exports that an evaluation refuses to mix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.config import TrialConfig, nest
from mer.errors import MerError
from mer.files import write_json
from mer.study.evaluate.seeds import TEST, SeedResult, SeedStudy, refuse_other_features
from mer.study.space.spec import Resources


def config(**keys: object) -> TrialConfig:
    return TrialConfig.model_validate(nest({"encoders.text.backbone": "minilm", **keys}))


def test_recorded_test_scores_of_other_data_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "eval-x" / "trials" / "00000"
    write_json(folder / TEST, {"seed": 0, "features": "test-aaaa.safetensors", "metrics": {}})
    result = SeedResult(0, 0, 1, {}, {}, None, folder)
    refuse_other_features(result, "test-aaaa.safetensors")
    with pytest.raises(
        MerError, match=r"(?s)other test data or another backbone .*test-aaaa.*now test-bbbb.*move .*eval-x away"
    ):
        refuse_other_features(result, "test-bbbb.safetensors")


def test_equal_configurations_share_their_seeds_study() -> None:
    one = SeedStudy("a", config(**{"data.root": "here", "seed": 1}))
    assert one.study == SeedStudy("b", config(**{"data.root": "there", "seed": 2})).study
    assert one.study != SeedStudy("a", config(**{"optim.head_lr": 0.002})).study


def test_the_seeds_study_tries_known_seeds_first_and_each_once() -> None:
    spec = SeedStudy("a", config()).spec([42, 0, 7], known=[0, 42], resources=Resources(gpu=0.5))
    assert [point["seed"] for point in spec.points] == [0, 42, 7]
    assert spec.budget.trials == 3 and spec.scheduler.kind == "none"
    assert spec.trial_config({"seed": 7}).seed == 7 and spec.resources.gpu == 0.5
