"""Studies made by the real ledger, with the files that trials leave, in every state a report may meet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.study.folder.artifacts import history_csv, per_class_csv, predictions_csv
from mer.study.search.ledger import Ledger
from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec
from mer.training import Scores

NAMES = ("neutral", "joy", "anger")
SPACE = """study: {name}
description: A study <to> test & report.
trainable: text
objective: {objective}
budget: {{trials: 40, epochs: 3}}
sampler: {{kind: random, seed: 0}}
scheduler: {{kind: none}}
params:
  optim.head_lr: {{float: [1e-4, 1e-2], log: true}}
  head.hidden: {{int: [8, 64]}}
  loss.contrastive.kind: {{choice: [none, spcl]}}
  loss.contrastive.temperature: {{float: [0.03, 0.3], log: true, when: {{loss.contrastive.kind: spcl}}}}
  encoders.text.layers: {{choice: [[2, 4], [4], last]}}
"""
ONE = "{metric: dev_weighted_f1, mode: max}"
TWO = "[{metric: dev_weighted_f1, mode: max}, {metric: dev_loss, mode: min}]"


@dataclass(frozen=True)
class Ending:
    """How a trial ends; without an outcome it stays as it is. The seed decides its predictions and so its scores."""

    outcome: str | None
    seed: int = 0
    reason: str = ""
    epochs: int = 3


def make_study(studies: Path, endings: Sequence[Ending], *, name: str = "small", objective: str = ONE) -> Path:
    folder = studies / name
    folder.mkdir(parents=True)
    spec = write_spec(studies, name, objective)
    ledger = Ledger(folder, spec)
    for ending in endings:
        assignment = ledger.next_assignment()
        assert assignment is not None
        end_trial(ledger, folder, assignment.number, assignment.params, ending)
    (folder / "space.json").write_text(json.dumps({"description": spec.description}), encoding="utf-8")
    return folder


def write_spec(studies: Path, name: str, objective: str) -> StudySpec:
    path = studies / f"{name}.yaml"
    path.write_text(SPACE.format(name=name, objective=objective), encoding="utf-8")
    return load_spec(path, (), {})


def end_trial(ledger: Ledger, folder: Path, number: int, params: dict, ending: Ending) -> None:
    rows, best_scores = [], None
    labels = np.arange(60) % 3 % len(NAMES)
    for epoch in range(1, ending.epochs + 1):
        rng = np.random.default_rng([ending.seed, number, epoch])
        logits = rng.normal(size=(60, len(NAMES))).astype(np.float32)
        logits[np.arange(60), labels] += 0.4 * epoch
        scores = Scores(logits, labels, NAMES)
        rows.append(
            {"epoch": float(epoch), "train_loss": 2.0 / epoch, **scores.as_metrics("dev"), "timestamp_ms": 1.0 + epoch}
        )
        if best_scores is None or scores.weighted_f1 > best_scores.weighted_f1:
            best_scores, best = scores, rows[-1]
        ledger.report(number, epoch, max(row["dev_weighted_f1"] for row in rows))
    if ending.outcome is None:
        return
    artifacts = folder / "trials" / f"{number:05d}" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "history.csv").write_text(history_csv(rows), encoding="utf-8")
    (artifacts / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (artifacts / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    if best_scores is not None:
        ids = tuple(f"dev/dia{index // 5}_utt{index % 5}" for index in range(60))
        (artifacts / "per_class.csv").write_text(per_class_csv(best_scores), encoding="utf-8")
        (artifacts / "dev_predictions.csv").write_text(predictions_csv(best_scores, ids), encoding="utf-8")
    ledger.end(number, ending.outcome, best=best if rows else None, reason=ending.reason)


CONFIG = {
    "seed": 3,
    "data": {"dataset": "meld", "label": "emotion", "root": "/data/MELD"},
    "encoders": {"text": {"backbone": "minilm", "mode": "frozen"}},
}
ENVIRONMENT = {
    "command": "/code/mer/tune.py search_spaces/small.yaml --fresh --trials 9",
    "git_sha": "0123abcd",
    "git_dirty": True,
    "python": "3.11.7",
    "packages": {"torch": "2.13.0"},
}
