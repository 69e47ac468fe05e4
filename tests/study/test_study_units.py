"""Intervals and tests resample what of a dataset is independent: dialogues of MELD, actors of RAVDESS."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from analysis.seeds import seed_report
from analysis.stores.evaluation import load_evaluation
from mer.config import TrialConfig
from mer.data.readers.labels import RAVDESS_EMOTIONS
from mer.data.registry import DATASETS, find_dataset
from mer.study.evaluate.compare import compare
from mer.study.evaluate.report_on_test import Evaluated, print_results, results_json, write_results
from mer.study.evaluate.seeds import SeedResult
from mer.training import Scores

SEEDS = (0, 42)
ACTORS = (17, 18, 19, 20)
CLIPS = [
    f"dev/03-01-{emotion:02d}-{strength:02d}-{statement:02d}-{repetition:02d}-{actor}_utt0"
    for actor, emotion, strength, statement, repetition in itertools.product(
        ACTORS, range(1, 9), (1, 2), (1, 2), (1, 2)
    )
]


@dataclass(frozen=True)
class Rows:
    """The part of a split that results read."""

    ids: tuple[str, ...]
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def ravdess(strength: float = 1.0) -> Evaluated:
    """Two seeds on 256 clips of four actors, one of whom is hard to read."""
    rng = np.random.default_rng(0)
    labels_N = np.array([int(clip.split("-")[2]) - 1 for clip in CLIPS])
    ease = {17: 0.2, 18: 2.0, 19: 2.5, 20: 3.0}
    ease_N = np.array([ease[int(clip.partition("_utt")[0][-2:])] for clip in CLIPS]) * strength
    results = []
    for number, seed in enumerate(SEEDS):
        logits_NC = rng.normal(size=(len(CLIPS), 8)) + ease_N[:, None] * np.eye(8)[labels_N]
        scores = Scores(logits_NC, labels_N, RAVDESS_EMOTIONS)
        results.append(SeedResult(seed, number, 3, {}, scores.as_metrics("test"), logits_NC, Path()))
    config = TrialConfig.model_validate(
        {"data": {"dataset": "ravdess"}, "encoders": {"audio": {"backbone": "melstats"}}}
    )
    names = list(RAVDESS_EMOTIONS)
    return Evaluated("heard", "exports/heard", config, results, Rows(tuple(CLIPS), labels_N), names)


def literal(one: Evaluated, unit_of: Any, resamples: int = 10_000) -> np.ndarray:
    """Draw units, put their clips together, score every seed, average; the quantiles of accuracy."""
    rows: dict[str, list[int]] = {}
    for row, clip in enumerate(one.test.ids):
        rows.setdefault(unit_of(clip), []).append(row)
    units, rng = list(rows.values()), np.random.default_rng(0)
    right_SN = np.stack([r.test_logits_NC.argmax(axis=1) == one.test.labels_N for r in one.results])
    found = []
    for _ in range(resamples):
        drawn = [row for place in rng.integers(0, len(units), len(units)) for row in units[place]]
        found.append(right_SN[:, drawn].mean())
    return np.quantile(found, [0.025, 0.975])


def test_every_dataset_says_what_is_independent() -> None:
    units = {name: reader.unit.name for name, reader in DATASETS.items()}
    assert units.pop("ravdess") == "actor" and set(units.values()) == {"dialogue"}  # of tables: `unit_of` looks closer
    assert find_dataset("meld").unit.of("dev/dia12_utt3") == "dev/dia12"
    assert find_dataset("emorynlp").unit.of("dev/s01e02sc03_utt4") == "dev/s01e02sc03"
    assert find_dataset("ravdess").unit.of("dev/03-01-06-01-02-01-17_utt0") == "Actor_17"


def test_the_interval_resamples_actors_and_is_wider_than_over_clips() -> None:
    one = ravdess()
    told = results_json(one, [], "python -m mer.evaluate exports/heard")
    low, high = told["summary"]["test_accuracy"]["bootstrap_interval"]
    assert (low, high) == pytest.approx(literal(one, lambda clip: clip.partition("_utt")[0][-2:]), abs=1e-12)
    clips = literal(one, lambda clip: clip, resamples=500)
    assert high - low > 3 * (clips[1] - clips[0])
    assert told["unit"] == "actor" and told["test_actors"] == 4 and "test_dialogues" not in told
    numbers = dict(zip(told["unit_of_row"].split(), (clip.partition("_utt")[0][-2:] for clip in CLIPS), strict=True))
    assert sorted(numbers.values()) == ["17", "18", "19", "20"] and set(numbers) == {"0", "1", "2", "3"}


def test_lines_and_files_name_the_unit(tmp_path: Path) -> None:
    one, out = ravdess(), io.StringIO()
    told = results_json(one, [], "python -m mer.evaluate exports/heard")
    print_results(Console(file=out, width=200), one, told)
    said = out.getvalue()
    assert "test, 256 utterances of 4 actors" in said and "95 % over actors" in said and "dialogue" not in said
    assert "note: 4 actors are few: the interval over actors is rough" in said
    write_results(tmp_path, told)
    report = seed_report([load_evaluation(tmp_path / "results.json")])
    assert "95 % over actors (bootstrap)" in report and "dialogues" not in report


def test_comparisons_resample_actors() -> None:
    (told,) = compare(ravdess().scored, [ravdess(strength=0.5).scored])
    assert told["actors"]["n"] == 4 and "dialogues" not in told
    assert "4 actors: " in told["verdict"]


def test_results_of_before_are_read_as_over_dialogues(tmp_path: Path) -> None:
    told = results_json(ravdess(), [], "python -m mer.evaluate exports/heard")
    old = {key: value for key, value in told.items() if key not in ("unit", "test_actors")} | {"test_dialogues": 256}
    (tmp_path / "old.json").write_text(json.dumps(old | {"method": "before"}))
    (tmp_path / "new.json").write_text(json.dumps(told))
    before = load_evaluation(tmp_path / "old.json")
    assert "95 % over dialogues (bootstrap)" in seed_report([before])
    both = seed_report([before, load_evaluation(tmp_path / "new.json")])
    assert "95 % over dialogues or actors (bootstrap)" in both and "(dialogues) |" in both and "(actors) |" in both
