"""An evaluation as `mer.evaluate` leaves it: results.json, and the predictions of its seeds on test."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mer.statistics import describe, unit_bootstrap
from mer.study.folder.artifacts import predictions_csv
from mer.training import Scores
from mer.training.number_scores import RegressionScores

NAMES = ("neutral", "joy", "anger")
IDS = tuple(f"test/dia{index // 5}_utt{index % 5}" for index in range(90))


def make_evaluation(
    folder: Path,
    *,
    strength: float = 1.0,
    seeds: tuple[int, ...] = (0, 42, 43),
    method: str = "spcl",
    export: str = "exports/spcl",
) -> Path:
    """Write an evaluation and return its results file. Args: strength: how well the classes are told apart."""
    labels = np.arange(len(IDS)) % len(NAMES)
    rows, logits_of = [], []
    for number, seed in enumerate(seeds):
        logits = np.random.default_rng([seed, 7]).normal(size=(len(IDS), len(NAMES))).astype(np.float32)
        logits[np.arange(len(IDS)), labels] += strength
        scores = Scores(logits, labels, NAMES)
        trial = folder / "trials" / f"{number:05d}"
        trial.mkdir(parents=True)
        (trial / "test_predictions.csv").write_text(predictions_csv(scores, IDS), encoding="utf-8")
        rows.append({"seed": seed, "epoch": 5 + number, "trial": number, "dev": {}, "test": scores.as_metrics("test")})
        logits_of.append(logits)
    summary = {}
    for metric in ("weighted_f1", "accuracy", "macro_f1", "unweighted_accuracy", "ece"):
        told = asdict(describe([row["test"][f"test_{metric}"] for row in rows]))
        units = [name.rpartition("_utt")[0] for name in IDS]
        bootstrap = unit_bootstrap(metric, logits_of, labels, units, resamples=200) if metric != "ece" else None
        summary[f"test_{metric}"] = told | {"bootstrap_interval": bootstrap}
    results = {
        "format": 1,
        "method": method,
        "dataset": "meld",
        "task": "emotion",
        "export": export,
        "seeds": rows,
        "summary": summary,
        "unit": "dialogue",
        "test_utterances": len(IDS),
        "test_dialogues": 18,
        "comparisons": [],
        "command": f"python -m mer.evaluate {export}",
    }
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder / "results.json"


def make_number_evaluation(folder: Path, *, noise: float, seeds: tuple[int, ...] = (0, 42, 43)) -> Path:
    """Write an evaluation of two numbers. Args: noise: of the outputs around the truth."""
    truth = np.random.default_rng(1).normal(size=(len(IDS), 2)).astype(np.float32)
    truth[4, 1] = np.nan
    rows = []
    for number, seed in enumerate(seeds):
        outputs = np.nan_to_num(truth) + noise * np.random.default_rng([seed, 9]).normal(size=truth.shape)
        scores = RegressionScores(outputs.astype(np.float32), truth, ("valence", "arousal"))
        trial = folder / "trials" / f"{number:05d}"
        trial.mkdir(parents=True)
        (trial / "test_predictions.csv").write_text(predictions_csv(scores, IDS), encoding="utf-8")
        rows.append({"seed": seed, "epoch": 5, "trial": number, "dev": {}, "test": scores.as_metrics("test")})
    summary = {}
    for metric in ("test_ccc", "test_pearson", "test_mae"):
        summary[metric] = asdict(describe([row["test"][metric] for row in rows])) | {"bootstrap_interval": None}
    told = {"format": 1, "method": "mse", "dataset": "csv", "task": "emotion", "kind": "regression", "seeds": rows}
    told |= {"export": f"exports/{folder.name}", "summary": summary, "unit": "dialogue", "test_utterances": len(IDS)}
    told |= {"test_dialogues": 18, "comparisons": [], "command": "python -m mer.evaluate"}
    (folder / "results.json").write_text(json.dumps(told), encoding="utf-8")
    return folder / "results.json"
